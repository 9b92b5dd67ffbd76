"""Evaluate a classifier on images whose classes are known."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from course_utils import datasets
from course_utils.catalog import find_dataset
from course_utils.errors import DataError
from course_utils.image_io import printable
from course_utils.training import best_device
from image_classifier.features import compute_features, distinct_indices, file_digests
from image_classifier.model import ImageClassifier, load_classifier
from image_classifier.report import Evaluation, writable_folder, write_report


def evaluate_classifier(model: str | Path, data: str | Path, output: str | Path) -> pd.Series:
    """Evaluate a model file on a folder of images, write a report, and return the metrics.

    Images that the classifier was trained on are left out, so that the folder of the training run
    gives its test set.

    Args:
        model: A file written by `train_classifier`.
        data: A folder with one subfolder per class, or with such folders in splits.
        output: The folder for the report.
    """
    classifier = load_classifier(model).to(best_device())
    root = find_dataset(data)
    refuse_inside(output, root)
    folders = list(datasets.split_folders(root).values()) or [root]
    parts = [datasets.image_folder(folder, mode="RGB") for folder in folders]
    classes = sorted({name for part in parts for name in part.classes})
    samples = [
        (path, classes.index(part.classes[target]))
        for part in parts
        for path, target in part.samples
    ]
    files = datasets.ImageFiles(samples, classes, mode="RGB")
    output = writable_folder(output)
    digests = file_digests([path for path, _ in samples])
    evaluation = evaluate_files(classifier, files, digests, classifier.trained_on)
    write_report(output, classifier, evaluation, f"Evaluated on {printable(root.resolve().name)}")
    return evaluation.metrics


def refuse_inside(output: str | Path, folder: str | Path) -> None:
    """Raise DataError if the output is inside a folder of images, where it would become a class."""
    if Path(output).resolve().is_relative_to(Path(folder).resolve()):
        raise DataError(f"{output} is inside {folder}. Choose a folder outside it with --output.")


def evaluate_files(
    classifier: ImageClassifier,
    files: datasets.ImageFiles,
    digests: Sequence[str],
    leave_out: Sequence[str],
) -> Evaluation:
    """Evaluate image files, except copies and those with a digest in `leave_out`.

    Classes are matched by name.
    """
    names = [printable(name) for name in files.classes]
    if unknown := sorted(set(names) - set(classifier.classes)):
        raise DataError(
            f"The classifier has no class {unknown[0]!r}; its classes are "
            f"{', '.join(classifier.classes)}."
        )
    held_out = distinct_indices(digests, leave_out)
    if not held_out:
        raise DataError(
            f"The classifier was trained on all of these {len(digests)} images: evaluate it on "
            "others."
        )
    samples = [files.samples[index] for index in held_out]
    paths = [path for path, _ in samples]
    features = readable_features(classifier, paths, [digests[index] for index in held_out])
    logits = classifier.logits(features)
    return Evaluation(
        files=paths,
        classes=classifier.classes,
        targets=torch.tensor([classifier.classes.index(names[target]) for _, target in samples]),
        probabilities=(logits / classifier.temperature).softmax(dim=1),
        left_out=len(digests) - len(held_out),
    )


def readable_features(
    classifier: ImageClassifier, paths: Sequence[str], digests: Sequence[str]
) -> Tensor:
    """Compute features of image files; raise DataError if any file is unreadable."""
    features, problems = compute_features(classifier, paths, digests)
    if problems:
        others = f" {len(problems) - 1} more files could not be read." if len(problems) > 1 else ""
        raise DataError(
            f"{problems[min(problems)]}{others} Remove such files or run "
            "`python -m image_classifier prepare FOLDER`, which leaves them out."
        )
    return features
