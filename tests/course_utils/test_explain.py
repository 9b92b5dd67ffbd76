"""Captured activations have gradients, and their hooks are removed."""

import pytest
import torch
from torchvision.models.resnet import BasicBlock, ResNet

from course_utils import explain
from course_utils.models import SmallCNN


def test_border_color_is_the_median_of_the_border():
    images = torch.full((2, 3, 10, 12), 0.8)
    images[:, :, 3:7, 3:7] = 0.0
    images[1, :, 0, :4] = 0.1
    torch.testing.assert_close(explain.border_color(images), torch.full((2, 3, 1, 1), 0.8))


def test_captured_activations_have_gradients():
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    net = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5)  # its ReLUs work in place
    arrived = []
    handle = net.layer1.register_full_backward_hook(lambda *given: arrived.append(given[2][0]))
    net(images)[:, 2].sum().backward()
    handle.remove()
    with explain.capture_activations(net, "layer1", "bn1") as seen:
        score = net(images)[:, 2].sum()
    gradient, _ = torch.autograd.grad(score, [seen["layer1"], seen["bn1"]])
    torch.testing.assert_close(gradient, arrived[0])
    assert seen["bn1"].min() < 0  # not what the ReLU made of it


def test_hooks_are_removed_after_an_error():
    net = SmallCNN(3, 5, width=4).eval()
    with pytest.raises(RuntimeError), explain.capture_activations(net, "features.0", "features.2"):
        net(torch.zeros(1, 7, 8, 8))
    assert not any(module._forward_hooks for module in net.modules())


def test_an_unknown_layer_gets_a_message():
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        explain.capture_activations(SmallCNN(3, 5), "conv9").__enter__()
