"""Attributions equal those of captum, lie where they should, and leave the network unchanged."""

from functools import partial

import pytest
import torch
from captum.attr import LayerGradCam, Occlusion
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from course_utils import explain, transfer
from course_utils.models import AllConvNet, SmallCNN
from course_utils.training import eval_mode


def small_resnet():
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5)


# Each kind of network of the course, with its last layer that outputs feature maps.
NETWORKS = {
    "SmallCNN": (lambda: SmallCNN(3, 5, width=4), "features.4"),
    "AllConvNet": (lambda: AllConvNet(3, 5), "classifier"),
    "ResNet": (small_resnet, "layer4"),
    "EfficientNet": (
        lambda: transfer.TransferModel(transfer.build_backbone(weights=None), 5),
        "backbone.net.bn2",
    ),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    make, layer = NETWORKS[request.param]
    torch.manual_seed(0)
    net = make()
    for module in net.modules():  # statistics of a trained network, not 0 and 1
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    return net, layer


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def everything(net):
    """All that an explanation could change in a network."""
    return [
        [tensor.numpy().tobytes() for tensor in net.state_dict().values()],
        [module.training for module in net.modules()],
        [(parameter.grad, parameter.requires_grad) for parameter in net.parameters()],
        [len(module._forward_hooks) + len(module._backward_hooks) for module in net.modules()],
    ]


def test_grad_cam_equals_captum_in_the_last_conv_layer(network, images):
    net, layer = network
    before = everything(net)
    assert explain.last_conv_layer(net, images) == layer
    wanted = torch.tensor([1, 4, 0])
    found = explain.grad_cam(net, images, wanted)
    assert everything(net) == before
    with eval_mode(net):
        method = LayerGradCam(net, net.get_submodule(layer))
        theirs = method.attribute(images, target=wanted, relu_attributions=True).detach()
    assert theirs.max() > 0
    theirs = nn.functional.interpolate(theirs, (64, 64), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, theirs, rtol=1e-3, atol=1e-6)


def test_occlusion_equals_captum(images):
    net = SmallCNN(3, 5, width=4)
    color, before = explain.border_color(images), everything(net)
    found = explain.occlusion(net, images, 2, size=16)
    assert everything(net) == before
    # captum takes the mean over all squares that cover a pixel, too, if the squares fit exactly.
    with eval_mode(net):
        theirs = Occlusion(net).attribute(
            images, (3, 16, 16), (3, 8, 8), baselines=color.expand_as(images), target=2
        )
    torch.testing.assert_close(found, theirs.mean(dim=1).float(), rtol=1e-3, atol=1e-5)


def test_attributions_do_not_depend_on_the_batch_nor_on_frozen_weights(
    network, images, monkeypatch
):
    net, _ = network
    classes = torch.tensor([1, 4, 0])
    together = [explain.grad_cam(net, images, chosen) for chosen in (classes, None)]
    for found in together:
        assert found.shape == (3, 64, 64) and found.dtype == torch.float32
        assert found.min() >= 0 and not found.requires_grad
    net.requires_grad_(False)
    monkeypatch.setattr(explain, "BATCH_SIZE", 2)
    with torch.no_grad():
        parts = [explain.grad_cam(net, images, chosen) for chosen in (classes, None)]
    torch.testing.assert_close(parts, together, rtol=1e-3, atol=1e-6)
    with pytest.raises(RuntimeError):
        explain.grad_cam(net, images, classes[:2])


METHODS = [explain.grad_cam, partial(explain.occlusion, size=8)]


@pytest.mark.parametrize("method", METHODS)
def test_the_predicted_class_is_the_default(method, images):
    net, images = SmallCNN(3, 5, width=4).eval(), images[:, :, :24, :24]
    predicted = net(images).argmax(dim=1)
    assert torch.equal(method(net, images), method(net, images, predicted))
    assert torch.equal(method(net, images, 3), method(net, images, torch.tensor([3, 3, 3])))


class Detector(nn.Module):
    """Two classes, red and blue; or one logit: blue minus red."""

    def __init__(self, single_logit=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None]
        self.single_logit = single_logit

    def forward(self, x):
        logits = self.conv(x).mean(dim=(2, 3))
        return logits[:, 1:] - logits[:, :1] if self.single_logit else logits


@pytest.fixture
def red_and_blue():
    """Two images, red at the top left and blue at the bottom right; one is mostly blue."""
    images = torch.zeros(2, 3, 32, 32)
    images[:, 0, :16, :16] = torch.tensor([1.0, 0.5])[:, None, None]
    images[:, 2, 16:, 16:] = torch.tensor([0.5, 1.0])[:, None, None]
    return images


@pytest.mark.parametrize("single_logit", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_attributions_lie_where_the_evidence_is(method, single_logit, red_and_blue):
    net = Detector(single_logit)
    red, blue = (method(net, red_and_blue, label).clamp(min=0) for label in (0, 1))
    assert red[:, :12, :12].min() > 0 and red[:, 20:].max() < 1e-6
    assert blue[:, 20:, 20:].min() > 0 and blue[:, :12].max() < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_a_single_logit_is_explained_by_its_predicted_outcome(method, red_and_blue):
    """It was always explained as class 1."""
    net = Detector(single_logit=True)
    assert (net(red_and_blue)[:, 0] > 0).tolist() == [False, True]
    expected = torch.cat([method(net, red_and_blue[:1], 0), method(net, red_and_blue[1:], 1)])
    torch.testing.assert_close(method(net, red_and_blue), expected)


def test_occlusion_covers_every_pixel():
    found = explain.occlusion(Detector(), torch.rand(1, 3, 21, 30), size=8)
    assert found.shape == (1, 21, 30) and found.isfinite().all()


def test_border_color_is_the_median_of_the_border():
    images = torch.full((2, 3, 10, 12), 0.8)
    images[:, :, 3:7, 3:7] = 0.0
    images[1, :, 0, :4] = 0.1
    torch.testing.assert_close(explain.border_color(images), torch.full((2, 3, 1, 1), 0.8))


def test_captured_activations_have_gradients(images):
    net = small_resnet()  # its ReLUs work in place
    arrived = []
    handle = net.layer1.register_full_backward_hook(lambda *given: arrived.append(given[2][0]))
    net(images)[:, 2].sum().backward()
    handle.remove()
    with explain.capture_activations(net, "layer1", "bn1") as seen:
        score = net(images)[:, 2].sum()
    gradient, _ = torch.autograd.grad(score, [seen["layer1"], seen["bn1"]])
    torch.testing.assert_close(gradient, arrived[0])
    assert seen["bn1"].min() < 0  # not what the ReLU made of it


def test_hooks_are_removed_after_an_error(images):
    net = SmallCNN(3, 5, width=4).eval()
    before = everything(net)
    with pytest.raises(RuntimeError), explain.capture_activations(net, "features.0", "features.2"):
        net(torch.zeros(1, 7, 8, 8))
    with pytest.raises(RuntimeError):
        explain.grad_cam(net, torch.zeros(1, 7, 8, 8))
    assert everything(net) == before


def test_messages(images):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        explain.capture_activations(net, "conv9").__enter__()
    with pytest.raises(ValueError, match="size must be from 1 to 64"):
        explain.occlusion(net, images, size=65)
    with pytest.raises(ValueError, match="use larger images"):
        explain.grad_cam(net, images)
