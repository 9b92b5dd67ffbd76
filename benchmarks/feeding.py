"""Images per second out of a folder of JPEG files, ready for a network: decoded, 224 px, augmented.

The plain way decodes, resizes and augments every image in every epoch. Ours decodes once, on all
cores and no larger than needed, keeps the result in a file, and augments whole batches.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import v2

from benchmarks.timing import Row, alternate, rows
from course_utils.catalog import prepare_dataset
from course_utils.datasets import InMemoryDataset, image_folder, make_loader
from course_utils.image_io import load_image
from course_utils.paths import output_folder
from course_utils.transfer import IMAGENET_MEAN, IMAGENET_STD
from course_utils.transforms import (
    BatchRandomCrop,
    BatchRandomHorizontalFlip,
    resize_to_square,
    scale_and_normalize,
)

COUNT = 300
SIZES = ((640, 480), (1600, 1200))  # pixels; a picture of the web, and one sent by messenger


def write_photos(folder: Path, size: tuple[int, int]) -> None:
    """Write JPEG photographs: cutouts, enlarged, on a background with the noise of a camera."""
    rng = np.random.default_rng(0)
    sources = sorted(prepare_dataset("cutouts").glob("train/*/*"))
    for number in range(COUNT):
        source = sources[number % len(sources)]
        noise = rng.normal(rng.integers(60, 200, 3), 6, (size[1], size[0], 3))
        photo = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
        side = size[1] * 7 // 8
        thing = load_image(source, "RGBA").resize((side, side), Image.Resampling.BICUBIC)
        corner = rng.integers(0, [size[0] - side, size[1] - side])
        photo.paste(thing, tuple(corner.tolist()), thing)
        path = folder / source.parent.name / f"{number:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        photo.save(path, quality=90)


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Give a scratch folder below build/."""
    with tempfile.TemporaryDirectory(dir=output_folder("bench")) as folder:
        yield Path(folder)


def plain_loader(photos: Path, num_workers: int) -> DataLoader:
    """Make torchvision's loader with PIL transforms, as its documentation shows it."""
    transform = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.RandomCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    dataset = datasets.ImageFolder(photos, transform)
    return DataLoader(dataset, 32, shuffle=True, num_workers=num_workers)


def our_loader(photos: Path, cache: Path) -> DataLoader:
    """Make the course's loader; the first time it decodes, later it reads what it kept."""
    augment = v2.Compose(
        [
            BatchRandomHorizontalFlip(),
            BatchRandomCrop(224),
            scale_and_normalize(torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)),
        ]
    )
    memory = InMemoryDataset.decode(
        image_folder(photos),
        resize_to_square(256, "squash"),
        draft=256,
        cache=cache,
        batch_transform=augment,
    )
    return make_loader(memory, 32, shuffle=True)


def per_second(loader: DataLoader, start: float) -> float:
    """Go through a loader once; give images per second since `start`."""
    count = sum(len(images) for images, _ in loader)
    return count / (time.perf_counter() - start)


def decode_only(photos: Path, draft: int | None) -> float:
    """Decode every file on all cores and do nothing else: no loader can be faster."""
    start = time.perf_counter()
    paths = sorted(photos.glob("*/*.jpg"))

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            if draft is not None:
                image.draft(None, (draft, draft))
            image.load()

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(decode, paths))
    return len(paths) / (time.perf_counter() - start)


def compare(options: argparse.Namespace) -> list[Row]:
    """Compare the first and the later epochs, for each size of photographs."""
    return [row for size in SIZES for row in compare_size(size, options.rounds)]


def compare_size(size: tuple[int, int], rounds: int) -> list[Row]:
    """Compare the first and the later epochs.

    Args:
        size: Width and height of the photographs in pixels.
        rounds: How many turns each contender has.
    """
    with empty_folder() as photos:
        write_photos(photos, size)

        def plain(num_workers: int) -> float:
            start = time.perf_counter()
            return per_second(plain_loader(photos, num_workers), start)

        def first() -> float:
            with empty_folder() as cache:
                start = time.perf_counter()
                return per_second(our_loader(photos, cache), start)

        with empty_folder() as cache:
            our_loader(photos, cache)

            def later() -> float:
                start = time.perf_counter()
                return per_second(our_loader(photos, cache), start)

            values = alternate(
                {
                    "torchvision with PIL, no workers": lambda: plain(0),
                    "torchvision with PIL, 2 workers": lambda: plain(2),
                    "ours, first epoch (decodes and keeps)": first,
                    "ours, later epochs": later,
                    "limit: decoding alone, all cores": lambda: decode_only(photos, None),
                    "limit: decoding alone, draft": lambda: decode_only(photos, 256),
                },
                rounds,
            )
    return rows(f"feeding, {COUNT} JPEG files of {size[0]}x{size[1]}", values, "images/s")
