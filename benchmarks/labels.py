"""Counting the images of each class in a folder of 60,000."""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from torchvision import datasets

from benchmarks.timing import Row, alternate, rows, seconds
from course_utils.catalog import find_dataset
from course_utils.datasets import image_folder
from course_utils.paths import output_folder
from course_utils.statistics import class_counts


def write_images(folder: Path) -> None:
    """Write 60,000 images: those of fashion-mini, twelve times each."""
    for path in sorted((find_dataset("fashion-mini") / "train").glob("*/*.png")):
        (folder / path.parent.name).mkdir(exist_ok=True)
        content = path.read_bytes()
        for number in range(12):
            (folder / path.parent.name / f"{path.stem}-{number}.png").write_bytes(content)


def compare(options: argparse.Namespace) -> list[Row]:
    """Count by decoding every image, as a tutorial does, and from the names alone."""
    with tempfile.TemporaryDirectory(dir=output_folder("bench")) as root:
        folder = Path(root)
        write_images(folder)

        def by_decoding() -> None:
            Counter(label for _, label in datasets.ImageFolder(folder))

        values = alternate(
            {
                "loop over the dataset": seconds(by_decoding),
                "class_counts": seconds(lambda: class_counts({"train": image_folder(folder)})),
            },
            options.rounds,
        )
    return rows("labels of 60,000 images", values, "s")
