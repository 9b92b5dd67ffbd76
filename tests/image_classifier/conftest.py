"""Classifiers and the command line for the tests of image_classifier."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from course_utils.transfer import TransferModel
from image_classifier.__main__ import cli
from image_classifier.model import ImageClassifier, build_net

CLASSES = ("große Vögel", "cats & dogs", "c")
PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"


class TinyBackbone(nn.Sequential):
    """Two convolutions: fast, and with what a backbone must have."""

    name, num_features = "tiny", 8

    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.register_buffer("mean", torch.tensor([0.5, 0.4, 0.3]), persistent=False)
        self.register_buffer("std", torch.tensor([0.2, 0.25, 0.3]), persistent=False)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep the cache of features out of the checkout, and give its folder."""
    folder = tmp_path_factory.mktemp("output")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_OUTPUT", str(folder))
        yield folder / "cache"


@pytest.fixture(scope="session")
def make_classifier():
    """Give a function that builds an untrained classifier, always with the same weights."""

    def make(backbone=None, image_size=32, classes=CLASSES, **fields):
        torch.manual_seed(0)
        count = len(classes)
        net = build_net(backbone, count, None) if backbone else TransferModel(TinyBackbone(), count)
        fields = {"temperature": 1.5, "threshold": 0.6, "about": {"data": "made up"}} | fields
        return ImageClassifier(net, classes, image_size, **fields)

    return make


@pytest.fixture(scope="session")
def run():
    """Give a function that runs a command and returns exit_code, stdout and stderr."""

    def run(*arguments):
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return run


@pytest.fixture(scope="session")
def photos():
    """Give a folder with three classes of eight photographs each."""
    return PHOTOS


@pytest.fixture(scope="session")
def trained(tmp_path_factory, run, cache):
    """Give the folder with the model file and the report of a short training run."""
    output = tmp_path_factory.mktemp("model")
    assert run("train", PHOTOS, "--output", output, "--image-size", 64).code == 0
    return output
