"""Judge a trained network: its predictions, its mistakes, and how sure one can be of both."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
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


@torch.no_grad()
def top_classes(
    model: nn.Module, image: Tensor, classes: Sequence[str], most: int = 5
) -> pd.DataFrame:
    """Name the most likely classes of one image, as an application would show them.

    Args:
        model: The network; its mode (train or eval) is restored afterwards.
        image: What the network takes, without the batch: shape (channels, height, width).
        classes: The names in the order of the logits.
        most: How many classes to name at most.

    Returns:
        One row a class, the most likely first: class and probability (0 to 1).

    Example:
        >>> top_classes(model, transform(load_image("photo.jpg")), classes)
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    probabilities = model(image[None].to(device))[0].softmax(dim=0).cpu()
    model.train(was_training)
    values, indices = probabilities.topk(min(most, len(classes)))
    names = [classes[index] for index in indices.tolist()]
    return pd.DataFrame({"class": names, "probability": values.tolist()})


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

    Raises:
        ValueError: The lengths differ, or an index is no class.

    Example:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    targets, predictions = _array(targets, np.int64), _array(predictions, np.int64)
    if targets.shape != predictions.shape:
        raise ValueError(f"{targets.size} targets but {predictions.size} predictions.")
    both = np.concatenate([targets, predictions])
    if both.size and not 0 <= both.min() <= both.max() < num_classes:
        raise ValueError(
            f"Class indices must be from 0 to {num_classes - 1}; found {both.min()} to "
            f"{both.max()}. Is num_classes right?"
        )
    cells = targets * num_classes + predictions
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_report(matrix: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Give precision, recall and F1 of each class.

    Args:
        matrix: Counts of shape (classes, classes), `matrix[true, predicted]`.
        classes: The names in the order of the indices.

    Returns:
        One row a class: precision, recall, f1, images (of this class) and predicted (as this
        class). A class without images has no recall, one that was never predicted no precision:
        they are NaN, as in scikit-learn with `zero_division=np.nan`.
    """
    hits, images, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        columns = {
            "precision": hits / predicted,
            "recall": hits / images,
            "f1": 2 * hits / (images + predicted),
            "images": images,
            "predicted": predicted,
        }
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def summary(matrix: np.ndarray) -> pd.Series:
    """Press a confusion matrix into single numbers.

    Macro averages are means over classes, whatever their sizes; weighted ones count each class by
    its images. Kappa (Cohen 1960) and MCC (Matthews 1975, for several classes Gorodkin 2004) are 0
    for a classifier that does not look at the images, and 1 for a perfect one.

    Args:
        matrix: Counts of shape (classes, classes), `matrix[true, predicted]`.

    Returns:
        accuracy, balanced accuracy (the macro recall), macro precision, macro F1, weighted F1,
        kappa and MCC, equal to scikit-learn's. Classes that do not occur are left out. Where all
        images or all predictions are of one class, MCC is 0, and kappa too, unless all are right:
        then it is NaN.
    """
    report = class_report(matrix, range(len(matrix)))
    images, predicted, count = matrix.sum(axis=1), matrix.sum(axis=0), int(matrix.sum())
    # Whole numbers, count² times the shares: a classifier that knows nothing gets exactly 0.
    right, by_chance = count * int(np.trace(matrix)), int((images * predicted).sum())
    spread = float(count**2 - (images**2).sum()) * float(count**2 - (predicted**2).sum())
    values = {
        "accuracy": np.trace(matrix) / count,
        "balanced accuracy": report["recall"].mean(),
        "macro precision": report["precision"].mean(),
        "macro F1": report["f1"].mean(),
        "weighted F1": (report["f1"] * images).sum() / count,
        "kappa": (right - by_chance) / (count**2 - by_chance) if by_chance < count**2 else np.nan,
        "MCC": (right - by_chance) / np.sqrt(spread) if spread > 0 else 0.0,
    }
    return pd.Series(values, dtype=float)


def top_k_accuracy(scores: ArrayLike | Tensor, targets: ArrayLike | Tensor, k: int) -> float:
    """Give the share of images whose true class is among the k most likely ones.

    Args:
        scores: Logits or probabilities of shape (count, classes).
        targets: Class indices of shape (count,).
        k: How many guesses are allowed.

    Returns:
        From 0 to 1. A class that ties with the true one counts as more likely, so a network that
        gives all classes the same score does not look good.
    """
    scores, targets = _array(scores), _array(targets, np.int64)
    own = scores[np.arange(len(targets)), targets]
    return float(((scores >= own[:, None]).sum(axis=1) <= k).mean())


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    targets: ArrayLike | Tensor,
    predictions: ArrayLike | Tensor,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Give the range in which a metric lies, as far as a sample of images can tell.

    The images are drawn anew with replacement again and again, and the metric is computed for each
    draw (Efron 1979, the percentile interval).

    Args:
        metric: Takes targets and predictions and gives a number, as scikit-learn's metrics do.
        targets: Class indices of shape (count,).
        predictions: Whatever the metric takes, of shape (count, …).
        confidence: How often such an interval covers the truth, for samples that are not tiny.
        resamples: How many draws.
        seed: Of the draws.

    Returns:
        The lower and the upper end.

    Example:
        >>> low, high = bootstrap_interval(sklearn.metrics.cohen_kappa_score, targets, predictions)
    """
    targets, predictions = _array(targets), _array(predictions)
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(targets), size=(resamples, len(targets)))
    values = [metric(targets[draw], predictions[draw]) for draw in draws]
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mcnemar(
    targets: ArrayLike | Tensor, first: ArrayLike | Tensor, second: ArrayLike | Tensor
) -> float:
    """Test whether two classifiers are equally good, on the same images (McNemar 1947).

    Only images that one of them has right and the other wrong can tell. If both are equally good,
    each wins such an image with probability one half.

    Args:
        targets: Class indices of shape (count,).
        first: Predictions of one classifier.
        second: Predictions of the other.

    Returns:
        The p-value of the exact binomial test, from both sides; 1 if they never differ.
    """
    targets, first, second = (_array(values) for values in (targets, first, second))
    only_first = int(((first == targets) & (second != targets)).sum())
    only_second = int(((first != targets) & (second == targets)).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def confused_pairs(matrix: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """List which class is taken for which other, the most frequent mistake first.

    Args:
        matrix: Counts of shape (classes, classes), `matrix[true, predicted]`.
        classes: The names in the order of the indices.

    Returns:
        One row for each kind of mistake that occurs: true, predicted, count, and share (of the
        images of the true class).
    """
    mistakes = matrix - np.diag(np.diag(matrix))
    true, predicted = np.nonzero(mistakes)
    frame = pd.DataFrame(
        {
            "true": [classes[index] for index in true],
            "predicted": [classes[index] for index in predicted],
            "count": mistakes[true, predicted],
            "share": mistakes[true, predicted] / matrix.sum(axis=1)[true],
        }
    )
    return frame.sort_values("count", ascending=False, kind="stable", ignore_index=True)


def mistakes(probabilities: Tensor, targets: Tensor) -> pd.DataFrame:
    """List the images that were classified wrongly, the most confident mistake first.

    Args:
        probabilities: Shape (count, classes).
        targets: Class indices of shape (count,).

    Returns:
        One row a mistake: true, predicted (class indices) and probability (of the predicted
        class). The index of the frame is the position of the image in the data set.
    """
    probabilities, targets = probabilities.cpu(), targets.cpu()
    confidence, predictions = probabilities.max(dim=1)
    wrong = torch.nonzero(predictions != targets)[:, 0]
    frame = pd.DataFrame(
        {
            "true": targets[wrong].numpy(),
            "predicted": predictions[wrong].numpy(),
            "probability": confidence[wrong].numpy(),
        },
        index=pd.Index(wrong.numpy(), name="position"),
    )
    return frame.sort_values("probability", ascending=False, kind="stable")


def reliability(probabilities: Tensor, targets: Tensor, bins: int = 10) -> pd.DataFrame:
    """Compare how sure a classifier is with how often it is right.

    Args:
        probabilities: Shape (count, classes).
        targets: Class indices of shape (count,).
        bins: Into how many equal parts the range of probabilities from 0 to 1 is cut.

    Returns:
        One row for each bin that holds images: low, high (the bin is low < p <= high), count,
        confidence (mean probability of the predicted class) and accuracy.
    """
    # MPS has no double, and sums of floats would drift.
    probabilities, targets = probabilities.cpu().double(), targets.cpu()
    confidence, predictions = probabilities.max(dim=1)
    frame = pd.DataFrame(
        {
            "bin": (confidence * bins).ceil().long().clamp(1, bins).numpy() - 1,
            "count": 1,
            "confidence": confidence.numpy(),
            "accuracy": (predictions == targets).double().numpy(),
        }
    )
    columns = {"count": "sum", "confidence": "mean", "accuracy": "mean"}
    table = frame.groupby("bin").agg(columns).reset_index()
    table.insert(0, "low", table["bin"] / bins)
    table.insert(1, "high", (table.pop("bin") + 1) / bins)
    return table


def expected_calibration_error(probabilities: Tensor, targets: Tensor, bins: int = 15) -> float:
    """Give the mean distance between confidence and accuracy (Naeini et al. 2015).

    Args:
        probabilities: Shape (count, classes).
        targets: Class indices of shape (count,).
        bins: See `reliability`; the value depends on it, so compare only equal numbers of bins.

    Returns:
        From 0 to 1; each bin of probabilities counts by its images.
    """
    table = reliability(probabilities, targets, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float((gaps * table["count"]).sum() / table["count"].sum())


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Find the number by which to divide logits so that their softmax is honest.

    Temperature scaling, from C. Guo et al., On Calibration of Modern Neural Networks (2017). The
    predicted classes stay the same.

    Args:
        logits: Shape (count, classes), of images that were not used for training.
        targets: Class indices of shape (count,).

    Returns:
        The temperature from 0.01 to 100 with the smallest cross-entropy: over 1 if the network is
        too sure of itself, under 1 if it is too modest.

    Example:
        >>> probabilities = (test_logits / fit_temperature(val_logits, val_targets)).softmax(dim=1)
    """
    logits, targets = logits.cpu().double(), targets.cpu()  # MPS has no double

    def loss(log_temperature: float) -> float:
        return nn.functional.cross_entropy(logits / np.exp(log_temperature), targets).item()

    limit = np.log(100)
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))


def suspicious_labels(
    probabilities: ArrayLike | Tensor, targets: ArrayLike | Tensor
) -> pd.DataFrame:
    """List labels that are probably wrong, the most suspicious one first.

    Confident disagreement, a simple form of C. Northcutt et al., Confident Learning (2021): a class
    claims an image if its probability is at least as high as for the average image that bears this
    label. A label is suspicious if another class claims the image and is likelier than the label.

    Args:
        probabilities: Shape (count, classes), from networks that have not been trained on the same
            images (cross-validation); a network believes the labels it was trained on.
        targets: The labels given, class indices of shape (count,).

    Returns:
        One row for each suspicious label: label, suggestion (class indices) and margin (probability
        of the suggestion minus that of the label). The index of the frame is the position of the
        image in the data set.
    """
    probabilities, targets = _array(probabilities, np.float64), _array(targets, np.int64)
    own = probabilities[np.arange(len(targets)), targets]
    counts = np.bincount(targets, minlength=probabilities.shape[1])
    sums = np.bincount(targets, weights=own, minlength=probabilities.shape[1])
    thresholds = np.divide(sums, counts, out=np.full(len(counts), np.inf), where=counts > 0)
    claimed = np.where(probabilities >= thresholds, probabilities, -np.inf)
    suggestion = claimed.argmax(axis=1)
    chosen = np.flatnonzero(claimed.max(axis=1) > own)
    best = probabilities[chosen, suggestion[chosen]]
    frame = pd.DataFrame(
        {
            "label": targets[chosen],
            "suggestion": suggestion[chosen],
            "margin": best - own[chosen],
        },
        index=pd.Index(chosen, name="position"),
    )
    return frame.sort_values("margin", ascending=False, kind="stable")


def _array(values: ArrayLike | Tensor, dtype: type | None = None) -> np.ndarray:
    """Give an array on the CPU; small integer types must not overflow when multiplied."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=dtype)
