"""Grad-CAM equals captum's, lies where the evidence is, and leaves the network unchanged."""

import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from course_utils import transfer
from course_utils.models import AllConvNet, SmallCNN
from course_utils.training import eval_mode
from image_classifier.grad_cam import grad_cam, last_conv_layer

# Each kind of network of the course, with its last layer that outputs feature maps.
NETWORKS = {
    "SmallCNN": (lambda: SmallCNN(3, 5, width=4), "features.4"),
    "AllConvNet": (lambda: AllConvNet(3, 5), "classifier"),
    "ResNet": (lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5), "layer4"),
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
    assert last_conv_layer(net, images) == layer
    wanted = torch.tensor([1, 4, 0])
    found = grad_cam(net, images, wanted)
    assert everything(net) == before
    with eval_mode(net):
        method = LayerGradCam(net, net.get_submodule(layer))
        theirs = method.attribute(images, target=wanted, relu_attributions=True).detach()
    assert theirs.max() > 0
    theirs = nn.functional.interpolate(theirs, (64, 64), mode="bilinear")[:, 0]
    torch.testing.assert_close(found, theirs, rtol=1e-3, atol=1e-6)


def test_attributions_do_not_depend_on_the_batch_nor_on_frozen_weights(
    network, images, monkeypatch
):
    net, _ = network
    classes = torch.tensor([1, 4, 0])
    together = [grad_cam(net, images, chosen) for chosen in (classes, None)]
    for found in together:
        assert found.shape == (3, 64, 64) and found.dtype == torch.float32
        assert found.min() >= 0 and not found.requires_grad
    net.requires_grad_(False)
    monkeypatch.setattr("image_classifier.grad_cam.BATCH_SIZE", 2)
    with torch.no_grad():
        parts = [grad_cam(net, images, chosen) for chosen in (classes, None)]
    torch.testing.assert_close(parts, together, rtol=1e-3, atol=1e-6)


class Detector(nn.Module):
    """Two classes, red and blue."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[:, :, None, None]

    def forward(self, x):
        return self.conv(x).mean(dim=(2, 3))


def test_attributions_lie_where_the_evidence_is():
    images = torch.zeros(2, 3, 32, 32)  # red at the top left, blue at the bottom right
    images[:, 0, :16, :16] = torch.tensor([1.0, 0.5])[:, None, None]
    images[:, 2, 16:, 16:] = torch.tensor([0.5, 1.0])[:, None, None]
    red, blue = (grad_cam(Detector(), images, torch.tensor([label] * 2)) for label in (0, 1))
    assert red[:, :12, :12].min() > 0 and red[:, 20:].max() < 1e-6
    assert blue[:, 20:, 20:].min() > 0 and blue[:, :12].max() < 1e-6
    assert torch.equal(grad_cam(Detector(), images), torch.stack([red[0], blue[1]]))


def test_a_network_without_feature_maps_gets_a_message(images):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5))
    with pytest.raises(ValueError, match="use larger images"):
        grad_cam(net, images)
