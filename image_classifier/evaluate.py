"""Evaluate a classifier on images whose classes are known."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from course_utils import datasets
from course_utils.catalog import find_dataset
from course_utils.errors import DataError
from course_utils.evaluation import predict_logits
from course_utils.image_io import printable
from course_utils.transforms import resize_to_square
from image_classifier.model import ImageClassifier, load_classifier
from image_classifier.report import Evaluation, writable_folder, write_report

BATCH_SIZE = 32


def evaluate_classifier(model: str | Path, data: str | Path, output: str | Path) -> pd.Series:
    """Evaluate a model file on a folder of images, write a report, and return the metrics.

    Args:
        model: A file written by `train_classifier`.
        data: A folder with one subfolder per class. If it has splits, the test set is used.
        output: The folder for the report.
    """
    classifier = load_classifier(model)
    folder = find_dataset(data)
    if datasets.has_splits(folder):
        files = datasets.load_splits(folder, mode="RGB")["test"]
    else:
        files = datasets.image_folder(folder, mode="RGB")
    output = writable_folder(output)
    evaluation = evaluate_images(classifier, files)
    write_report(output, classifier, evaluation, f"Evaluated on {printable(Path(data).name)}")
    return evaluation.metrics


def evaluate_images(classifier: ImageClassifier, files: datasets.ImageFiles) -> Evaluation:
    """Predict all images of a dataset; classes are matched by name."""
    names = [printable(name) for name in files.classes]
    if unknown := sorted(set(names) - set(classifier.classes)):
        raise DataError(
            f"The classifier has no class {unknown[0]!r}; its classes are "
            f"{', '.join(classifier.classes)}."
        )
    memory = decode_images(files, classifier)
    probabilities, targets = predict_logits(classifier, datasets.make_loader(memory, BATCH_SIZE))
    index = torch.tensor([classifier.classes.index(name) for name in names])
    paths = [path for path, _ in files.samples]
    return Evaluation(paths, classifier.classes, memory.images, index[targets], probabilities)


def decode_images(
    files: datasets.ImageFiles, classifier: ImageClassifier, transform: Callable | None = None
) -> datasets.InMemoryDataset:
    """Decode and resize images for a classifier; `transform` is applied to batches of them."""
    resize = resize_to_square(classifier.image_size, classifier.resize_mode)
    try:
        return datasets.InMemoryDataset.decode(files, resize, batch_transform=transform)
    except DataError as error:
        raise DataError(
            f"{error} Remove the file or run `python -m image_classifier prepare FOLDER`, which "
            "leaves out such files."
        ) from error
