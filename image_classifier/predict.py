"""Classify image files.

>>> predict_files(load_classifier("build/model/model.pt"), ["one.jpg", "folder"])
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from course_utils.errors import DataError
from course_utils.image_io import image_files, load_image, printable
from course_utils.progress import progress
from course_utils.training import eval_mode
from image_classifier.evaluate import BATCH_SIZE
from image_classifier.model import ImageClassifier

COLUMNS = ["file", "class", "predicted", "probability", "problem"]


def predict_files(classifier: ImageClassifier, files: Sequence[str | Path]) -> pd.DataFrame:
    """Classify files and all images in folders; unreadable files do not stop the others.

    Returns:
        One row per file: file, class ("not sure" below the threshold), predicted (the most likely
        class in any case), probability, and problem (empty if the file was read).
    """
    paths = [p for file in files for p in (image_files(file) if Path(file).is_dir() else [file])]
    if not paths:
        raise DataError(f"There are no images in {', '.join(printable(file) for file in files)}.")
    batches = [paths[start : start + BATCH_SIZE] for start in range(0, len(paths), BATCH_SIZE)]
    rows = []
    with torch.no_grad(), eval_mode(classifier):
        for batch in progress(batches, "predicting"):
            rows += _predict_batch(classifier, batch)
    return pd.DataFrame(rows, columns=COLUMNS)


def _predict_batch(classifier: ImageClassifier, paths: Sequence[str | Path]) -> list[dict]:
    rows, readable, images = [], [], []
    for path in paths:
        row = dict.fromkeys(COLUMNS, "") | {"file": printable(path), "probability": math.nan}
        rows.append(row)
        try:
            images.append(classifier.preprocess(load_image(path)))
            readable.append(row)
        except DataError as error:
            row["problem"] = str(error)
    if images:
        best = classifier(torch.stack(images).to(classifier.mean.device)).max(dim=1)
        results = zip(readable, best.values.tolist(), best.indices.tolist(), strict=True)
        for row, row["probability"], index in results:
            row["predicted"] = classifier.classes[index]
            confident = classifier.is_confident(row["probability"])
            row["class"] = row["predicted"] if confident else "not sure"
    return rows
