"""Maps are those of a well-kept library, point where they should, and leave the network alone."""

import pytest
import torch
from captum.attr import LayerGradCam, Occlusion
from torch import nn

from course_utils import explain, transfer
from course_utils.models import AllConvNet, BasicBlock, ResNet, SmallCNN
from course_utils.training import eval_mode

LINEAR = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))


def networks():
    """A network of each kind of the course, with the last layer that has maps."""
    torch.manual_seed(0)
    return {
        "SmallCNN": (SmallCNN(3, 5, width=4), "features.4"),
        "AllConvNet": (AllConvNet(3, 5, widths=(4, 8)), "classifier"),
        "ResNet": (ResNet(BasicBlock, (1, 1), 5, stem="small", width=4), "layer2"),
        "EfficientNet": (
            transfer.TransferModel(transfer.build_backbone(weights=None), 5), "backbone.net.bn2"
        ),
    }  # fmt: skip


@pytest.fixture(params=["SmallCNN", "AllConvNet", "ResNet", "EfficientNet"])
def network(request):
    net, layer = networks()[request.param]
    for module in net.modules():  # statistics of a trained network, not 0 and 1
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
    return net, layer


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def everything(net):
    """All that a look at a network could change."""
    return (
        {name: tensor.clone() for name, tensor in net.state_dict().items()},
        [module.training for module in net.modules()],
        [parameter.grad for parameter in net.parameters()],
        [parameter.requires_grad for parameter in net.parameters()],
        [len(module._forward_hooks) + len(module._backward_hooks) for module in net.modules()],
    )


def assert_unchanged(net, before):
    weights, *rest = before
    after, *others = everything(net)
    assert all(torch.equal(weights[name], after[name]) for name in weights)
    assert rest == others


def test_the_last_map_is_found(network, images):
    net, layer = network
    assert explain.last_conv_layer(net, images) == layer


def test_grad_cam_is_that_of_captum(network, images):
    net, layer = network
    wanted = torch.tensor([1, 4, 0])
    found = explain.grad_cam(net, images, wanted)
    with eval_mode(net):
        method = LayerGradCam(net, net.get_submodule(layer))
        theirs = method.attribute(images, target=wanted, relu_attributions=True).detach()
    assert theirs.max() > 0
    theirs = nn.functional.interpolate(theirs, (64, 64), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, theirs, rtol=1e-3, atol=1e-6)


def test_occlusion_is_that_of_captum(images):
    net = SmallCNN(3, 5, width=4)
    gray = explain.border_color(images)
    found = explain.occlusion(net, images, 2, size=16, stride=16)
    with eval_mode(net):
        theirs = Occlusion(net).attribute(
            images, (3, 16, 16), (3, 16, 16), baselines=gray.expand_as(images), target=2
        )
    torch.testing.assert_close(found, theirs.mean(dim=1).float(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_looking_changes_nothing(network, images, training):
    net, _ = network
    net.train(training)
    before = everything(net)
    explain.grad_cam(net, images)
    explain.occlusion(net, images, size=32)
    assert_unchanged(net, before)


def test_an_image_gets_the_same_map_alone_and_frozen(network, images):
    net, _ = network
    together = explain.grad_cam(net, images)
    net.requires_grad_(False)
    with torch.no_grad():
        alone = torch.cat([explain.grad_cam(net, images[[i]]) for i in range(3)])
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-6)
    assert together.shape == (3, 64, 64) and together.dtype == torch.float32
    assert together.min() >= 0 and not together.requires_grad


def test_more_images_than_go_at_once_get_the_same_maps(network, images, monkeypatch):
    net, _ = network
    wanted = torch.tensor([1, 4, 0])
    together = [explain.grad_cam(net, images, classes) for classes in (wanted, 1, None)]
    monkeypatch.setattr(explain, "AT_ONCE", 2)
    parts = [explain.grad_cam(net, images, classes) for classes in (wanted, 1, None)]
    torch.testing.assert_close(parts, together, rtol=1e-3, atol=1e-6)
    with pytest.raises(RuntimeError):
        explain.grad_cam(net, images, wanted[:2])


def test_the_predicted_class_is_the_default(images):
    net = SmallCNN(3, 5, width=4).eval()
    predicted = net(images).argmax(dim=1)
    for look in (explain.grad_cam, lambda *given: explain.occlusion(*given, size=32)):
        assert torch.equal(look(net, images), look(net, images, predicted))
        assert torch.equal(look(net, images, 3), look(net, images, torch.tensor([3, 3, 3])))


class Detector(nn.Module):
    """Two classes: red and blue."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None]

    def forward(self, x):
        return self.conv(x).mean(dim=(2, 3))


def test_maps_lie_where_the_sign_is():
    images = torch.zeros(1, 3, 32, 32)
    images[:, 0, :16, :16] = 1.0  # red, top left
    images[:, 2, 16:, 16:] = 1.0  # blue, bottom right
    for look in (explain.grad_cam, lambda *given: explain.occlusion(*given, size=8)):
        red, blue = look(Detector(), images, 0)[0], look(Detector(), images, 1)[0]
        assert red[:12, :12].min() > 0 and red[20:, :].abs().max() < 1e-6
        assert blue[20:, 20:].min() > 0 and blue[:, :12].abs().max() < 1e-6


def test_occlusion_covers_every_pixel_whatever_the_stride():
    images = torch.rand(1, 3, 21, 30)
    found = explain.occlusion(Detector(), images, size=8, stride=5)
    assert found.shape == (1, 21, 30) and found.isfinite().all()


def test_border_color_is_the_median_of_the_border():
    images = torch.full((2, 3, 10, 12), 0.8)
    images[:, :, 3:7, 3:7] = 0.0
    images[1, :, 0, :4] = 0.1
    torch.testing.assert_close(explain.border_color(images), torch.full((2, 3, 1, 1), 0.8))


def test_record_gives_outputs_and_gradients(images):
    net = ResNet(BasicBlock, (1, 1), 5, stem="small", width=4)  # its ReLUs work in place
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
    net = SmallCNN(3, 5, width=4)
    before = everything(net)
    with pytest.raises(RuntimeError), explain.capture_activations(net, "features.0", "features.2"):
        net(torch.zeros(1, 7, 8, 8))
    with pytest.raises(RuntimeError):
        explain.grad_cam(net, torch.zeros(1, 7, 8, 8))
    assert_unchanged(net, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, x: explain.grad_cam(net, x, layer="features.9"), "no layer 'features.9'"),
        (lambda net, x: explain.grad_cam(net, x, layer="classifier"), "these are no maps"),
        (lambda net, x: explain.grad_cam(net, x, 5), "no class 5: the network has 5 logits"),
        (lambda net, x: explain.grad_cam(net, x, -1), "no class -1"),
        (lambda net, x: explain.occlusion(net, x, size=65), "size must be from 1 to 64"),
        (lambda net, x: explain.occlusion(net, x, size=4, stride=5), "every pixel"),
        (lambda net, x: explain.grad_cam(LINEAR, x), "give larger images"),
    ],
)
def test_errors_say_what_is_wrong(call, message, images):
    with pytest.raises(ValueError, match=message):
        call(SmallCNN(3, 5, width=4), images)
