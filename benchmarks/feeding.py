"""Benchmark of data loading, from JPEG files to augmented images of 224 px.

torchvision's classic pipeline decodes, resizes and augments every image in every epoch. Ours
decodes once, on all cores and at a reduced size, caches the result, and augments whole batches.
"""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import v2

from benchmarks.timing import Row, alternate, rows, seconds
from course_utils.catalog import prepare_dataset
from course_utils.datasets import InMemoryDataset, image_folder, make_loader
from course_utils.image_io import load_image
from course_utils.paths import output_folder
from course_utils.transforms import (
    BatchRandomCrop,
    BatchRandomHorizontalFlip,
    resize_to_square,
    scale_and_normalize,
)

COUNT = 300
SIZES = ((640, 480), (1600, 1200))  # pixels, typical of web pages and messengers
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


def write_photos(folder: Path, size: tuple[int, int]) -> None:
    """Write JPEG photographs: enlarged cutouts on backgrounds with camera noise."""
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


def plain_loader(photos: Path, num_workers: int) -> DataLoader:
    """Create a loader of torchvision's dataset with PIL transforms, as in its documentation."""
    transform = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.RandomCrop(224),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    dataset = datasets.ImageFolder(photos, transform)
    return DataLoader(dataset, 32, shuffle=True, num_workers=num_workers)


def our_loader(photos: Path, cache: str | Path) -> DataLoader:
    """Create the course's loader, which decodes into the cache the first time."""
    normalize = scale_and_normalize(torch.tensor(MEAN), torch.tensor(STD))
    memory = InMemoryDataset.decode(
        image_folder(photos),
        resize_to_square(256, "squash"),
        cache=cache,
        batch_transform=v2.Compose([BatchRandomHorizontalFlip(), BatchRandomCrop(224), normalize]),
    )
    return make_loader(memory, 32, shuffle=True)


def decode_only(photos: Path, draft: int | None) -> None:
    """Decode every file on all cores and do nothing else, which is the limit for any loader."""
    paths = list(photos.glob("*/*.jpg"))

    def decode(path: Path) -> None:
        with Image.open(path) as image:
            if draft is not None:
                image.draft(None, (draft, draft))
            image.load()

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(decode, paths))


def load_all(loader: DataLoader) -> None:
    """Load all batches of a loader once."""
    for _ in loader:
        pass


def compare_size(size: tuple[int, int], rounds: int) -> list[Row]:
    """Compare first and later epochs for photographs of one size (width, height)."""
    with tempfile.TemporaryDirectory(dir=output_folder("bench")) as scratch:
        photos, kept = Path(scratch, "photos"), Path(scratch, "cache")
        photos.mkdir()
        write_photos(photos, size)
        our_loader(photos, kept)

        def first_epoch() -> None:
            with tempfile.TemporaryDirectory(dir=scratch) as cache:
                load_all(our_loader(photos, cache))

        work = {
            "torchvision with PIL, no workers": lambda: load_all(plain_loader(photos, 0)),
            "torchvision with PIL, 2 workers": lambda: load_all(plain_loader(photos, 2)),
            "ours, first epoch (decodes and caches)": first_epoch,
            "ours, later epochs": lambda: load_all(our_loader(photos, kept)),
            "limit: decoding alone, all cores": lambda: decode_only(photos, None),
            "limit: decoding alone, draft": lambda: decode_only(photos, 256),
        }
        contenders = {name: lambda act=act: COUNT / seconds(act) for name, act in work.items()}
        values = alternate(contenders, rounds)
    return rows(f"feeding, {COUNT} JPEG files of {size[0]}x{size[1]}", values, "images/s")


def compare(options: argparse.Namespace) -> list[Row]:
    """Compare the loaders for each size of photographs."""
    return [row for size in SIZES for row in compare_size(size, options.rounds)]
