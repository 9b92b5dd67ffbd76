"""Folding batch norm into convolutions, wherever a network uses them."""

import pytest
import torch
from tiny_training import assert_same
from torch import nn

from course_utils.errors import CourseError
from course_utils.training import amp_dtype
from course_utils.transfer import build_backbone
from image_classifier import features
from image_classifier.features import (
    compute_features,
    file_digests,
    fold_batch_norm,
)


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


@pytest.fixture
def classifier(make_classifier):
    return make_classifier("efficientnet_lite0", 64)


@pytest.fixture
def images(photos):
    return [str(path) for path in sorted(photos.rglob("*.jpg"))]


def test_features_of_files_are_those_of_the_network(classifier, images):
    found, problems = compute_features(classifier, images)
    pixels = torch.stack([classifier.load(path) for path in images])
    with torch.no_grad():
        expected = classifier.net.backbone(classifier.normalize(pixels))
    close = 0.05 if amp_dtype(torch.device("cpu")) else 1e-3
    assert (found - expected).norm() / expected.norm() < close
    assert problems == {} and found.shape == (24, 1904)


def test_the_last_features_are_those_of_the_backbone_and_three_stages_follow(classifier):
    net = classifier.net.backbone
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(net(images)[:, :1280], net.net(images), atol=1e-5)
        x = net.net.blocks(net.net.bn1(net.net.conv_stem(images)))
        assert torch.allclose(net(images)[:, -320:], x.mean(dim=(2, 3)), atol=1e-5)


def test_features_are_cached_by_content_and_setting(classifier, images, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    decoded = []
    load = features.ImageClassifier.load
    monkeypatch.setattr(
        features.ImageClassifier,
        "load",
        lambda self, path: decoded.append(path) or load(self, path),
    )
    digests = file_digests(images)
    first, _ = compute_features(classifier, images[:5], digests[:5])
    again, _ = compute_features(classifier, images[3:7], digests[3:7])
    assert decoded == images[:7]
    assert torch.equal(first[3:], again[:2])
    classifier.resize_mode = "crop"
    compute_features(classifier, images[:2], digests[:2])
    assert decoded[7:] == images[:2]
    with torch.no_grad():
        next(classifier.net.backbone.parameters()).mul_(2)
    compute_features(classifier, images[:1], digests[:1])
    assert decoded[9:] == images[:1]


def test_a_damaged_cache_is_named(classifier, images, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    file = tmp_path / "cache" / "features.sqlite"
    file.parent.mkdir()
    file.write_bytes(bytes(5000))
    with pytest.raises(CourseError, match=r"features\.sqlite cannot be used .* Delete this file"):
        compute_features(classifier, images[:1], file_digests(images[:1]))


def test_an_interrupted_run_goes_on(classifier, images, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    monkeypatch.setattr(features, "BATCH_SIZE", 4)
    normalize, calls = features.ImageClassifier.normalize, []

    def interrupt(self, batch):
        calls.append(len(batch))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return normalize(self, batch)

    digests = file_digests(images)
    monkeypatch.setattr(features.ImageClassifier, "normalize", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compute_features(classifier, images, digests)
    found, _ = compute_features(classifier, images, digests)
    assert sum(calls) == 4 + len(images)  # only the interrupted batch is computed again
    assert torch.equal(found, compute_features(classifier, images)[0])


def test_unreadable_files_are_named_and_do_not_stop_the_others(classifier, images, tmp_path):
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    paths = [images[0], str(tmp_path / "letter.jpg"), str(tmp_path / "none.jpg"), images[1]]
    paths += paths[:2]  # equal files are computed once
    found, problems = compute_features(classifier, paths, file_digests(paths))
    assert sorted(problems) == [1, 2, 5] and "letter.jpg" in problems[1]
    expected, _ = compute_features(classifier, images[:2])
    assert torch.equal(found[[0, 3, 4]], expected[[0, 1, 0]]) and not found[[1, 2, 5]].any()
