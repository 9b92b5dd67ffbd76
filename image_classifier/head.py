"""Fit the linear head of a classifier, its temperature, and its threshold for "not sure"."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, StratifiedKFold
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from course_utils.evaluation import fit_temperature
from course_utils.progress import progress

C_VALUES = tuple(10.0**power for power in np.arange(-4, 1.5, 0.5))
# More images hardly change what cross-validation selects, but take longer.
MAX_IMAGES = 5_000


@dataclass(frozen=True)
class LinearHead:
    """A linear layer and the predictions from which its regularization was selected."""

    weight: Tensor  # (classes, num_features)
    bias: Tensor  # (classes,)
    C: float  # inverse regularization strength of the logistic regression
    logits: Tensor  # of held-out images, (count, classes)
    targets: Tensor  # (count,)

    @property
    def about(self) -> str:
        """The method in words."""
        return f"logistic regression with C = {self.C:.2g}"

    def copy_to(self, layer: nn.Linear) -> None:
        """Copy weight and bias to a layer."""
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)


def fit_head(
    features: Tensor, targets: Tensor, seed: int = 0, num_val: int | None = None
) -> LinearHead:
    """Fit a multinomial logistic regression; cross-validation selects the regularization.

    The features (count, num_features) are standardized; weight and bias apply to the original
    ones. Every class needs at least two images. With `num_val`, the last images are a validation
    set, which replaces cross-validation; the head is then fitted to all images.
    """
    std, mean = torch.std_mean(features, dim=0)
    scale = 1 / std.clamp(min=1e-3)
    standardized = (features - mean).mul_(scale)  # in place, to save memory
    # With fewer images than features, the weights lie in the span of the images.
    basis = torch.linalg.qr(standardized.T)[0] if len(targets) < features.shape[1] else None
    x = (standardized if basis is None else standardized @ basis).numpy()
    y = targets.numpy()
    is_val = np.arange(len(y)) >= len(y) - (num_val or 0)
    sampled = sample_indices(2 * y + is_val, MAX_IMAGES, seed)
    chosen = np.union1d(sampled, np.flatnonzero(is_val))  # predicting them takes no time
    if num_val is None:
        folds = min(5, np.bincount(y[chosen]).min())
        cv = StratifiedKFold(folds, shuffle=True, random_state=seed)
    else:
        cv = PredefinedSplit(np.where(is_val[chosen], 0, -1))  # -1: never held out
    splits = list(cv.split(chosen, y[chosen]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # For matrices of this size, several threads mostly wait for one another.
        with threadpool_limits(1):
            C, logits = _select_C(x[chosen], y[chosen], splits)
        weight, bias = _coefficients(_model(C=C).fit(x, y))
    weight = (weight if basis is None else weight @ basis.T) * scale
    bias = bias - weight @ mean
    held_out = np.sort(np.concatenate([test for _, test in splits]))
    return LinearHead(weight, bias, C, logits[held_out], targets[chosen[held_out]])


def sample_indices(targets: Sequence[int], count: int, seed: int) -> np.ndarray:
    """Sample `count` indices at random, and up to five of each class; ascending."""
    order = np.random.default_rng(seed).permutation(len(targets))
    rank_in_class = pd.Series(order).groupby(np.asarray(targets)[order]).cumcount()
    return np.sort(order[(rank_in_class < 5) | (rank_in_class.index < count)])


Split = tuple[np.ndarray, np.ndarray]  # indices for fitting, and held-out ones


def _select_C(x: np.ndarray, y: np.ndarray, splits: Sequence[Split]) -> tuple[float, Tensor]:
    """Select C by the log loss of held-out images; return it and their logits.

    The one-standard-error rule (Breiman et al. 1984) is used: for a few images that are all
    classified correctly, the lowest loss would select the largest C and probabilities of 1.
    """
    models = [_model(warm_start=True) for _ in splits]
    tried: dict[float, tuple[Tensor, Tensor]] = {}
    held_out = np.concatenate([test for _, test in splits])
    for C in progress(C_VALUES, "selecting the regularization"):
        logits = torch.zeros(len(y), int(y.max()) + 1)
        for model, (train, test) in zip(models, splits, strict=True):
            model.set_params(C=C).fit(x[train], y[train])
            weight, bias = _coefficients(model)
            logits[test] = torch.from_numpy(x[test]) @ weight.T + bias
        tried[C] = logits, log_losses(logits[held_out], torch.from_numpy(y[held_out]))
        best = min(losses.mean() for _, losses in tried.values())
        if tried[C][1].mean() > 1.02 * best:
            break  # the loss has a single minimum
    _, lowest = min(tried.values(), key=lambda pair: pair[1].mean())
    # The strongest regularization whose loss is not clearly higher than the lowest.
    return next(
        (C, logits)
        for C, (logits, losses) in tried.items()
        if not is_clearly_lower(lowest, losses, num_standard_errors=1)
    )


def _model(**options: float) -> LogisticRegression:
    return LogisticRegression(max_iter=200, tol=1e-3, **options)


def _coefficients(model: LogisticRegression) -> tuple[Tensor, Tensor]:
    """Return weight and bias, one row per class; for two, scikit-learn stores only the second."""
    weight, bias = (torch.from_numpy(v).float() for v in (model.coef_, model.intercept_))
    if len(weight) == 1:
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return weight, bias


def calibrate(logits: Tensor, targets: Tensor) -> float:
    """Fit the temperature on logits of held-out images.

    It is 1 unless another value lowers the log loss by more than two standard errors: a smaller
    difference could be due to chance.
    """
    temperature = fit_temperature(logits, targets)
    before, after = log_losses(logits, targets), log_losses(logits / temperature, targets)
    return temperature if is_clearly_lower(after, before, num_standard_errors=2) else 1.0


def log_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the log loss of each image."""
    return nn.functional.cross_entropy(logits, targets, reduction="none")


def is_clearly_lower(losses: Tensor, reference: Tensor, num_standard_errors: float) -> bool:
    """Return whether the mean loss is lower by several standard errors of the paired difference."""
    gain = reference - losses
    return bool(gain.mean() > num_standard_errors * gain.std() / len(gain) ** 0.5)


def choose_threshold(probabilities: Tensor, targets: Tensor, target_accuracy: float) -> float:
    """Choose the smallest threshold above which predictions reach the target accuracy.

    The probabilities (count, classes) are of held-out images. The least confident 2 % of them are
    always below the threshold, so that images of something else can get "not sure" even if all
    predictions are correct. If no threshold reaches the target accuracy, it is 1.
    """
    confidence, predictions = probabilities.double().max(dim=1)
    order = confidence.argsort(descending=True)
    correct = (predictions == targets)[order].double()
    accuracy = correct.cumsum(0) / torch.arange(1, len(correct) + 1)
    enough = torch.nonzero(accuracy >= target_accuracy)
    if not len(enough):
        return 1.0
    return max(confidence[order][enough[-1]].item(), confidence.quantile(0.02).item())
