"""The whitening convolution: outputs without correlation, the same every time."""

import pytest
import torch
from torch import nn

from benchmarks.to_accuracy import whitening_conv


def smooth_images(count=200, channels=3, side=12):
    """Images with correlated pixels, as in photographs."""
    noise = torch.randn(count, channels, side + 4, side + 4)
    return nn.functional.avg_pool2d(noise, 5, stride=1) * 5


@pytest.mark.parametrize("channels", [1, 3])
def test_outputs_of_a_whitening_layer_are_uncorrelated(channels):
    images = smooth_images(channels=channels)
    layer = whitening_conv(images)
    count = channels * 4
    outputs = layer(images)
    assert outputs.shape == (200, 2 * count, 11, 11)
    torch.testing.assert_close(outputs[:, count:], -outputs[:, :count])
    covariance = torch.cov(outputs[:, :count].transpose(0, 1).flatten(1))
    torch.testing.assert_close(covariance, torch.eye(count), rtol=0, atol=0.05)


def test_a_whitening_layer_is_frozen_and_reproducible():
    images = smooth_images()
    layer = whitening_conv(images)
    assert not layer.weight.requires_grad
    assert torch.equal(layer.weight, whitening_conv(images).weight)
    filters = layer.weight[:12].flatten(1)  # the sign of a principal component is arbitrary
    assert torch.equal(filters.amax(dim=1), filters.abs().amax(dim=1))


def test_directions_without_variance_do_not_become_noise():
    images = smooth_images()
    images[:, 2] = images[:, 1]  # two channels are equal
    layer = whitening_conv(images)
    assert layer.weight.isfinite().all()
    assert layer(images).std() < 1.1
