"""Judge a trained network: its predictions, and how sure one can be of the figures."""

import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.utils.data import DataLoader


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
    for images, labels in loader:
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
