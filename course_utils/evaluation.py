"""Evaluate a trained network: metrics, their uncertainty, errors, and calibration.

Targets and predictions are class indices of shape (count,); probabilities and logits have shape
(count, classes). All may be arrays, lists, or tensors on the CPU.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from sklearn import metrics
from sklearn.utils import check_consistent_length
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.progress import progress
from course_utils.training import eval_mode

Values = ArrayLike | Tensor


@torch.no_grad()
def predict_logits(model: nn.Module, loader: DataLoader) -> tuple[Tensor, Tensor]:
    """Compute the logits of all images in a loader; return logits and targets on the CPU."""
    device = next(model.parameters()).device
    logits, targets = [], []
    with eval_mode(model):
        for images, labels in progress(loader, "predicting"):
            logits.append(model(images.to(device)).cpu())
            targets.append(labels)
    if not logits:
        raise ValueError("The loader has no batch: is the dataset empty?")
    return torch.cat(logits), torch.cat(targets)


@torch.no_grad()
def top_classes(
    model: nn.Module, image: Tensor, classes: Sequence[str], k: int = 5
) -> pd.DataFrame:
    """List the k most probable classes of one image (channels, height, width)."""
    device = next(model.parameters()).device
    with eval_mode(model):
        probabilities = model(image[None].to(device))[0].softmax(dim=0).tolist()
    frame = pd.DataFrame({"class": list(classes), "probability": probabilities})
    return frame.nlargest(k, "probability").reset_index(drop=True)


def accuracy_interval(correct: int, count: int) -> tuple[float, float]:
    """Compute the 95 % confidence interval of an accuracy (Wilson 1927)."""
    interval = binomtest(correct, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def class_report(targets: Values, predictions: Values, classes: Sequence[str]) -> pd.DataFrame:
    """Compute precision, recall, F1, and the counts of images and predictions of each class.

    Recall is NaN for a class without images, precision for a class that is never predicted.
    """
    targets, predictions = _class_indices(targets, predictions)
    indices = range(len(classes))
    if not {*targets, *predictions} <= {*indices}:
        raise ValueError(f"Class indices must be from 0 to {indices[-1]}.")
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        targets, predictions, labels=indices, zero_division=np.nan
    )
    report = pd.DataFrame({"precision": precision, "recall": recall, "f1": f1})
    report["images"] = np.bincount(targets, minlength=len(classes))
    report["predicted"] = np.bincount(predictions, minlength=len(classes))
    return report.set_index(pd.Index(classes, name="class"))


def classification_summary(targets: Values, predictions: Values) -> pd.Series:
    """Compute metrics over all classes.

    Balanced accuracy is macro-averaged recall; averages skip the NaN values of `class_report`.
    Kappa (Cohen 1960) and MCC (Matthews 1975) are 0 at chance level; kappa is NaN for one class.
    """
    targets, predictions = _class_indices(targets, predictions)
    score = partial(metrics.precision_recall_fscore_support, zero_division=np.nan)
    precision, recall, f1, _ = score(targets, predictions, average="macro")
    weighted_f1 = score(targets, predictions, average="weighted")[2]
    with warnings.catch_warnings(action="ignore"):  # scikit-learn warns if there is only one class
        kappa = metrics.cohen_kappa_score(targets, predictions)
        mcc = metrics.matthews_corrcoef(targets, predictions)
    summary = {
        "accuracy": (targets == predictions).mean(),
        "balanced accuracy": recall,
        "macro precision": precision,
        "macro F1": f1,
        "weighted F1": weighted_f1,
        "kappa": kappa,
        "MCC": mcc,
    }
    return pd.Series(summary, dtype=float)


def bootstrap_interval(
    metric: Callable, targets: Values, predictions: Values, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Compute the 95 % percentile bootstrap interval of a metric (Efron 1979).

    >>> low, high = bootstrap_interval(sklearn.metrics.cohen_kappa_score, targets, predictions)

    Images are sampled with replacement; resamples with a metric of NaN are skipped.
    """
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    check_consistent_length(targets, predictions)
    generator = np.random.default_rng(seed)
    count = len(targets)
    samples = (generator.integers(count, size=count) for _ in range(resamples))
    values = [metric(targets[sample], predictions[sample]) for sample in samples]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def mcnemar(targets: Values, first: Values, second: Values) -> float:
    """Compute the p-value of the exact two-sided McNemar test (1947).

    Null hypothesis: both classifiers are equally likely to be the only correct one.
    """
    targets, first, second = _class_indices(targets, first, second)
    one_is_correct = (first == targets) != (second == targets)
    count, first_wins = one_is_correct.sum(), (one_is_correct & (first == targets)).sum()
    return float(binomtest(first_wins, count).pvalue) if count else 1.0


def confused_pairs(matrix: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """List the confused pairs of `matrix[true, predicted]`, with their share of the true class."""
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = np.nonzero(errors)
    names, counts = np.asarray(classes, dtype=object), errors[true, predicted]
    columns = {"true": names[true], "predicted": names[predicted], "count": counts}
    frame = pd.DataFrame(columns | {"share": counts / matrix.sum(axis=1)[true]})
    return frame.sort_values("count", ascending=False, kind="stable", ignore_index=True)


def misclassified(probabilities: Values, targets: Values) -> pd.DataFrame:
    """List misclassified images, most confident first; the index is the position in the dataset."""
    probabilities, targets = _scores(probabilities, targets)
    columns = {"true": targets, "predicted": probabilities.argmax(axis=1)}
    frame = pd.DataFrame(columns | {"probability": probabilities.max(axis=1)})
    wrong = frame[frame["true"] != frame["predicted"]].rename_axis("position")
    return wrong.sort_values("probability", ascending=False, kind="stable")


def reliability_table(probabilities: Values, targets: Values, bins: int = 10) -> pd.DataFrame:
    """Compare confidence (the probability of the predicted class) with accuracy.

    Each row is a nonempty bin (low < confidence <= high); all bins have the same width.
    """
    probabilities, targets = _scores(probabilities, targets)
    # A softmax in reduced precision may slightly exceed 1.
    if probabilities.min() < 0 or probabilities.max() > 1.01:
        raise ValueError("Probabilities must be from 0 to 1: are these logits, without softmax?")
    confidence = probabilities.max(axis=1).astype(np.float64)  # float32 sums lose precision
    correct = (probabilities.argmax(axis=1) == targets).astype(np.float64)
    edges = np.arange(bins + 1) / bins
    number = np.searchsorted(edges[1:-1], confidence)
    columns = {"low": edges[number], "high": edges[number + 1]}
    frame = pd.DataFrame(columns | {"confidence": confidence, "accuracy": correct})
    groups = frame.groupby(["low", "high"], as_index=False)
    return groups.agg(
        count=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )


def expected_calibration_error(probabilities: Values, targets: Values, bins: int = 15) -> float:
    """Compute the mean gap between confidence and accuracy over all bins (Naeini et al. 2015)."""
    table = reliability_table(probabilities, targets, bins)
    return float(np.average(abs(table["confidence"] - table["accuracy"]), weights=table["count"]))


def fit_temperature(logits: Values, targets: Values) -> float:
    """Fit the temperature by which to divide logits to calibrate their softmax.

    >>> probabilities = (test_logits / fit_temperature(val_logits, val_targets)).softmax(dim=1)

    It minimizes the cross-entropy and is above 1 if the network is overconfident (Guo et al., On
    Calibration of Modern Neural Networks, 2017). It is limited to 0.5 to 10: otherwise, it would
    approach 0 if all images are classified correctly.
    """
    logits, targets = (torch.from_numpy(values) for values in _scores(logits, targets))
    logits = logits.double()

    def loss(log_temperature: float) -> float:
        return nn.functional.cross_entropy(logits / np.exp(log_temperature), targets).item()

    return float(np.exp(minimize_scalar(loss, bounds=np.log([0.5, 10]), method="bounded").x))


def suspicious_labels(probabilities: Values, targets: Values) -> pd.DataFrame:
    """List labels that are probably wrong, with a suggestion, the most suspicious first.

    A simplified form of Northcutt et al., Confident Learning (2021). The threshold of a class is
    its mean probability over the images with its label. A label is suspicious if another class
    reaches its threshold and is more probable than the label; the margin is the difference. The
    probabilities must be out-of-sample: from networks that were not trained on these images. The
    index is the position in the dataset.
    """
    probabilities, targets = _scores(probabilities, targets)
    probabilities = probabilities.astype(np.float64)
    own = probabilities[np.arange(len(targets)), targets]
    thresholds = pd.Series(own).groupby(targets).mean().reindex(range(probabilities.shape[1]))
    candidates = np.where(probabilities >= thresholds.to_numpy(), probabilities, -np.inf)
    columns = {"label": targets, "suggestion": candidates.argmax(axis=1)}
    frame = pd.DataFrame(columns | {"margin": candidates.max(axis=1) - own})
    suspicious = frame[frame["margin"] > 0].rename_axis("position")
    return suspicious.sort_values("margin", ascending=False, kind="stable")


# NumPy would silently broadcast or truncate the inputs that these checks reject.


def _class_indices(*columns: Values) -> list[np.ndarray]:
    """Check class indices of the same images; return them as int64."""
    arrays = [np.asarray(column) for column in columns]
    check_consistent_length(*arrays)
    for array in arrays:
        if array.ndim != 1 or np.mod(array, 1).any():  # any() is also true for NaN
            raise ValueError("Class indices must be integers: did you forget argmax(dim=1)?")
    return [array.astype(np.int64) for array in arrays]


def _scores(scores: Values, targets: Values) -> tuple[np.ndarray, np.ndarray]:
    """Check scores of shape (count, classes) and class indices of the same images."""
    scores, (targets,) = np.asarray(scores), _class_indices(targets)
    check_consistent_length(scores, targets)
    if scores.ndim != 2 or not 0 <= targets.min() <= targets.max() < scores.shape[1]:
        raise ValueError(
            f"Scores need one row per image, one column per class, not {scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError("Some scores are NaN or infinite: did the training diverge?")
    return scores, targets
