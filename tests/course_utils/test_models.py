"""The networks against torchvision, against hand counts, and for their shapes."""

import math

import pytest
import torch
import torchvision
from torch import nn

from course_utils import models


def build(name):
    block = models.BasicBlock if name in ("resnet18", "resnet34") else models.Bottleneck
    layers = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}[name]
    return models.ResNet(block, layers)


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_resnet_has_torchvisions_layers(name):
    ours, theirs = build(name), torchvision.models.get_model(name, weights=None)
    assert [(key, value.shape) for key, value in ours.state_dict().items()] == [
        (key, value.shape) for key, value in theirs.state_dict().items()
    ]


@pytest.mark.parametrize("block", ["BasicBlock", "Bottleneck"])
@pytest.mark.parametrize("training", [False, True])
def test_resnet_computes_what_torchvision_computes(block, training):
    torch.manual_seed(0)
    layers = [1, 2, 1, 1]
    ours = models.ResNet(getattr(models, block), layers).double()
    theirs = torchvision.models.ResNet(getattr(torchvision.models.resnet, block), layers).double()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64, dtype=torch.double)
    exact = {"rtol": 1e-9, "atol": 1e-12}
    outputs, gradients = [], []
    for model in (ours, theirs):
        model.train(training)
        outputs.append(model(images))
        outputs[-1].square().mean().backward()
        gradients.append({name: value.grad for name, value in model.named_parameters()})
    torch.testing.assert_close(*outputs, **exact)
    torch.testing.assert_close(*gradients, **exact)
    # In training the running means and variances have changed.
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), **exact)


def test_resnet34_is_the_one_of_torchvision():
    ours, theirs = models.resnet34().eval(), torchvision.models.resnet34(weights=None).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_a_mirror_average_sees_both_sides_in_eval_mode_and_one_in_training():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 6, 5))
    both, images = models.MirrorAverage(net), torch.randn(2, 3, 4, 6)
    mirrored = torch.from_numpy(images.numpy()[..., ::-1].copy())
    assert torch.equal(both.train()(images), net(images))
    torch.testing.assert_close(both.eval()(images), (net(images) + net(mirrored)) / 2)
    torch.testing.assert_close(both(mirrored), both(images))


@pytest.mark.parametrize("block", [models.BasicBlock, models.Bottleneck])
def test_a_new_residual_network_passes_its_input_through(block):
    net = models.ResNet(block, (2, 1), num_classes=3, stem="small", width=8)
    blocks = [module for module in net.modules() if isinstance(module, block)]
    channels = 8 * block.expansion
    x = torch.rand(2, channels, 5, 5)
    without_downsampling = [module for module in blocks if module.downsample is None]
    assert without_downsampling
    for module in without_downsampling:
        torch.testing.assert_close(module(x), x, rtol=0, atol=0)


def test_the_small_stem_keeps_the_resolution():
    found = {}
    for stem in ("small", "imagenet"):
        net = models.resnet34(num_classes=10, stem=stem, in_channels=1, width=8).eval()
        net.layer1.register_forward_hook(
            lambda _m, _i, out, stem=stem: found.update({stem: out.shape[-2:]})
        )
        assert net(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
    assert found == {"small": (28, 28), "imagenet": (7, 7)}


def test_an_unknown_stem_is_refused():
    with pytest.raises(ValueError, match="'imagenet' or 'small', not 'large'"):
        models.resnet34(stem="large")


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


@pytest.mark.parametrize(
    ("scheme", "std"),
    [
        ("xavier_uniform", math.sqrt(2 / (576 + 1152))),
        ("xavier_normal", math.sqrt(2 / (576 + 1152))),
        ("kaiming_uniform", math.sqrt(2 / 576)),
        ("kaiming_normal", math.sqrt(2 / 576)),
    ],
)
def test_initialization_has_the_spread_of_its_formula(scheme, std):
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 128, 3)  # 576 inputs and 1152 outputs for each position
    before = layer.weight.clone()
    models.initialize_weights(nn.Sequential(layer), scheme)
    assert not torch.equal(layer.weight, before)
    assert layer.weight.std().item() == pytest.approx(std, rel=0.02)
    assert layer.bias.abs().max() == 0
    if scheme.endswith("uniform"):
        assert layer.weight.abs().max() <= std * math.sqrt(3) + 1e-6


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="no scheme 'zeros'"):
        models.initialize_weights(nn.Linear(2, 2), "zeros")


def smooth_images(count=200, channels=3, side=12):
    """Images whose neighbors are alike, as in photographs."""
    noise = torch.randn(count, channels, side + 4, side + 4)
    return nn.functional.avg_pool2d(noise, 5, stride=1) * 5


@pytest.mark.parametrize(("channels", "size"), [(1, 2), (3, 2), (1, 3)])
def test_what_a_whitening_layer_gives_is_uncorrelated(channels, size):
    images = smooth_images(channels=channels)
    layer = models.whitening_conv(images, size, floor=0)
    count = channels * size**2
    answers = layer(images)
    assert answers.shape == (200, 2 * count, 13 - size, 13 - size)
    torch.testing.assert_close(answers[:, count:], -answers[:, :count])
    covariance = torch.cov(answers[:, :count].transpose(0, 1).flatten(1))
    torch.testing.assert_close(covariance, torch.eye(count), rtol=0, atol=2e-3)


def test_a_whitening_layer_is_not_trained_and_the_same_every_time():
    images = smooth_images()
    layer = models.whitening_conv(images)
    assert models.count_parameters(layer) == 0
    assert torch.equal(layer.weight, models.whitening_conv(images).weight)


def test_what_does_not_vary_is_not_blown_up():
    images = smooth_images()
    images[:, 2] = images[:, 1]  # two channels are one
    layer = models.whitening_conv(images, floor=1e-3)
    assert layer.weight.isfinite().all()
    assert layer(images).std() < 1.1
