"""Judge a trained network: its predictions, and how sure one can be of the figures."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.progress import Progress


@torch.no_grad()
def predict(model: nn.Module, loader: DataLoader) -> tuple[Tensor, Tensor]:
    """Collect the logits of all images of a loader.

    Args:
        model: The network; its mode (train or eval) is restored afterwards.
        loader: Batches (images, targets), not shuffled if the order matters to you.

    Returns:
        Logits of shape (count, classes) and targets of shape (count,), both on the CPU and in the
        order of the loader.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logits, targets = [], []
    for images, labels in Progress(loader, "predicting"):
        logits.append(model(images.to(device)).cpu())
        targets.append(labels)
    model.train(was_training)
    return torch.cat(logits), torch.cat(targets)


def accuracy_interval(correct: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Give the range in which the true accuracy lies, as far as a sample can tell.

    It is Wilson's interval (1927), which stays between 0 and 1 and is right for small samples too.

    Args:
        correct: Right predictions.
        count: All predictions.
        confidence: How often such an interval covers the truth.

    Returns:
        The lower and the upper end.

    Example:
        >>> [round(end, 2) for end in accuracy_interval(90, 100)]
        [0.83, 0.94]
    """
    interval = binomtest(correct, count).proportion_ci(confidence, method="wilson")
    return interval.low, interval.high


def confusion_matrix(
    targets: ArrayLike | Tensor, predictions: ArrayLike | Tensor, num_classes: int
) -> np.ndarray:
    """Count how often each class was taken for each other; rows are true classes.

    Args:
        targets: Class indices of shape (count,).
        predictions: Class indices of shape (count,).
        num_classes: How many classes there are, those that do not occur included.

    Returns:
        int64 counts of shape (num_classes, num_classes): `matrix[true, predicted]`, the order of
        `sklearn.metrics.confusion_matrix`.

    Example:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    cells = np.asarray(targets) * num_classes + np.asarray(predictions)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
