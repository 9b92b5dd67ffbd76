"""Count and measure images before training on them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset


def class_counts(splits: dict[str, Dataset]) -> pd.DataFrame:
    """Count the images of each class (rows) in each dataset (columns), without opening any."""
    classes = next(iter(splits.values())).classes
    columns = {
        name: np.bincount(np.asarray(dataset.targets, dtype=np.int64), minlength=len(classes))
        for name, dataset in splits.items()
    }
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def mean_and_std(batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Compute the mean and standard deviation of each channel over all pixels, in one pass.

    Averaging the standard deviations of single images, as many tutorials do, gives too small a
    value: it leaves out how the images differ from each other. Sums are merged with the formula of
    Chan et al. (1983), which avoids cancellation.

    Args:
        batches: Pairs (images, targets); uint8 images are scaled to 0..1.

    Returns:
        Mean and population standard deviation, float32 of shape (channels,).
    """
    count, mean, squares = 0, 0.0, 0.0
    for images, _ in batches:
        if images.numel() == 0:
            continue
        pixels = images.cpu().double() / (1 if images.is_floating_point() else 255)
        pixels = pixels.transpose(0, 1).flatten(start_dim=1)
        batch_count, batch_mean = pixels.shape[1], pixels.mean(dim=1)
        difference, total = batch_mean - mean, count + batch_count
        squares = squares + ((pixels - batch_mean[:, None]) ** 2).sum(dim=1)
        squares = squares + difference**2 * count * batch_count / total
        mean = mean + difference * batch_count / total
        count = total
    if count == 0:
        raise ValueError("There are no images to measure.")
    return mean.float(), (squares / count).sqrt().float()


def image_properties(dataset: Dataset) -> pd.DataFrame:
    """Read path, class, width, height (before EXIF rotation) and mode of every image's header.

    Unreadable files have width and height 0 and the mode "unreadable".
    """
    rows = []
    for path, label in dataset.samples:
        try:
            with Image.open(path) as image:
                width, height, mode = *image.size, image.mode
        except Exception:  # Pillow raises a dozen kinds of errors for damaged files
            width, height, mode = 0, 0, "unreadable"
        rows.append((path, dataset.classes[label], width, height, mode))
    frame = pd.DataFrame(rows, columns=["path", "class", "width", "height", "mode"])
    return frame.astype({"width": np.int64, "height": np.int64})
