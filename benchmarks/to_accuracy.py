"""Benchmark of the training time until a network reaches an accuracy.

Fashion-MNIST and CIFAR-10 with the code of tutorials and with that of the course: images decoded
once, augmentation of whole batches, channels last, mixed precision where it is faster, and a
decaying learning rate.
"""

import argparse
import gzip
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR
from torch.utils.data import DataLoader
from torchvision.datasets import FashionMNIST
from torchvision.transforms import v2

from benchmarks import reference
from benchmarks.muon import Muon
from benchmarks.timing import Row, rows
from course_utils import training
from course_utils.catalog import prepare_dataset
from course_utils.datasets import InMemoryDataset, image_folder, make_loader
from course_utils.errors import DataError
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


class MirrorAverage(nn.Module):
    """Average the logits of an image and its mirror image in eval mode.

    This is the simplest form of test-time augmentation; it doubles the evaluation time.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of shape (batch, classes)."""
        logits = self.net(images)
        return logits if self.training else (logits + self.net(images.flip(3))) / 2


@torch.no_grad()
def whitening_conv(images: Tensor) -> nn.Conv2d:
    """Compute a frozen first layer from a few thousand normalized training images (Page 2019).

    Its filters are the principal components of 2x2 patches, each divided by its standard deviation.
    Each is repeated with the opposite sign, since GELU suppresses negative values.
    """
    patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1)
    variances, components = torch.linalg.eigh(torch.cov(patches.T).double())
    # Without the constant, noise in directions of almost no variance would be amplified.
    filters = (components / (variances + 1e-3).sqrt()).T.flip(0)
    largest = filters.abs().argmax(dim=1, keepdim=True)
    filters = filters * filters.gather(1, largest).sign()  # the sign is arbitrary: fix it
    layer = nn.Conv2d(images.shape[1], 2 * len(filters), 2, bias=False)
    layer.weight.copy_(torch.cat([filters, -filters]).view_as(layer.weight))
    return layer.requires_grad_(False)


def fast_net(images: Tensor, widths: tuple[int, int, int]) -> nn.Module:
    """Build a network that trains fast: a whitening convolution and three blocks with pooling.

    The architecture of Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), with
    fewer channels.

    Args:
        images: Normalized training images, for the whitening convolution.
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
    head = [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(before, 10)]
    return MirrorAverage(nn.Sequential(*layers, *head)).to(memory_format=torch.channels_last)


class Clock(training.Callback):
    """Records the accuracy after each epoch, and the seconds of training without evaluation."""

    def __init__(self, name: str = "ours") -> None:
        """Start with an empty curve; the name is printed."""
        self.name = name
        self.curve: Curve = []
        self.spent = 0.0

    def on_train_begin(self, state: training.TrainerState) -> None:
        """Start the clock."""
        self.start = self.last = time.perf_counter()

    def on_batch_end(self, state: training.TrainerState, loss: float) -> None:
        """Record the end of the last batch."""
        self.last = time.perf_counter()

    def on_epoch_end(self, state: training.TrainerState) -> None:
        """Record a point of the curve."""
        self.spent += self.last - self.start
        self.curve.append((self.spent, state.history["val_accuracy"][-1]))
        print(f"    {self.name}: {self.spent:.0f} s, {self.curve[-1][1]:.2%}", flush=True)
        self.start = time.perf_counter()


def train_fast(
    widths: tuple[int, int, int],
    sets: dict[str, InMemoryDataset],
    epochs: int,
    batch_size: int,
    shift: int = 0,
) -> Curve:
    """Train with the code of the course.

    Args:
        widths: See `fast_net`.
        sets: The datasets "train" and "test".
        epochs: The learning rate decays to 0 over them.
        batch_size: For training.
        shift: Maximum random shift of training images in pixels.
    """
    normalize = scale_and_normalize(*mean_and_std(make_loader(sets["train"], 500)))
    crop = [BatchRandomCrop(sets["train"].images.shape[-1], shift)] if shift else []
    augment = v2.Compose([BatchRandomHorizontalFlip(), *crop, normalize])

    def loader(name: str, transform: v2.Transform, size: int) -> DataLoader:
        data = sets[name]
        data = InMemoryDataset(data.images, data.targets, data.classes, batch_transform=transform)
        seed = torch.initial_seed() % 2**31  # another order in each round
        return make_loader(data, size, shuffle=name == "train", seed=seed)

    train = loader("train", augment, batch_size)
    some = torch.randperm(len(sets["train"]))[:FOR_FIRST_LAYER]
    net = fast_net(normalize(sets["train"].images[some]), widths)
    optimizer = Muon(net.parameters(), lr=0.1, weight_decay=5e-4)
    clock = Clock()
    training.fit(
        net,
        train,
        loader("test", normalize, 500),
        optimizer,
        epochs,
        loss_fn=nn.CrossEntropyLoss(label_smoothing=0.2),
        scheduler=LinearLR(optimizer, 1.0, 0.0, epochs * len(train)),
        schedule_every="batch",
        callbacks=[clock],
        amp=True,
    )
    return clock.curve


def follow(curve: Iterable[tuple[float, float]], goal: float = 1.1) -> Curve:
    """Run a reference until it reaches an accuracy, or to its end."""
    seen: Curve = []
    for spent, accuracy in curve:
        seen.append((spent, accuracy))
        print(f"    reference: {spent:.0f} s, {accuracy:.2%}", flush=True)
        if accuracy >= goal:
            break
    return seen


def compare_runs(title: str, contenders: dict[str, Callable[[], Curve]], rounds: int) -> list[Row]:
    """Run all contenders with the same seeds and compare the seconds of their training."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    notes: dict[str, list[str]] = {name: [] for name in contenders}
    for seed in range(rounds):
        for name, work in contenders.items():
            torch.manual_seed(seed)
            curve = work()
            values[name].append(curve[-1][0])
            notes[name].append(f"{curve[-1][1]:.2%} after {len(curve)} epochs")
    return rows(title, values, "s", {name: "; ".join(said) for name, said in notes.items()})


def load_fashion_mnist(folder: Path | None) -> dict[str, InMemoryDataset]:
    """Load the keys "train" and "test", from the IDX files of a folder or by a download.

    Raises:
        DataError: There is neither.
    """
    root = output_folder("bench")
    if folder:
        raw = output_folder("bench", "FashionMNIST", "raw")
        for file in folder.glob("*-ubyte.gz"):
            (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
    try:
        parts = {
            "train": FashionMNIST(root, True, download=True),
            "test": FashionMNIST(root, False),
        }
    except (OSError, RuntimeError) as error:
        raise DataError(f"Fashion-MNIST is not available: {error}") from error
    return {
        name: InMemoryDataset(part.data[:, None], part.targets, part.classes)
        for name, part in parts.items()
    }


def fashion_mnist(options: argparse.Namespace) -> list[Row]:
    """Train until the test accuracy is 90 %, and for five minutes."""
    root, sets = output_folder("bench"), load_fashion_mnist(options.fashion_mnist)
    contenders = {
        "reference, to 90 %": lambda: follow(reference.train_on_fashion_mnist(root, 8), 0.9),
        "ours, to 90 %": lambda: train_fast((24, 64, 64), sets, 1, 64),
        "ours, long": lambda: train_fast((32, 96, 96), sets, 8, 256),
    }
    if options.short:
        del contenders["ours, long"]
    return compare_runs("Fashion-MNIST, 60,000 images", contenders, options.long_rounds)


def cifar10(options: argparse.Namespace) -> list[Row]:
    """Train for about as long as two epochs of the reference, and for a quarter of an hour."""
    root = options.cifar10 or prepare_dataset("cifar10")
    resize, cache = resize_to_square(32), output_folder("bench")
    sets = {
        name: InMemoryDataset.decode(image_folder(root / name), resize, cache=cache)
        for name in ("train", "test")
    }
    contenders = {
        "reference, 2 epochs": lambda: follow(reference.train_on_cifar10(root, 2)),
        "ours, short": lambda: train_fast((32, 80, 80), sets, 3, 128),
        "ours, long": lambda: train_fast((64, 192, 192), sets, 11, 256, shift=2),
    }
    if options.short:
        del contenders["ours, long"]
    return compare_runs("CIFAR-10, 50,000 images", contenders, options.long_rounds)
