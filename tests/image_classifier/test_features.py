"""Folding batch norm into convolutions, wherever a network uses them."""

import pytest
import torch
from tiny_training import assert_same
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils.training import amp_dtype
from course_utils.transfer import build_backbone, extract_features
from image_classifier.features import extract_features_fast, fold_batch_norm


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", "resnet18", "efficientnet_b0", "mobilenet_v3_small"]
)
def test_folding_batch_norm_leaves_the_features_and_no_batch_norm(name):
    backbone = build_backbone(name, weights=None)
    torch.manual_seed(0)
    images = torch.randn(4, 3, 32, 32)
    backbone.train()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after a training
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    with torch.no_grad():
        backbone(images)
    backbone.eval()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    folded = fold_batch_norm(backbone)
    with torch.no_grad():
        torch.testing.assert_close(folded(images), backbone(images), rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert_same(backbone.state_dict(), before)


class Declared(nn.Module):
    """Declares its layers in another order than it uses them."""

    def __init__(self, use):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.use = use

    def forward(self, x):
        return self.use(self, x)


def twice(net, x):
    return net.bn2(net.conv2(net.bn1(net.conv2(net.conv1(x)))))


def with_skip(net, x):
    y = net.conv1(x)
    return net.bn2(net.conv2(net.bn1(y).relu())) + y


@pytest.mark.parametrize(
    ("use", "left"),
    [
        (lambda net, x: net.bn2(net.conv2(net.bn1(net.conv1(x)).relu())), 0),
        (lambda net, x: net.bn2(net.bn1(net.conv2(net.conv1(x)))), 1),
        (with_skip, 1),
        (twice, 2),
    ],
)
def test_folding_follows_the_data_not_the_declaration(use, left):
    torch.manual_seed(0)
    net = Declared(use)
    for module in (net.bn1, net.bn2):
        nn.init.uniform_(module.weight, 0.5, 1.5)
        nn.init.normal_(module.running_mean)
        nn.init.uniform_(module.running_var, 0.5, 1.5)
    folded, x = fold_batch_norm(net), torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(folded(x), net.eval()(x), rtol=1e-4, atol=1e-5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == left


def test_fast_features_are_the_same_up_to_rounding():
    backbone = build_backbone()
    torch.manual_seed(0)
    images, targets = torch.randn(5, 3, 64, 64), torch.arange(5)
    loader = DataLoader(TensorDataset(images, targets), 2)
    plain, _ = extract_features(backbone, loader).tensors
    fast, labels = extract_features_fast(backbone, loader).tensors
    close = 0.05 if amp_dtype(torch.device("cpu")) else 1e-4
    assert 0 < (plain - fast).norm() / plain.norm() < close
    assert fast.dtype == torch.float32
    assert torch.equal(labels, targets)
