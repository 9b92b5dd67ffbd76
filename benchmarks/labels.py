"""Counting the images of each class in a folder of 60,000."""

import argparse
from collections import Counter

from torchvision import datasets

from benchmarks.timing import Row, alternate, rows, seconds
from course_utils.data.catalog import find
from course_utils.data.datasets import ImageFolder
from course_utils.data.statistics import class_counts


def compare(options: argparse.Namespace) -> list[Row]:
    """Count by decoding every image, as a tutorial does, and from the names alone."""
    folder = find("fashion-mnist") / "train"

    def by_decoding() -> None:
        Counter(label for _, label in datasets.ImageFolder(folder))

    values = alternate(
        {
            "loop over the data set": seconds(by_decoding),
            "class_counts": seconds(lambda: class_counts({"train": ImageFolder(folder)})),
        },
        options.rounds,
    )
    return rows("labels of 60,000 images", values, "s")
