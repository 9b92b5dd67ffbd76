"""The networks against torchvision, formulas and counts by hand."""

import pytest
import torch
from torch import nn

from course_utils import models


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (64, 48), (33, 65)])
@pytest.mark.parametrize("channels", [1, 3])
def test_all_conv_net_takes_any_size(size, channels):
    net = models.AllConvNet(channels, num_outputs=4).eval()
    assert net(torch.zeros(2, channels, *size)).shape == (2, 4)


def test_parameter_counts_by_hand():
    widths = [3, 16, 32, 64]
    blocks = sum(9 * a * b + 2 * b for a, b in zip(widths, widths[1:], strict=False))
    assert models.count_parameters(models.AllConvNet(3, 1)) == blocks + 64 + 1
    widths = [1, 32, 64, 128]
    blocks = sum(9 * a * b + 2 * b for a, b in zip(widths, widths[1:], strict=False))
    assert models.count_parameters(models.SmallCNN(1, 10)) == blocks + 128 * 10 + 10


def test_frozen_parameters_do_not_count():
    net = nn.Linear(3, 2)
    net.bias.requires_grad_(False)
    assert models.count_parameters(net) == 6


def test_dropout_works_in_training_only():
    torch.manual_seed(0)
    net = models.AllConvNet(1, 2, dropout=0.5)
    images = torch.randn(4, 1, 16, 16)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))
