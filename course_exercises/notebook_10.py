"""The checks of notebook 10: balanced folds, the size of a test set, prevalence, a comparison."""

import math
from typing import Any

import numpy as np

from course_exercises.checks import (
    Hint,
    NotTried,
    call,
    close,
    exercise,
    explain,
    kind,
    plain,
    rounded,
    same,
    short,
)
from course_exercises.reports import is_count, is_number, report_of, require_word
from course_utils.evaluation import mcnemar

# 10.1: balanced training sets without leakage


@exercise("10.1")
def check_balanced_folds(answer: Any) -> None:
    """Test both classes as the rarer one."""
    for count, rare, flip in ((60, 14, False), (50, 20, True)):
        targets = np.arange(count) < rare
        targets = np.random.default_rng(1).permutation(targets) ^ flip
        case = f"{count} cells, {int(targets.sum())} of them defective"
        folds = call(answer, targets.copy(), seed=0, show=case)
        _require_pairs(folds, count, case)
        _require_no_leakage(folds, count, case)
        for number, (train, _) in enumerate(folds):
            shares = targets[train].mean()
            if not close(shares, 0.5):
                raise Hint(
                    f"For {case}, the training set of fold {number} has {shares:.0%} defective "
                    "cells; it should have 50 %. Repeat cells of the rarer class."
                )
            if len(np.unique(train)) < count - math.ceil(count / 4) - 1:
                raise Hint(f"For {case}, cells are missing in the training set of fold {number}.")


def _require_pairs(folds: Any, count: int, case: str) -> None:
    try:
        is_valid = len(folds) == 4 and all(len(pair) == 2 for pair in folds)
        indices = [np.asarray(part) for pair in folds for part in pair]
    except (TypeError, ValueError):
        raise Hint(f"A list of four pairs is expected, not a {kind(folds)}.") from None
    is_valid = is_valid and all(part.ndim == 1 and part.dtype.kind in "iu" for part in indices)
    if not is_valid or any(len(part) == 0 or part.max() >= count for part in indices):
        raise Hint(f"For {case}, four pairs of non-empty arrays of indices are expected.")


def _require_no_leakage(folds: Any, count: int, case: str) -> None:
    tested = np.concatenate([test for _, test in folds])
    shared = [len(np.intersect1d(train, test)) for train, test in folds]
    if any(shared):
        if len(tested) > count:
            raise NotTried("cells that were repeated are on both sides")
        raise Hint(f"For {case}, {max(shared)} cells are in the training and the test set.")
    if len(tested) > count:
        raise Hint(
            f"For {case}, the test sets have {len(tested)} cells: repeat training cells only."
        )
    if len(np.unique(tested)) < count:
        raise Hint(f"For {case}, not every cell is in a test set.")


# 10.2: the size of a test set


def _needed(accuracy: float, reference: float, z: float = 1.96) -> int:
    return math.ceil(z**2 * accuracy * (1 - accuracy) / (accuracy - reference) ** 2)


@exercise("10.2")
def check_cells_needed(answer: Any) -> None:
    """Test a reference below and above, and equal numbers."""
    cases = [(0.90, 0.8842), (0.8842, 0.90), (0.95, 0.8842), (0.6, 0.5)]
    found = [call(answer, *case) for case in cases]
    if all(same(value, 0) for value in found):
        raise NotTried
    for (accuracy, reference), value in zip(cases, found, strict=True):
        wanted = _needed(accuracy, reference)
        if not is_number(plain(value)):
            raise Hint(f"For {accuracy} and {reference} a number is expected, not {short(value)}.")
        if same(value, wanted):
            continue
        gap = accuracy - reference
        mistakes = [
            (wanted - 1, "with this n, the interval still contains the reference: round up."),
            (-wanted, "the square of the difference is never negative."),
            (_needed(reference, accuracy), "the interval is around the accuracy."),
            (_needed(accuracy, reference, 1), "the factor 1.96 is missing."),
            (1.96 * math.sqrt(accuracy * (1 - accuracy)) / abs(gap), "this is the root of n."),
        ]
        start = f"For {accuracy} and {reference}: {rounded(value)} instead of {wanted}:"
        explain(value, start, mistakes, "solve for n: the margin should equal the difference.")
    if any(plain(value) != int(value) for value in found):
        raise Hint("The number of cells should be an integer: round up.")
    if call(answer, 0.9, 0.9) != math.inf:
        raise Hint("For two equal numbers no n is enough: return math.inf.")


# 10.3: another prevalence


@exercise("10.3")
def check_at_prevalence(answer: Any) -> None:
    """Test a rarer and a more frequent class, and an unchanged prevalence."""
    p = np.array([0.02, 0.3, 0.5, 0.9])
    for old, new in ((0.31, 0.02), (0.1, 0.5)):
        case = f"p={p.tolist()}, old={old}, new={new}"
        found = call(answer, p.copy(), old, new, show=case)
        if close(found, p):
            raise NotTried
        odds = p / (1 - p)
        factor = new / (1 - new) / (old / (1 - old))
        wanted = odds * factor / (1 + odds * factor)
        if close(found, wanted):
            continue
        mistakes = [
            (odds * factor, "these are odds, not probabilities: p = odds / (1 + odds)."),
            (p * new / old, "the odds change by a constant factor, not the probabilities."),
            (odds / factor / (1 + odds / factor), "old and new are exchanged."),
            (p * factor, "the factor belongs to the odds p / (1 - p), not to p."),
        ]
        start = f"For {case}: {short(plain(found))} instead of {rounded(wanted)}:"
        explain(found, start, mistakes, "compute the odds, multiply, and convert back.")


# 10.4: a paired comparison


@exercise("10.4")
def check_my_report(answer: Any) -> None:
    """Do the difference, the p-value and the conclusion follow from the counts?"""
    first, second = "only new correct", "only old correct"
    keys = ("changed", "cells", first, second, "difference", "p", "conclusion")
    report = report_of(answer, *keys)
    if type(report["changed"]) is not str or not report["changed"].strip():
        raise Hint(f'"changed" should say what was changed, not {short(report["changed"])}.')
    for key in ("cells", first, second):
        if not is_count(report[key]):
            raise Hint(f'"{key}" should be a number of cells, not {short(report[key])}.')
    new, old, cells = report[first], report[second], report["cells"]
    if new + old > cells or cells == 0:
        raise Hint(f"{new} + {old} cells of {cells} is not possible.")
    difference = (new - old) / cells
    if not is_number(report["difference"]) or not close(report["difference"], difference, 5e-4):
        raise Hint(
            f'"difference" should be ({new} - {old}) / {cells} = {difference:.4f}, not '
            f"{short(report['difference'])}."
        )
    one, two = np.repeat([1, 0], [new, old]), np.repeat([0, 1], [new, old])
    p = mcnemar(np.ones(new + old, int), one, two) if new + old else 1.0
    if not is_number(report["p"], 0, 1) or not close(report["p"], p, 0.006):
        raise Hint(f'"p" should be {p:.3f} for {new} and {old} cells, not {short(report["p"])}.')
    expected = "undecided" if p >= 0.05 else "better" if new > old else "worse"
    because = f"p = {p:.3f}, and {new} against {old} cells"
    require_word(report, "conclusion", ("better", "worse", "undecided"), expected, because)
