"""Count and measure images before training on them."""

import os
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


def class_counts(splits: dict[str, Dataset]) -> pd.DataFrame:
    """Count the images of each class without opening any.

    Args:
        splits: Datasets by name ("train", …) with the same `classes`, and `targets`.

    Returns:
        One row a class, one column a dataset.
    """
    columns = {}
    for name, dataset in splits.items():
        targets = torch.as_tensor(dataset.targets, dtype=torch.long)
        columns[name] = torch.bincount(targets, minlength=len(dataset.classes)).numpy()
    classes = next(iter(splits.values())).classes
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def class_weights(targets: Sequence[int] | Tensor, num_classes: int) -> Tensor:
    """Weigh the classes so that each counts the same in the loss: n / (classes * n of the class).

    Args:
        targets: The class index of each training image.
        num_classes: How many classes there are.

    Returns:
        float32 tensor of shape (num_classes,), for `nn.CrossEntropyLoss(weight=…)`. It is the
        weight that scikit-learn calls "balanced"; a class without images gets 0.

    Raises:
        ValueError: There are no images, or an index is no class.
    """
    targets = torch.as_tensor(targets, dtype=torch.long)
    if len(targets) == 0:
        raise ValueError("There is no image to count.")
    if not 0 <= targets.min() <= targets.max() < num_classes:
        raise ValueError(
            f"Class indices must be from 0 to {num_classes - 1}; found {targets.min()} to "
            f"{targets.max()}. Is num_classes right?"
        )
    counts = torch.bincount(targets, minlength=num_classes)
    weights = counts.sum() / (num_classes * counts)
    return torch.where(counts > 0, weights, 0.0)


def mean_and_std(batches: DataLoader | Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Compute the mean and the standard deviation of each channel over all pixels.

    One pass; images may differ in size from batch to batch. Sums are kept in float64 on the CPU
    and merged as Chan et al. (1983) describe, so nothing is lost to cancellation. The mean of the
    standard deviations of single images, which many tutorials take instead, is too small: it
    leaves out how the images differ from each other.

    Args:
        batches: Yields (images, targets); images of shape (batch, channels, height, width), uint8
            (taken as 0 to 1) or floating point (taken as they are).

    Returns:
        Mean and (population) standard deviation, each float32 of shape (channels,).

    Raises:
        ValueError: There is no image, or the batches are of another type or shape.
    """
    count, mean, squares = 0, 0.0, 0.0
    for images, _ in batches:
        if images.ndim != 4 or not (images.is_floating_point() or images.dtype == torch.uint8):
            raise ValueError(
                f"Images must be uint8 or floating point, of shape (batch, channels, height, "
                f"width), not {images.dtype} of shape {tuple(images.shape)}."
            )
        if images.numel() == 0:
            continue
        pixels = images.cpu().to(torch.float64)
        if not images.is_floating_point():
            pixels = pixels / 255
        pixels = pixels.transpose(0, 1).flatten(start_dim=1)
        batch_count = pixels.shape[1]
        batch_mean = pixels.mean(dim=1)
        difference = batch_mean - mean
        total = count + batch_count
        squares = squares + ((pixels - batch_mean[:, None]) ** 2).sum(dim=1)
        squares = squares + difference**2 * count * batch_count / total
        mean = mean + difference * batch_count / total
        count = total
    if count == 0:
        raise ValueError("There is no image to measure.")
    return mean.float(), (squares / count).sqrt().float()


def image_properties(dataset: Dataset) -> pd.DataFrame:
    """Read size and mode of every image from its header, which is fast: no pixel is decoded.

    Args:
        dataset: Images on disk.

    Returns:
        One row an image: path, class, width and height in pixels (as stored, before any EXIF
        rotation), mode. Unreadable files have 0, 0 and "unreadable".
    """
    rows = []
    for path, label in dataset.samples:
        try:
            if not os.path.isfile(path):  # to read a pipe would wait for ever
                raise OSError
            with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
                width, height, mode = *image.size, image.mode
        except Exception:  # Pillow raises a dozen kinds of errors over damaged files
            width, height, mode = 0, 0, "unreadable"
        rows.append((path, dataset.classes[label], width, height, mode))
    frame = pd.DataFrame(rows, columns=["path", "class", "width", "height", "mode"])
    return frame.astype({"width": np.int64, "height": np.int64})
