"""Classify image files.

>>> predict_files(load_classifier("build/model/model.pt"), ["one.jpg", "folder"])
"""

import math
from collections.abc import Sequence
from glob import glob
from pathlib import Path

import pandas as pd
import torch

from course_utils.errors import DataError
from course_utils.image_io import image_files, printable
from image_classifier.features import compute_features
from image_classifier.model import ImageClassifier

CHUNK = 10_000  # images whose features are in memory at the same time
COLUMNS = ["file", "class", "predicted", "probability", "problem"]


def predict_files(classifier: ImageClassifier, files: Sequence[str | Path]) -> pd.DataFrame:
    """Classify files and all images in folders; report unreadable files and continue.

    Returns:
        One row per file: file, class ("not sure" below the threshold), predicted (the most likely
        class in any case), probability, and problem (empty if the file was read).
    """
    paths = [str(p) for file in files for p in _expand(file)]
    if not paths:
        raise DataError(f"There are no images in {', '.join(printable(file) for file in files)}.")
    logits, problems = [], {}
    for start in range(0, len(paths), CHUNK):
        features, failed = compute_features(classifier, paths[start : start + CHUNK])
        logits.append(classifier.logits(features))
        problems |= {start + index: problem for index, problem in failed.items()}
    best = (torch.cat(logits) / classifier.temperature).softmax(dim=1).max(dim=1)
    table = pd.DataFrame({"file": [printable(path) for path in paths]})
    table["predicted"] = [classifier.classes[index] for index in best.indices.tolist()]
    table["probability"] = best.values.double().tolist()
    table["class"] = table["predicted"].where(
        table["probability"].map(classifier.is_confident), "not sure"
    )
    table["problem"] = pd.Series(problems, dtype=str).reindex(table.index, fill_value="")
    unreadable = list(problems)
    table.loc[unreadable, ["class", "predicted"]] = ""
    table.loc[unreadable, "probability"] = math.nan
    return table[COLUMNS]


def _expand(file: str | Path) -> list[str | Path]:
    """List the images of a folder, or the files that a pattern such as "*.jpg" matches."""
    if Path(file).is_dir():
        return image_files(file)
    if not Path(file).exists() and any(sign in str(file) for sign in "*?["):
        return sorted(glob(str(file), recursive=True)) or [file]
    return [file]
