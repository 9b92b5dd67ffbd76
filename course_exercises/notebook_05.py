"""The checks of notebook 05: reading a matrix, sizes of test sets, thresholds, a decision."""

from collections.abc import Callable
from typing import Any

import numpy as np

from course_exercises.checks import (
    Hint,
    NotTried,
    call,
    close,
    exercise,
    explain,
    plain,
    same,
    short,
)
from course_exercises.reports import is_count, is_number, report_of, require_fraction, require_word
from course_utils.evaluation import accuracy_interval

PETS = np.array([[7, 3], [10, 20]])
FRUIT = np.array([[5, 1, 0], [2, 3, 1], [0, 4, 8]])

# 05.1: the specificity of a class


@exercise("05.1")
def check_specificity(answer: Any) -> None:
    """Test two and three classes, and a class that is never predicted."""
    never = np.array([[4, 0, 1], [3, 0, 2], [1, 0, 9]])
    for matrix, label in [(PETS, 0), (PETS, 1), (FRUIT, 0), (FRUIT, 2), (never, 1)]:
        case = f"class {label} of {matrix.tolist()}"
        got = call(answer, matrix.copy(), label, show=case)
        predicted, own, images = matrix[:, label].sum(), matrix[label, label], matrix[label].sum()
        everything, others = matrix.sum(), matrix.sum() - images
        if close(got, (others - predicted + own) / others):
            continue
        if not close(got, got) or np.shape(got) != ():
            raise Hint(f"For {case}, the result should be one number, not {short(got)}.")
        mistakes = [
            (own / images, "This is the recall, the share of the images OF the class."),
            (own / max(predicted, 1), "This is the precision of the class."),
            (
                (predicted - own) / others,
                "This is the false positive rate, the share that IS predicted as the class.",
            ),
            (
                (np.trace(matrix) - own) / others,
                "You count only the other images that are classified correctly. A plum predicted "
                "as a pear is an error, but it is not predicted as an apple.",
            ),
            (
                1 - predicted / others,
                "The images predicted as the class include images of the class itself.",
            ),
            (
                (others - predicted + own) / everything,
                "You divide by all images, not only by those that are NOT of the class.",
            ),
            (
                1 - (images - own) / others,
                "You use the row of the class, which contains its own images. Where are the other "
                "images that are predicted as this class?",
            ),
        ]
        otherwise = "How many of the images of other classes lie outside the column of the class?"
        right = f"{(others - predicted + own) / others:.3f}"
        start = f"For {case}, the result should be {right}, not {float(got):.3f}."
        explain(got, start, mistakes, otherwise)


# 05.2: rows in percent


@exercise("05.2")
def check_row_percent(answer: Any) -> None:
    """Test classes of different and equal sizes, and a class that is never predicted."""
    matrices = [PETS, FRUIT, np.array([[3, 1], [2, 2]]), np.array([[0, 4], [0, 1]])]
    results = []
    for matrix in matrices:
        given = matrix.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            results.append(call(answer, given, show=str(matrix.tolist())))
        if not np.array_equal(given, matrix):
            raise Hint("Your function changes the matrix that it was given; return a new one.")
    if all(close(got, 100 * m / m.sum(axis=1)) for got, m in zip(results, matrices, strict=True)):
        raise NotTried("the rows of the cats and dogs add up to 80 and 167 percent")
    for got, matrix in zip(results, matrices, strict=True):
        right = 100 * matrix / matrix.sum(axis=1, keepdims=True)
        if close(got, right):
            continue
        case, shape = f"For {matrix.tolist()},", np.shape(got)
        if not close(got, got) or shape != matrix.shape:
            raise Hint(f"{case} the result should have the shape {matrix.shape}, not {shape}.")
        if np.abs(np.asarray(got, dtype=float) - right).max() < 1:
            raise Hint(f"{case} the numbers are nearly right, but rounded: keep the fractions.")
        columns = np.maximum(matrix.sum(axis=0), 1)
        mistakes = [
            (right / 100, "the rows add up to 1; the result should be in percent."),
            (
                100 * matrix / columns,
                "now the columns add up to 100 (precision), but the rows should.",
            ),
            (
                100 * matrix / matrix.sum(),
                "all entries together add up to 100, but each row should.",
            ),
        ]
        otherwise = f"the rows add up to {np.sum(got, axis=1).round(1).tolist()} percent. By "
        otherwise += "which number is the entry at the top right divided? Which row has this sum?"
        explain(got, case, mistakes, otherwise)


# 05.3: how large a test set must be


@exercise("05.3")
def check_images_needed(answer: Any) -> None:
    """Require that the interval is narrow enough, and not with 100 images fewer."""
    answer = plain(answer)
    if not is_number(answer, 1) or answer % 100:
        raise Hint(f"A multiple of 100 is expected, for example 300, not {short(answer)}.")
    answer = int(answer)
    width, narrower = _width(answer), _width(answer - 100)
    if width > 0.02 >= width / 2 and narrower > 0.04:
        raise Hint(
            f"With {answer} images, the interval is {width:.4f} wide: about two points to each "
            "side. It should be two points wide from end to end."
        )
    if width > 0.02:
        raise Hint(f"With {answer} images, the interval is still {width:.4f} wide, more than 0.02.")
    if narrower <= 0.02:
        raise Hint(f"{answer} images are enough, but 100 fewer are enough as well.")


def _width(count: int) -> float:
    low, high = accuracy_interval(count * 9 // 10, count) if count > 0 else (0.0, 1.0)
    return high - low


# 05.4: the threshold with the lowest cost


@exercise("05.4")
def check_best_threshold(answer: Any) -> None:
    """Test several costs, scores outside 0 … 1, equal scores, and trivial decisions."""
    generator = np.random.default_rng(5)
    score = generator.random(200)
    is_positive = (generator.random(200) < score * 0.6) & (score < 0.98)
    logits = generator.normal(size=100) * 3
    likely = logits + generator.normal(size=100) > 0
    cases = {
        "200 images": (is_positive, score, [(1, 1), (5, 1), (1, 50), (1000, 1)]),
        "100 images with scores from -8 to 8": (likely, logits, [(1, 1), (2, 5)]),
        "200 images, many with the same score": (is_positive, score.round(1), [(2, 1), (1, 2)]),
        "50 images, none of which is positive": (np.zeros(50, dtype=bool), score[:50], [(9, 1)]),
        "50 images, all of which are positive": (np.ones(50, dtype=bool), logits[:50], [(1, 9)]),
    }
    for name, (wanted, points, costs) in cases.items():
        for missed, false_positive in costs:
            case = f"{name} and the costs {missed} (missed) and {false_positive} (false positive)"
            got = call(answer, wanted.copy(), points.copy(), missed, false_positive, show=case)
            _require_lowest_cost(got, wanted, points, (missed, false_positive), case)


def _require_lowest_cost(
    got: Any, is_positive: np.ndarray, score: np.ndarray, costs: tuple[int, int], case: str
) -> None:
    if np.shape(got) != () or not close(got, got) or isinstance(got, bool) or np.isnan(float(got)):
        raise Hint(f"For ({case}), the result should be one number, not {short(got)}.")
    got = got.item() if hasattr(got, "item") else got
    candidates = np.append(np.unique(score), np.inf)

    def price(threshold: float, costs: tuple[int, int] = costs) -> float:
        flagged = score >= threshold
        missed, false_positives = (is_positive & ~flagged).sum(), (~is_positive & flagged).sum()
        return float(costs[0] * missed + costs[1] * false_positives)

    best = min(map(price, candidates))
    if price(got) > best:
        raise Hint(
            f"For ({case}), your threshold {got:.3f} costs {price(got):.0f}, but {best:.0f} is "
            f"possible. {_reason(got, price, costs, candidates)}"
        )


def _reason(got: float, price: Callable, costs: tuple[int, int], candidates: np.ndarray) -> str:
    """Name the typical mistake that leads to such a threshold."""
    prices = [price(threshold) for threshold in candidates]
    if got in prices and got > candidates[-2]:
        return "Your number is a sum of costs; which threshold has this cost?"
    if isinstance(got, int) and 0 <= got < len(candidates) and prices[got] == min(prices):
        return "Your number looks like an index; which score has this index?"
    if close(got, costs[1] / sum(costs)):
        return "This is the rule for calibrated probabilities, but these scores are not calibrated."
    if price(np.inf) == min(prices):
        return "What would it cost to flag nothing? None of the scores is a threshold for this."
    if price(-np.inf) == min(prices):
        return "Here it is cheapest to flag everything: do you try the lowest score?"
    for other in ((5, 1), (1, 1), costs[::-1]):
        if other != costs and price(got, other) == min(price(x, other) for x in candidates):
            if other == costs[::-1]:
                return "It would be the best one if the two costs were swapped."
            return f"It would be the best one for the costs {other}: do you use the arguments?"
    following = candidates[candidates > got]
    if len(following) and price(following[0]) == min(prices):
        return "The next higher score is the best: a score EQUAL to the threshold is flagged."
    return "Do you try all scores as thresholds?"


# 05.5: a decision with costs and a prevalence

USE, DO_NOT_USE = "use it", "do not use it"


@exercise("05.5")
def check_my_decision(answer: Any) -> None:
    """Check that precision, costs and verdict follow from counts, costs and prevalence."""
    keys = ("counts", "costs", "prevalence", "precision", "cost", "without network", "verdict")
    report = report_of(answer, *keys)
    (tn, fp), (fn, tp) = _counts(report["counts"])
    missed, false_positive = _costs(report["costs"])
    share = report["prevalence"]
    require_fraction(share, '"prevalence"')
    if not 0 < share < 1:
        raise Hint('"prevalence" is 0 or 1: then there is nothing to decide.')
    rates = (tp / (tp + fn), fp / (fp + tn))  # recall and false positive rate
    _require_precision(report["precision"], rates, share, tp / (tp + fp) if tp + fp else 0.0)
    without = 1000 * min(share * missed, (1 - share) * false_positive)
    cost = _expected_cost(rates, share, (missed, false_positive))
    measured = _expected_cost(rates, (tp + fn) / (tn + fp + fn + tp), (missed, false_positive))
    mistakes = [
        (cost / 1000, "is the cost of one image; give the cost of 1,000."),
        (measured, "is the cost at the prevalence of your validation images, not in use."),
        (
            _expected_cost(rates, share, (false_positive, missed)),
            "fits if the two costs are swapped: the first one is that of a missed positive.",
        ),
        (missed * fn + false_positive * fp, "is the total cost of the validation images."),
    ]
    _require_cost(report["cost"], "cost", cost, mistakes)
    other = 1000 * max(share * missed, (1 - share) * false_positive)
    mistakes = [
        (without / 1000, "is the cost of one image; give the cost of 1,000."),
        (other, "is the more expensive of the two rules; compare with the cheaper one."),
    ]
    _require_cost(report["without network"], "without network", without, mistakes)
    expected = USE if cost < without else DO_NOT_USE
    because = f"1,000 images cost {cost:.0f} with the network and {without:.0f} without it"
    require_word(report, "verdict", (USE, DO_NOT_USE), expected, because)


def _counts(counts: Any) -> list[list[int]]:
    if np.shape(counts) != (2, 2) or not all(is_count(n) for row in counts for n in row):
        raise Hint('"counts" should be [[TN, FP], [FN, TP]], four integers.')
    if min(map(sum, counts)) == 0:
        raise Hint('"counts" has a row without images, so recall or specificity is undefined.')
    if same(counts, [[20, 10], [3, 7]]):
        raise Hint("These are the cats and dogs of the example. Choose your own case.")
    return counts


def _costs(costs: Any) -> tuple[float, float]:
    if np.shape(costs) != (2,) or not all(is_number(cost, 0) and cost > 0 for cost in costs):
        raise Hint('"costs" should be two positive numbers, of a missed and of a false positive.')
    return costs


def _expected_cost(rates: tuple[float, float], share: float, costs: tuple[float, float]) -> float:
    """Compute the expected cost of 1,000 images with a share of positives."""
    recall, false_positive_rate = rates
    missed, false_positives = share * (1 - recall), (1 - share) * false_positive_rate
    return 1000 * (missed * costs[0] + false_positives * costs[1])


def _require_precision(
    given: Any, rates: tuple[float, float], share: float, measured: float
) -> None:
    require_fraction(given, '"precision"')
    flagged = share * rates[0] + (1 - share) * rates[1]
    precision = share * rates[0] / flagged if flagged else 0.0
    if close(given, precision, 0.0051):
        return
    mistakes = [
        (
            measured,
            "is the precision of the validation images; the prevalence in use is different.",
        ),
        (rates[0], "is the recall."),
        (1 - rates[1], "is the specificity."),
        (flagged, "is the share of all images that are flagged; what share of these is positive?"),
    ]
    for value, reason in mistakes:
        if close(given, value, 0.0051):
            raise Hint(f'"precision": {given} {reason}')
    raise Hint(
        f'"precision": of 1,000 images in use, {1000 * flagged:.1f} are flagged, and '
        f"{1000 * share * rates[0]:.1f} of these are positive; {given} does not fit."
    )


def _require_cost(given: Any, key: str, expected: float, mistakes: list[tuple[float, str]]) -> None:
    if not is_number(given, 0):
        raise Hint(f'"{key}" should be a number of at least 0, not {short(given)}.')
    if abs(given - expected) <= max(0.51, 0.005 * expected):
        return
    for value, reason in mistakes:
        if abs(given - value) <= 0.005 * value + 0.001:
            raise Hint(f'"{key}": {given} {reason}')
    raise Hint(f'"{key}": {given} does not follow from your counts, costs and prevalence.')
