"""Benchmark of extracting features from 300 JPEG photographs.

The limit is the total time of decoding and the forward pass, each measured alone, since they share
the processor.
"""

import argparse
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import timm
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from benchmarks import feeding
from benchmarks.timing import Row, alternate, rows, seconds
from course_utils.paths import output_folder
from image_classifier.features import BATCH_SIZE, compute_features, feature_function
from image_classifier.model import ImageClassifier, build_net


def tutorial_loop(classifier: ImageClassifier, folder: Path) -> Callable[[], None]:
    """Return a loop of timm's preprocessing, torchvision's dataset and a float32 forward pass."""
    net = classifier.net.backbone.net
    config = timm.data.resolve_model_data_config(net)
    loader = DataLoader(ImageFolder(folder, timm.data.create_transform(**config)), BATCH_SIZE)

    @torch.no_grad()
    def run() -> None:
        for images, _ in loader:
            net(images)

    return run


def compare(options: argparse.Namespace) -> list[Row]:
    """Compare `compute_features` with a tutorial's loop and with the limit."""
    with tempfile.TemporaryDirectory(dir=output_folder("bench")) as folder:
        feeding.write_photos(Path(folder), feeding.SIZES[0])
        paths = sorted(map(str, Path(folder).rglob("*.jpg")))
        classifier = ImageClassifier(build_net("efficientnet_lite0", 2), ["a", "b"], 224)
        compute = feature_function(classifier)
        images = torch.randint(256, (BATCH_SIZE, 3, 224, 224), dtype=torch.uint8)

        def decode() -> None:
            with ThreadPoolExecutor() as threads:
                list(threads.map(classifier.load, paths))

        def forward() -> None:
            for _ in range(0, len(paths), BATCH_SIZE):
                compute(images)

        contenders = {
            "tutorial: one thread, float32": tutorial_loop(classifier, Path(folder)),
            "compute_features": partial(compute_features, classifier, paths),
            "decoding alone": decode,
            "forward pass alone": forward,
        }
        values = alternate(
            {
                name: lambda work=work: len(paths) / seconds(work)
                for name, work in contenders.items()
            },
            options.rounds,
        )
        found = rows("features of JPEG photographs of 640 x 480", values, "images/s")
        speed = {row.contender: row.value for row in found}
        limit = 1 / (1 / speed["decoding alone"] + 1 / speed["forward pass alone"])
        share = speed["compute_features"] / limit
        found[1].note = f"{share:.0%} of the limit, {limit:.0f} images/s"
        return found
