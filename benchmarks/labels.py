"""Benchmark of counting the images per class in a folder of 60,000."""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from torchvision import datasets

from benchmarks.timing import Row, alternate, rows, seconds
from course_utils.catalog import prepare_dataset
from course_utils.datasets import image_folder
from course_utils.paths import output_folder
from course_utils.statistics import class_counts


def write_images(folder: Path) -> None:
    """Write 60,000 images: the training images of fashion-mini, twelve times each."""
    for path in prepare_dataset("fashion-mini").glob("train/*/*.png"):
        (folder / path.parent.name).mkdir(exist_ok=True)
        for number in range(12):
            copy = folder / path.parent.name / f"{path.stem}-{number}.png"
            copy.write_bytes(path.read_bytes())


def compare(options: argparse.Namespace) -> list[Row]:
    """Count by decoding every image, as tutorials do, and from the folder names."""
    with tempfile.TemporaryDirectory(dir=output_folder("bench")) as folder:
        write_images(Path(folder))

        def decode() -> None:
            Counter(label for _, label in datasets.ImageFolder(folder))

        def count() -> None:
            class_counts({"train": image_folder(folder)})

        contenders = {
            "loop over the dataset": lambda: seconds(decode),
            "class_counts": lambda: seconds(count),
        }
        return rows("labels of 60,000 images", alternate(contenders, options.rounds), "s")
