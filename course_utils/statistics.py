"""Statistics of image datasets."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.utils.data import Dataset


def class_counts(splits: dict[str, Dataset]) -> pd.DataFrame:
    """Count the images of each class (rows) in each dataset (columns), without opening files."""
    classes = next(iter(splits.values())).classes
    columns = {
        name: np.bincount(np.asarray(dataset.targets, dtype=np.int64), minlength=len(classes))
        for name, dataset in splits.items()
    }
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def mean_and_std(batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Compute the mean and standard deviation of each channel over all pixels, scaled to 0..1.

    Averaging the standard deviations of single images, as many tutorials do, underestimates the
    standard deviation: it ignores the variation between images.
    """
    scaler = StandardScaler()
    for images, _ in batches:
        pixels = images.cpu().double() / (1 if images.is_floating_point() else 255)
        scaler.partial_fit(pixels.movedim(1, -1).flatten(end_dim=-2).numpy())
    mean, variance = torch.tensor(scaler.mean_), torch.tensor(scaler.var_)
    return mean.float(), variance.sqrt().float()


def image_properties(dataset: Dataset) -> pd.DataFrame:
    """Read path, class, width, height (before EXIF rotation) and mode from every image header.

    Unreadable files have width and height 0 and the mode "unreadable".
    """
    rows = []
    for path, label in dataset.samples:
        try:
            with Image.open(path) as image:
                width, height, mode = *image.size, image.mode
        except Exception:  # Pillow raises a dozen types of errors for damaged files
            width, height, mode = 0, 0, "unreadable"
        rows.append((path, dataset.classes[label], width, height, mode))
    return pd.DataFrame(rows, columns=["path", "class", "width", "height", "mode"])
