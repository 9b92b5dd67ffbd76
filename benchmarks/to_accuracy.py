"""Seconds of training until a network is right often enough: the only speed that matters.

Fashion-MNIST and CIFAR-10 as tutorials train on them, and with what the course has: images decoded
once, augmentation of batches, channels last, amp where it helps, one cycle of the learning rate.
"""

import argparse
import gzip
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR
from torchvision.transforms import v2

from benchmarks import reference
from benchmarks.timing import Row, rows
from course_utils import training
from course_utils.catalog import CATALOG, FASHION_CLASSES, prepare_dataset, read_idx
from course_utils.datasets import InMemoryDataset, image_folder, make_loader
from course_utils.download import fetch
from course_utils.models import MirrorAverage, whitening_conv
from course_utils.optimizers import Muon
from course_utils.paths import output_folder
from course_utils.statistics import mean_and_std
from course_utils.transforms import (
    BatchRandomCrop,
    BatchRandomHorizontalFlip,
    resize_to_square,
    scale_and_normalize,
)

FOR_FIRST_LAYER = 5000  # images
Curve = list[tuple[float, float]]  # seconds of training so far, accuracy on the test set


def fast_net(images: Tensor, widths: tuple[int, int, int]) -> nn.Sequential:
    """Build a network that learns fast: a first layer that whitens, and three blocks that halve.

    Its shape is that of Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), with
    fewer channels.

    Args:
        images: Normalized training images, for the first layer.
        widths: The channels of the three blocks.
    """
    first = whitening_conv(images)
    layers: list[nn.Module] = [first, nn.GELU()]
    before = first.out_channels
    for width in widths:
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(width),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.GELU(),
        ]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(before, 10))


class Clock(training.Callback):
    """Notes the accuracy after each epoch, and the seconds of training without measuring."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.curve: Curve = []
        self.spent = 0.0
        self.start = self.last = time.perf_counter()

    def on_train_begin(self, run: training.TrainerState) -> None:
        """Start the watch."""
        self.start = time.perf_counter()

    def on_batch_end(self, run: training.TrainerState, loss: float) -> None:
        """Note when the last batch ended."""
        self.last = time.perf_counter()

    def on_epoch_end(self, run: training.TrainerState) -> None:
        """Note where the run stands."""
        self.spent += self.last - self.start
        self.curve.append((self.spent, run.history["val_accuracy"][-1]))
        print(f"    ours: {self.spent:.0f} s, {self.curve[-1][1]:.2%}", flush=True)
        self.start = time.perf_counter()


def train_fast(
    widths: tuple[int, int, int],
    sets: dict[str, InMemoryDataset],
    epochs: int,
    batch_size: int,
    rate: float = 0.1,
    shift: int = 0,
) -> Curve:
    """Train with the means of the course.

    Args:
        widths: See `fast_net`.
        sets: The keys "train" and "test".
        epochs: How many.
        batch_size: For training.
        rate: The first learning rate; it falls to 0.
        shift: By how many pixels training images may be moved.

    Returns:
        Seconds and accuracy after each epoch.
    """
    normalize = scale_and_normalize(*mean_and_std(make_loader(sets["train"], 500)))
    moved = [BatchRandomCrop(sets["train"].images.shape[-1], shift)] if shift else []
    augment = v2.Compose([BatchRandomHorizontalFlip(), *moved, normalize])
    train = InMemoryDataset(sets["train"].images, sets["train"].targets, sets["train"].classes)
    test = InMemoryDataset(sets["test"].images, sets["test"].targets, sets["test"].classes)
    train.batch_transform, test.batch_transform = augment, normalize
    loader = make_loader(train, batch_size, shuffle=True)
    some = torch.randperm(len(train))[:FOR_FIRST_LAYER]
    net = MirrorAverage(fast_net(normalize(train.images[some]), widths))
    net.to(memory_format=torch.channels_last)
    optimizer = Muon(net.parameters(), lr=rate, weight_decay=5e-4)
    clock = Clock()
    training.fit(
        net,
        loader,
        make_loader(test, 500),
        optimizer,
        epochs,
        loss_fn=nn.CrossEntropyLoss(label_smoothing=0.2),
        scheduler=LinearLR(optimizer, 1.0, 0.0, epochs * len(loader)),
        schedule_every="batch",
        callbacks=[clock],
        amp=True,
    )
    return clock.curve


def listen(curve: Iterable[tuple[float, float]], goal: float = 1.1) -> Curve:
    """Follow a reference until it reaches its goal, or its end."""
    seen: Curve = []
    for spent, accuracy in curve:
        seen.append((spent, accuracy))
        print(f"    reference: {spent:.0f} s, {accuracy:.2%}", flush=True)
        if accuracy >= goal:
            break
    return seen


def note(curve: Curve) -> str:
    """Say how a run ended."""
    return f"{curve[-1][1]:.2%} after {len(curve)} epochs"


def compare_runs(title: str, runs: dict[str, list[Curve]]) -> list[Row]:
    """Summarize runs by the seconds at which each ended."""
    values = {name: [curve[-1][0] for curve in curves] for name, curves in runs.items()}
    notes = {name: "; ".join(map(note, curves)) for name, curves in runs.items()}
    return rows(title, values, "s", notes)


def fashion_mnist(options: argparse.Namespace) -> list[Row]:
    """Train until 90 % of the test images are right, and for five minutes."""
    raw = output_folder("bench", "FashionMNIST", "raw")
    downloads = Path(options.fashion_mnist or output_folder("data", "downloads"))
    for source in CATALOG["fashion-mnist"].sources:
        file = downloads / source.file_name if options.fashion_mnist else fetch(source, downloads)
        with gzip.open(file) as packed, open(raw / file.with_suffix("").name, "wb") as plain:
            shutil.copyfileobj(packed, plain)
    sets = {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(downloads / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(downloads / f"{prefix}-labels-idx1-ubyte.gz")
        images, labels = torch.from_numpy(images.copy())[:, None], labels.astype(np.int64)
        sets[name] = InMemoryDataset(images, torch.from_numpy(labels), FASHION_CLASSES)
    runs: dict[str, list[Curve]] = {"reference, to 90 %": [], "ours, to 90 %": []}
    for seed in range(options.long_rounds):
        torch.manual_seed(seed)
        runs["reference, to 90 %"].append(
            listen(reference.train_on_fashion_mnist(raw.parents[1], 8), 0.9)
        )
        torch.manual_seed(seed)
        runs["ours, to 90 %"].append(train_fast((24, 64, 64), sets, 1, 64))
        if not options.short:
            torch.manual_seed(seed)
            long = train_fast((32, 96, 96), sets, 8, 256)
            runs.setdefault("ours, long", []).append(long)
    return compare_runs("Fashion-MNIST, 60,000 images", runs)


def cifar10(options: argparse.Namespace) -> list[Row]:
    """Train for about as long as two epochs of the reference take, and for a quarter of an hour."""
    root = Path(options.cifar10) if options.cifar10 else prepare_dataset("cifar10")
    sets = {
        name: InMemoryDataset.decode(
            image_folder(root / name), resize_to_square(32), cache=output_folder("bench")
        )
        for name in ("train", "test")
    }
    runs: dict[str, list[Curve]] = {"reference, 2 epochs": [], "ours, short": []}
    for seed in range(options.long_rounds):
        torch.manual_seed(seed)
        runs["reference, 2 epochs"].append(listen(reference.train_on_cifar10(root, 2)))
        torch.manual_seed(seed)
        runs["ours, short"].append(train_fast((32, 80, 80), sets, 3, 128))
        if not options.short:
            torch.manual_seed(seed)
            long = train_fast((64, 192, 192), sets, 11, 256, shift=2)
            runs.setdefault("ours, long", []).append(long)
    return compare_runs("CIFAR-10, 50,000 images", runs)
