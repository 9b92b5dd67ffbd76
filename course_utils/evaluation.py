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
from course_utils.training import eval_mode, mixed_precision

NO_IMAGES = "There are no images to judge: is the dataset empty?"


@torch.no_grad()
def predict_logits(
    model: nn.Module, loader: DataLoader, amp: bool = False
) -> tuple[Tensor, Tensor]:
    """Collect the logits of all images of a loader.

    Args:
        model: The network; its mode (train or eval) is restored afterwards.
        loader: Batches (images, targets), not shuffled if the order matters to you.
        amp: Compute with short numbers where the device is faster with them; see `training.fit`.

    Returns:
        Logits of shape (count, classes) and targets of shape (count,), both on the CPU and in the
        order of the loader.

    Raises:
        ValueError: The loader has no batch.
    """
    device = next(model.parameters()).device
    logits, targets = [], []
    with eval_mode(model):
        for images, labels in Progress(loader, "predicting"):
            with mixed_precision(device, amp):
                outputs = model(images.to(device))
            logits.append((outputs.float() if amp else outputs).cpu())
            targets.append(labels)
    if not logits:
        raise ValueError("There is no batch to predict: is the dataset empty?")
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

    Raises:
        ValueError: There are more or fewer names than logits.

    Example:
        >>> top_classes(model, transform(load_image("photo.jpg")), classes)
    """
    device = next(model.parameters()).device
    with eval_mode(model):
        probabilities = model(image[None].to(device))[0].softmax(dim=0).cpu()
    if len(probabilities) != len(classes):
        raise ValueError(
            f"The network has {len(probabilities)} outputs, but there are {len(classes)} names."
        )
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

    Raises:
        ValueError: There are no predictions, or more right ones than predictions.

    Example:
        >>> [round(end, 2) for end in accuracy_interval(90, 100)]
        [0.83, 0.94]
    """
    if count < 1 or not 0 <= correct <= count:
        raise ValueError(f"{correct} of {count} predictions cannot be right: count both again.")
    interval = binomtest(correct, count).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


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
        ValueError: The lengths differ, or there are no images, or an index is no class (nor is a
            probability).

    Example:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
        [[1, 1], [0, 1]]
    """
    targets, predictions = _labels(targets, predictions)
    both = np.concatenate([targets, predictions])
    if not 0 <= both.min() <= both.max() < num_classes:
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
            "f1": hits / ((images + predicted) / 2),  # 2 * hits would overflow as uint8
            "images": images,
            "predicted": predicted,
        }
    return pd.DataFrame(columns, index=pd.Index(classes, name="class"))


def classification_summary(matrix: np.ndarray) -> pd.Series:
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

    Raises:
        ValueError: The matrix counts no image.
    """
    if not matrix.any():
        raise ValueError(NO_IMAGES)
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

    Raises:
        ValueError: The scores do not fit the targets, or some are NaN, or there are none.
    """
    scores, targets = _scored(scores, targets)
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

    Raises:
        ValueError: The lengths differ, or there are no images.

    Example:
        >>> low, high = bootstrap_interval(sklearn.metrics.cohen_kappa_score, targets, predictions)
    """
    targets, predictions = _array(targets), _array(predictions)
    _require_same_length(targets, predictions)
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

    Raises:
        ValueError: The lengths differ, or there are no images.
    """
    targets, first = _labels(targets, first)
    targets, second = _labels(targets, second)
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


def misclassified(probabilities: ArrayLike | Tensor, targets: ArrayLike | Tensor) -> pd.DataFrame:
    """List the images that were classified wrongly, the most confident mistake first.

    Args:
        probabilities: Shape (count, classes).
        targets: Class indices of shape (count,).

    Returns:
        One row a mistake: true, predicted (class indices) and probability (of the predicted
        class). The index of the frame is the position of the image in the dataset.

    Raises:
        ValueError: The probabilities do not fit the targets, or some are NaN, or there are none.
    """
    probabilities, targets = _scored(probabilities, targets)
    predictions = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predictions != targets)
    frame = pd.DataFrame(
        {
            "true": targets[wrong],
            "predicted": predictions[wrong],
            "probability": probabilities[wrong, predictions[wrong]],
        },
        index=pd.Index(wrong, name="position"),
    )
    return frame.sort_values("probability", ascending=False, kind="stable")


def reliability_table(
    probabilities: ArrayLike | Tensor, targets: ArrayLike | Tensor, bins: int = 10
) -> pd.DataFrame:
    """Compare how sure a classifier is with how often it is right.

    Args:
        probabilities: Shape (count, classes).
        targets: Class indices of shape (count,).
        bins: Into how many equal parts the range of probabilities from 0 to 1 is cut.

    Returns:
        One row for each bin that holds images: low, high (the bin is low < p <= high), count,
        confidence (mean probability of the predicted class) and accuracy.

    Raises:
        ValueError: The probabilities do not fit the targets, or some are not from 0 to 1, or there
            are none.
    """
    probabilities, targets = _scored(probabilities, targets)
    # A softmax in half precision may end a little above 1.
    if probabilities.min() < 0 or probabilities.max() > 1.01:
        raise ValueError("Probabilities must be from 0 to 1: are these logits, without softmax?")
    confidence = probabilities.max(axis=1).astype(np.float64)  # sums of float32 would drift
    edges = np.arange(bins + 1) / bins
    frame = pd.DataFrame(
        {
            "bin": np.searchsorted(edges[1:-1], confidence),
            "count": 1,
            "confidence": confidence,
            "accuracy": (probabilities.argmax(axis=1) == targets).astype(np.float64),
        }
    )
    columns = {"count": "sum", "confidence": "mean", "accuracy": "mean"}
    table = frame.groupby("bin").agg(columns).reset_index()
    table.insert(0, "low", edges[table["bin"]])
    table.insert(1, "high", edges[table.pop("bin") + 1])
    return table


def expected_calibration_error(
    probabilities: ArrayLike | Tensor, targets: ArrayLike | Tensor, bins: int = 15
) -> float:
    """Give the mean distance between confidence and accuracy (Naeini et al. 2015).

    Args:
        probabilities: Shape (count, classes).
        targets: Class indices of shape (count,).
        bins: See `reliability_table`; the value depends on it, so compare only equal numbers of bins.

    Returns:
        From 0 to 1; each bin of probabilities counts by its images.

    Raises:
        ValueError: See `reliability_table`.
    """
    table = reliability_table(probabilities, targets, bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float((gaps * table["count"]).sum() / table["count"].sum())


def coverage_curve(probabilities: ArrayLike | Tensor, targets: ArrayLike | Tensor) -> pd.DataFrame:
    """Say what a classifier that may answer "not sure" reaches, at every hundredth.

    Args:
        probabilities: Shape (count, classes).
        targets: Class indices of shape (count,).

    Returns:
        101 rows: threshold (0 to 1), coverage (the share of images whose largest probability is
        not below it) and accuracy (of these images; NaN where none is left). The trade-off of
        C. Chow, On Optimum Recognition Error and Reject Tradeoff (1970).

    Raises:
        ValueError: The probabilities do not fit the targets, or some are NaN, or there are none.
    """
    probabilities, targets = _scored(probabilities, targets)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    rows = []
    for threshold in np.arange(101) / 100:
        answered = confidence >= threshold
        accuracy = right[answered].mean() if answered.any() else np.nan
        rows.append((threshold, answered.mean(), accuracy))
    return pd.DataFrame(rows, columns=["threshold", "coverage", "accuracy"])


def fit_temperature(logits: ArrayLike | Tensor, targets: ArrayLike | Tensor) -> float:
    """Find the number by which to divide logits so that their softmax is honest.

    Temperature scaling, from C. Guo et al., On Calibration of Modern Neural Networks (2017). The
    predicted classes stay the same.

    Args:
        logits: Shape (count, classes), of images that were not used for training.
        targets: Class indices of shape (count,).

    Returns:
        The temperature from 0.01 to 100 with the smallest cross-entropy: over 1 if the network is
        too sure of itself, under 1 if it is too modest.

    Raises:
        ValueError: The logits do not fit the targets, or some are no finite numbers, or there are
            none.

    Example:
        >>> probabilities = (test_logits / fit_temperature(val_logits, val_targets)).softmax(dim=1)
    """
    logits, targets = (torch.from_numpy(values) for values in _scored(logits, targets))
    logits = logits.double()
    if not logits.isfinite().all():
        raise ValueError("Some logits are infinite: did the training diverge?")

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
        image in the dataset.

    Raises:
        ValueError: The probabilities do not fit the labels, or some are NaN, or there are none.
    """
    probabilities, targets = _scored(probabilities, targets)
    probabilities = probabilities.astype(np.float64)
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


# The checks below refuse what NumPy would broadcast, truncate or compare to a number that looks
# right.


def _array(values: ArrayLike | Tensor) -> np.ndarray:
    """Give an array on the CPU."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def _class_indices(values: ArrayLike | Tensor) -> np.ndarray:
    """Give class indices as int64: smaller types would overflow when multiplied."""
    values = _array(values)
    with np.errstate(invalid="ignore"):
        indices = values.astype(np.int64)
    if indices.ndim != 1 or (indices != values).any():
        raise ValueError(
            f"Class indices must be whole numbers of shape (count,), not {values.dtype} of shape "
            f"{values.shape}. Did you forget argmax(dim=1)?"
        )
    return indices


def _labels(
    targets: ArrayLike | Tensor, predictions: ArrayLike | Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Give class indices for the same images."""
    targets, predictions = _class_indices(targets), _class_indices(predictions)
    _require_same_length(targets, predictions)
    return targets, predictions


def _require_same_length(targets: np.ndarray, predictions: np.ndarray) -> None:
    if len(targets) != len(predictions):
        raise ValueError(f"{len(targets)} targets but {len(predictions)} predictions.")
    if len(targets) == 0:
        raise ValueError(NO_IMAGES)


def _scored(
    scores: ArrayLike | Tensor, targets: ArrayLike | Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Give scores of shape (count, classes) and class indices for the same images."""
    scores, targets = _array(scores), _class_indices(targets)
    _require_same_length(targets, scores)
    if scores.ndim != 2 or not 0 <= targets.min() <= targets.max() < scores.shape[1]:
        raise ValueError(
            f"Scores of shape {scores.shape} do not fit class indices from {targets.min()} to "
            f"{targets.max()}: there must be one column for each class."
        )
    if np.isnan(scores).any():
        raise ValueError("Some scores are NaN: did the training diverge?")
    return scores, targets
