"""The checks of notebook 09: grouped splits, thresholds, conformal sets, pixels, a decision."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_exercises.checks import Hint, NotTried, call, close, exercise, kind, plain, same
from course_exercises.reports import is_count, is_number, report_of, require_word
from course_utils.evaluation import accuracy_interval

# 09.1: a split by group


@exercise("09.1")
def check_grouped_split(answer: Any) -> None:
    """Test mixed groups of unequal size, and shares that round to no group or to all."""
    ten = [number % 10 for number in range(37)]
    cases = [
        (ten, 0.2, 2),
        (["rex", "bello", "rex", "lassie", "bello", "rex"], 0.01, 1),
        (["a"] * 20 + ["b", "c"], 0.99, 2),
    ]

    def split(groups: list, share: float, seed: int) -> Any:
        show = f"{len(groups)} images, share={share}, seed={seed}"
        return plain(call(answer, list(groups), share, seed=seed, show=show))

    found = [split(groups, share, 3) for groups, share, _ in cases]
    if all(same(indices, []) for indices in found):
        raise NotTried
    for (groups, share, wanted), indices in zip(cases, found, strict=True):
        _require_split(groups, share, wanted, indices)
    draws = [split(ten, 0.2, seed) for seed in range(9)]
    if all(draw == draws[0] for draw in draws):
        raise Hint("Nine seeds give the same split: is the seed used?")
    if split(ten, 0.2, 0) != draws[0]:
        raise Hint("The same seed gives a different split the second time.")


def _require_split(groups: list, share: float, wanted: int, indices: Any) -> None:
    if not isinstance(indices, list | tuple) or not all(map(is_count, indices)):
        raise Hint(f"A list of indices is expected, not a {kind(indices)}.")
    if any(i >= len(groups) for i in indices) or len(set(indices)) < len(indices):
        raise Hint(f"For {len(groups)} images, {indices} are not valid, unique indices.")
    test = {groups[i] for i in indices}
    rest = {group for i, group in enumerate(groups) if i not in indices}
    count = f"With share={share}, {len(test)} of {len(set(groups))} groups are in the test set"
    if both := test & rest:
        raise Hint(f"Images of {min(both, key=str)!r} are on both sides: sample groups instead.")
    if not test:
        raise Hint(f"{count}; there should be at least one.")
    if not rest:
        raise Hint(f"{count}, and no group is left for training.")
    if len(test) != wanted:
        raise Hint(f"{count}; {wanted} would be closer. The share is one of groups, not of images.")
    if list(indices) != sorted(indices):
        raise Hint("The indices should be in ascending order.")


# 09.2: the lowest threshold for a target risk


@exercise("09.2")
def check_lowest_threshold(answer: Any) -> None:
    """Test unsorted confidences, a risk that rises and falls, ties, and no threshold."""
    cases = [
        ([0.9, 0.8, 0.7, 0.6], [False, True, False, False], 0.3, 0.6),
        ([0.9, 0.8, 0.7, 0.6], [True, False, False, False], 0.3, 0.6),
        ([0.6, 0.9, 0.7, 0.8], [True, False, True, False], 0.2, 0.8),
        ([0.5, 0.9, 0.7, 0.8], [False, False, True, False], 0.34, 0.5),
        ([0.9, 0.7, 0.7, 0.7], [False, True, False, False], 0.2, 0.9),
        ([0.9, 0.8], [True, True], 0.1, math.inf),
        ([0.9, 0.8, 0.7, 0.6, 0.5], [False, False, False, False, True], 0.2, 0.5),
    ]
    for confidence, wrong, target, expected in cases:
        show = f"confidences {confidence}, wrong {wrong}, target {target}"
        arrays = np.array(confidence), np.array(wrong)
        found = plain(call(answer, *arrays, target, show=show))
        if arrays[0].tolist() != confidence or arrays[1].tolist() != wrong:
            raise Hint("Your function changes the arrays that it was given.")
        if not isinstance(found, int | float) or isinstance(found, bool):
            raise Hint(f"A number is expected, not a {kind(found)}.")
        if found != expected and not close(found, expected):
            _explain_threshold(confidence, wrong, target, found, expected)


def _explain_threshold(
    confidence: list[float], wrong: list[bool], target: float, found: float, expected: float
) -> None:
    case = f"With confidences {confidence}, wrong {wrong} and target {target},"
    kept = [is_wrong for value, is_wrong in zip(confidence, wrong, strict=True) if value >= found]
    risk = sum(kept) / len(kept) if kept else 0.0
    if math.isinf(expected):
        raise Hint(
            f'{case} no threshold reaches the target: float("inf") is expected, not {found}.'
        )
    if math.isinf(found) or not kept:
        raise Hint(f"{case} you reject all images, but at {expected} the risk is low enough.")
    if risk > target + 1e-9:
        raise Hint(
            f"{case} you return {found}: of the {len(kept)} images with at least this confidence, "
            f"{sum(kept)} are wrong, a risk of {risk:.2f}. Images with equal confidence are "
            "accepted together."
        )
    if found not in confidence:
        raise Hint(f"{case} {found} is not one of the confidences.")
    raise Hint(
        f"{case} {found} reaches the target, but so does {expected}, which accepts more images: "
        "the risk may fall again, and it may be equal to the target."
    )


# 09.3: one conformal threshold per class


@exercise("09.3")
def check_class_thresholds(answer: Any) -> None:
    """Test classes of different sizes, one too small and one without images."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [20, 9, 8])
    scores = np.arange(len(labels)) / 10
    mixed = generator.permutation(len(labels))
    scores, labels = scores[mixed], labels[mixed]
    for alpha in (0.1, 0.3):
        kept = scores.copy(), labels.copy()
        show = f"37 scores of three classes, num_classes=4, alpha={alpha}"
        found = plain(call(answer, scores, labels, 4, alpha, show=show))
        if same(found, []):
            raise NotTried
        if not np.array_equal(scores, kept[0]) or not np.array_equal(labels, kept[1]):
            raise Hint("Your function changes the arrays that it was given.")
        if not isinstance(found, list | tuple) or len(found) != 4:
            raise Hint("A list with one threshold for each of the 4 classes is expected.")
        for label, value in enumerate(found):
            _require_class_threshold(scores, labels, label, alpha, value)


def _kth(scores: np.ndarray, k: int) -> float:
    return float(np.sort(scores)[k - 1]) if 1 <= k <= len(scores) else math.inf


def _require_class_threshold(
    scores: np.ndarray, labels: np.ndarray, label: int, alpha: float, found: Any
) -> None:
    own = scores[labels == label]
    count, k = len(own), math.ceil((len(own) + 1) * (1 - alpha) - 1e-9)
    expected = _kth(own, k)
    case = f"With alpha={alpha}, class {label} has {count} images and k = {k}"
    if not isinstance(found, int | float):
        raise Hint(f"A number is expected for each class, not a {kind(found)}.")
    if found == expected or close(found, expected):
        return
    if k > count:
        raise Hint(f'{case}, more than there are: float("inf") is expected, not {found:g}.')
    if close(found, _kth(scores, math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))):
        raise Hint(f"{case}; {found:g} is the threshold for all classes together.")
    if close(found, _kth(own, math.ceil(count * (1 - alpha) - 1e-9))):
        raise Hint(f"{case}; you compute k with {count} instead of {count} + 1.")
    if close(found, _kth(own, k + 1)):
        raise Hint(f"{case}; you return the score of rank {k + 1}: Python counts from 0.")
    if close(found, float(np.quantile(own, 1 - alpha)), 1e-9):
        raise Hint(f"{case}; np.quantile interpolates between scores and ignores the + 1.")
    if close(found, -_kth(-own, k)):
        raise Hint(f"{case}; you count from the largest score, not from the smallest.")
    raise Hint(f"{case}: the score of that rank is {expected:g}, not {found:g}.")


# 09.4: pixels from another program


@exercise("09.4")
def check_to_batch(answer: Any) -> None:
    """Test an image in which no two values are equal."""
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    kept = pixels.copy()
    found = call(answer, pixels, show="an image of 4 x 5 pixels")
    wanted = torch.from_numpy(kept).permute(2, 0, 1)[None]
    if not np.array_equal(pixels, kept):
        raise Hint("Your function changes the array that it was given.")
    if not isinstance(found, Tensor):
        raise Hint(f"A tensor is expected, not a {kind(found)}.")
    if found.shape != wanted.shape:
        raise Hint(f"The shape should be {tuple(wanted.shape)}, not {tuple(found.shape)}.")
    if same(found.flatten(), kept.flatten().tolist()):
        raise NotTried("the values keep their order, so the channels are mixed up")
    if torch.equal(found, wanted.flip(1)):
        raise Hint("Red and blue are swapped; the channels were red, green, blue already.")
    if found.dtype != torch.uint8:
        raise Hint(f"uint8 is expected, not {found.dtype}: the classifier normalizes.")
    if not torch.equal(found, wanted):
        raise Hint(
            f"The first pixel is {kept[0, 0].tolist()} in the image and "
            f"{found[0, :, 0, 0].tolist()} in the batch. Which function reorders the axes?"
        )


# 09.5: does a threshold pay off?

EXAMPLE = {"images": 94, "answered": 80, "wrong": 3, "wrong without threshold": 8}


@exercise("09.5")
def check_release(answer: Any) -> None:
    """Check that interval, costs and verdict follow from the counts."""
    counts = "images", "answered", "wrong", "wrong without threshold"
    rest = "costs", "risk interval", "cost", "cost without threshold", "verdict"
    report = report_of(answer, *counts, *rest)
    images, answered, wrong, all_wrong = map(report.get, counts)
    for key in counts:
        if not is_count(report[key]):
            raise Hint(f'"{key}" should be an integer of at least 0, not {report[key]!r:.40}.')
    if all(report[key] == EXAMPLE[key] for key in counts):
        raise Hint("These are the counts of the example: use your own images, or section 5.")
    if not wrong <= answered <= images or not wrong <= all_wrong <= images or not answered:
        raise Hint("The counts are inconsistent: wrong <= answered <= images, answered >= 1.")
    if all_wrong - wrong > images - answered:
        raise Hint(
            f"With the threshold, {images - answered} images are not answered, so it cannot avoid "
            f"{all_wrong - wrong} errors."
        )
    costs = report["costs"]
    if np.shape(costs) != (2,) or not all(is_number(cost, 0) and cost > 0 for cost in costs):
        raise Hint('"costs" should be two positive numbers, of a wrong prediction and of a human.')
    _require_interval(report["risk interval"], wrong, answered, images)
    with_threshold = 1000 * (wrong * costs[0] + (images - answered) * costs[1]) / images
    without = 1000 * all_wrong * costs[0] / images
    for key, expected in (("cost", with_threshold), ("cost without threshold", without)):
        _require_release_cost(report[key], key, expected, images)
    options = {"threshold": with_threshold, "no threshold": without, "human": 1000 * costs[1]}
    listed = ", ".join(f"{name} {cost:.0f}" for name, cost in options.items())
    require_word(report, "verdict", options)
    if options[report["verdict"]] > min(options.values()) + 0.51:
        raise Hint(f'"verdict": {report["verdict"]!r} is not the cheapest ({listed}).')


def _require_interval(given: Any, wrong: int, answered: int, images: int) -> None:
    if np.shape(given) != (2,) or not all(is_number(end) for end in given):
        raise Hint('"risk interval" should be two numbers, the lower and the upper end.')
    if np.allclose(given, accuracy_interval(wrong, answered), atol=0.0051):
        return
    if images != answered and np.allclose(given, accuracy_interval(wrong, images), atol=0.0051):
        raise Hint(f'"risk interval": the risk concerns only the {answered} answered images.')
    if np.allclose(given, accuracy_interval(answered - wrong, answered), atol=0.0051):
        raise Hint('"risk interval": this is the interval of the accuracy, not of the risk.')
    raise Hint(
        f'"risk interval": accuracy_interval({wrong}, {answered}) does not give '
        f"{given[0]:.3f} to {given[1]:.3f}."
    )


def _require_release_cost(given: Any, key: str, expected: float, images: int) -> None:
    if not is_number(given, 0):
        raise Hint(f'"{key}" should be a number of at least 0, not {given!r:.40}.')
    if abs(given - expected) <= max(0.51, 0.005 * expected):
        return
    if close(given, expected * images / 1000, 0.51):
        raise Hint(f'"{key}": {given:g} is the cost of {images} images; give it per 1,000.')
    raise Hint(f'"{key}": {given:g} does not follow from your counts and costs.')
