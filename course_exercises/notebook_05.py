"""The checks of notebook 05: reading a matrix, sizes of test sets, thresholds, your own network."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binomtest

from course_exercises.checks import Hint, NotTried, call, close, exercise, explain, same, short
from course_exercises.reports import is_count, report_of, require_fraction, require_word
from course_utils.evaluation import accuracy_interval

PETS = np.array([[7, 3], [10, 20]])
FRUIT = np.array([[5, 1, 0], [2, 3, 1], [0, 4, 8]])

# 05.1: the specificity of a class


@exercise("05.1")
def check_specificity(answer: Any) -> None:
    """Two classes, three, and a class that is never predicted."""
    never = np.array([[4, 0, 1], [3, 0, 2], [1, 0, 9]])
    for matrix, label in [(PETS, 0), (PETS, 1), (FRUIT, 0), (FRUIT, 2), (never, 1)]:
        case = f"class {label} of {matrix.tolist()}"
        got = call(answer, matrix.copy(), label, show=case)
        called, own, images = matrix[:, label].sum(), matrix[label, label], matrix[label].sum()
        everything, others = matrix.sum(), matrix.sum() - images
        if close(got, (others - called + own) / others):
            continue
        if not close(got, got) or np.shape(got) != ():
            raise Hint(f"For {case} the result should be one number, not {short(got)}.")
        mistakes = [
            (own / images, "This is the recall: it looks at the images that ARE of the class."),
            (own / max(called, 1), "This is the precision of the class."),
            ((called - own) / others, "This is the share that WAS called by the name, wrongly."),
            (
                (np.trace(matrix) - own) / others,
                "You count only those of the others that got their own name. A plum called pear "
                "is wrong, but it was not called apple.",
            ),
            (
                1 - called / others,
                "Among all that was called by the name are also images of the class itself.",
            ),
            (
                (others - called + own) / everything,
                "You divide by all images, not by those that are NOT of the class.",
            ),
            (
                1 - (images - own) / others,
                "You take the row of the class, where its own images went. Where are the others "
                "that were called by its name?",
            ),
        ]
        otherwise = "How many of the images of other classes lie outside the column of the class?"
        explain(got, f"For {case} you return {float(got):.3f}.", mistakes, otherwise)


# 05.2: rows in percent


@exercise("05.2")
def check_row_percent(answer: Any) -> None:
    """Classes of different sizes, of equal sizes, and a class that is never predicted."""
    matrices = [PETS, FRUIT, np.array([[3, 1], [2, 2]]), np.array([[0, 4], [0, 1]])]
    results = []
    for matrix in matrices:
        given = matrix.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            results.append(call(answer, given, show=str(matrix.tolist())))
        if not np.array_equal(given, matrix):
            raise Hint("Your function changes the matrix that it got; return a new one.")
    if all(close(got, 100 * m / m.sum(axis=1)) for got, m in zip(results, matrices, strict=True)):
        raise NotTried("the rows of the cats and dogs add up to 80 and 167 percent")
    for got, matrix in zip(results, matrices, strict=True):
        right = 100 * matrix / matrix.sum(axis=1, keepdims=True)
        if close(got, right):
            continue
        case, shape = f"For {matrix.tolist()}", np.shape(got)
        if not close(got, got) or shape != matrix.shape:
            raise Hint(f"{case} the result should have the shape {matrix.shape}, not {shape}.")
        if np.abs(np.asarray(got, dtype=float) - right).max() < 1:
            raise Hint(f"{case} the numbers are nearly right, but rounded: keep the fractions.")
        columns = np.maximum(matrix.sum(axis=0), 1)
        mistakes = [
            (right / 100, "the shares are right, but they end at 1: percent are asked for."),
            (
                100 * matrix / columns,
                "now the columns add up to 100, which is precision; the rows should.",
            ),
            (
                100 * matrix / matrix.sum(),
                "all numbers together add up to 100; each row should do so by itself.",
            ),
        ]
        otherwise = f"the rows add up to {np.sum(got, axis=1).round(1).tolist()} percent. Which "
        otherwise += "number divides the one at the top right, and of which row is that the sum?"
        explain(got, case, mistakes, otherwise)


# 05.3: how large a test set must be


@exercise("05.3")
def check_images_needed(answer: Any) -> None:
    """The interval is narrow enough, and with 100 images fewer it is not."""
    integer = isinstance(answer, int | np.integer) and not isinstance(answer, bool)
    if not integer or answer <= 0 or answer % 100:
        raise Hint(f"A multiple of 100 is expected, such as 300; not {short(answer)}.")
    width, narrower = _width(answer), _width(answer - 100)
    if width > 0.02 >= width / 2 and narrower > 0.04:
        raise Hint(
            f"With {answer} images the interval is {width:.4f} wide. It reaches two points to "
            "each side; two points from end to end are asked for."
        )
    if width > 0.02:
        raise Hint(f"With {answer} images the interval is still {width:.4f} wide.")
    if narrower <= 0.02:
        raise Hint(f"{answer} images are enough, but 100 fewer are enough as well.")


def _width(count: int) -> float:
    low, high = accuracy_interval(count * 9 // 10, count) if count > 0 else (0.0, 1.0)
    return high - low


# 05.4: the cheapest threshold


@exercise("05.4")
def check_best_threshold(answer: Any) -> None:
    """Several costs; scores beyond 0 … 1; equal scores; never and always as best answers."""
    generator = np.random.default_rng(5)
    score = generator.random(200)
    is_yes = (generator.random(200) < score * 0.6) & (score < 0.98)
    logits = generator.normal(size=100) * 3
    likely = logits + generator.normal(size=100) > 0
    cases = {
        "200 images": (is_yes, score, [(1, 1), (5, 1), (1, 50), (1000, 1)]),
        "100 images with scores from -8 to 8": (likely, logits, [(1, 1), (2, 5)]),
        "200 images, many with the same score": (is_yes, np.round(score, 1), [(2, 1), (1, 2)]),
        "50 images, none of which is a yes": (np.zeros(50, dtype=bool), score[:50], [(9, 1)]),
        "50 images, all of which are a yes": (np.ones(50, dtype=bool), logits[:50], [(1, 9)]),
    }
    for name, (wanted, points, costs) in cases.items():
        for missed, alarm in costs:
            case = f"{name} and the costs {missed} (missed) and {alarm} (false alarm)"
            got = call(answer, wanted.copy(), points.copy(), missed, alarm, show=case)
            _require_cheapest(got, wanted, points, (missed, alarm), case)


def _require_cheapest(
    got: Any, is_yes: np.ndarray, score: np.ndarray, costs: tuple[int, int], case: str
) -> None:
    if np.shape(got) != () or not close(got, got) or isinstance(got, bool) or np.isnan(float(got)):
        raise Hint(f"For ({case}) the result should be one number, not {short(got)}.")
    got = got.item() if hasattr(got, "item") else got
    lines = np.append(np.unique(score), np.inf)

    def price(line: float, costs: tuple[int, int] = costs) -> float:
        missed, alarms = (is_yes & (score < line)).sum(), (~is_yes & (score >= line)).sum()
        return float(costs[0] * missed + costs[1] * alarms)

    best = min(map(price, lines))
    if price(got) > best:
        raise Hint(
            f"For ({case}) your threshold {got:.3f} costs {price(got):.0f}, and {best:.0f} is "
            f"possible. {_reason(got, price, costs, lines)}"
        )


def _reason(got: float, price: Callable, costs: tuple[int, int], lines: np.ndarray) -> str:
    """Name the typical mistake that leads to such a threshold."""
    prices = [price(line) for line in lines]
    if got in prices and got > lines[-2]:
        return "Your number is a sum of costs; where was it reached?"
    if isinstance(got, int) and 0 <= got < len(lines) and prices[got] == min(prices):
        return "Your number looks like a place in a list; which score is there?"
    if close(got, costs[1] / sum(costs)):
        return "This is the rule for calibrated probabilities, and these scores are not calibrated."
    if price(np.inf) == min(prices):
        return "What would it cost never to say yes? No score that occurs can say that."
    if price(-np.inf) == min(prices):
        return "Here it is best always to say yes: is the lowest score among those you try?"
    for other in ((5, 1), (1, 1), costs[::-1]):
        if other != costs and price(got, other) == min(price(line, other) for line in lines):
            if other == costs[::-1]:
                return "It would be the best one if the two costs were exchanged."
            return f"It would be the best one for the costs {other}: do you use the arguments?"
    following = lines[lines > got]
    if len(following) and price(following[0]) == min(prices):
        return "The next higher score is the best: a score EQUAL to the threshold counts as yes."
    return "Do you try every score that occurs?"


# 05.5: your own network, judged by its matrix

FASHION = {"Coat", "Dress", "Pullover", "Shirt", "Sneaker"}


@exercise("05.5")
def check_my_network(answer: Any) -> None:
    """The form, what follows from the matrix, and a verdict that fits the p-value."""
    keys = ("classes", "matrix", "hardest", "confused", "p-value", "verdict", "next")
    report = report_of(answer, *keys)
    classes = report["classes"]
    matrix = _matrix(classes, report["matrix"])
    recalls = {name: matrix[i, i] / matrix[i].sum() for i, name in enumerate(classes)}
    hardest = report["hardest"]
    require_word(report, "hardest", classes)
    if recalls[hardest] > min(recalls.values()):
        raise Hint(
            f'"hardest": the recall of {hardest!r} is {recalls[hardest]:.2f}, and another class '
            "has a lower one. Divide along the rows."
        )
    _require_confused(report["confused"], classes, matrix)
    _require_verdict(report, classes, matrix)
    if type(report["next"]) is not str or len(report["next"].split()) < 5:
        raise Hint('"next" should say in a sentence what you would photograph or change.')


def _matrix(classes: Any, rows: Any) -> np.ndarray:
    names = type(classes) is list and all(type(name) is str for name in classes)
    if not names or len(classes) < 2 or len(set(classes)) < len(classes):
        raise Hint('"classes" should be a list of two different names or more.')
    size = len(classes)
    if np.shape(rows) != (size, size):
        raise Hint(f'"matrix" should be a list of {size} lists of {size} numbers each.')
    if not all(is_count(count) for row in rows for count in row):
        raise Hint('"matrix" should hold counts, that is, integers, not shares.')
    counts = np.array(rows)
    for name, images in zip(classes, counts.sum(axis=1), strict=True):
        if images == 0:
            raise Hint(f"In your matrix there is no test image of {name!r}: nothing can be said.")
    if same(rows, PETS.tolist()):
        raise Hint("These are the cats and dogs of the example: judge a network of your own.")
    if set(classes) >= FASHION:
        raise Hint("This is the clothing that the notebook has judged: take other images.")
    return counts


def _require_confused(confused: Any, classes: list[str], matrix: np.ndarray) -> None:
    wrong = matrix - np.diag(matrix.diagonal())
    if wrong.sum() == 0:
        raise Hint("Your network makes no mistake, so there is nothing to judge: take more images.")
    names = type(confused) in (tuple, list) and all(type(name) is str for name in confused)
    if not names or len(confused) != 2 or not set(confused) <= set(classes):
        raise Hint('"confused" should be a pair (true class, predicted class) of your classes.')
    true, predicted = map(classes.index, confused)
    if true == predicted:
        raise Hint('"confused" names the same class twice: that is no confusion.')
    if wrong[true, predicted] == wrong.max():
        return
    if wrong[predicted, true] == wrong.max():
        raise Hint('"confused" has the right two classes; which is true, which is predicted?')
    raise Hint(
        f'"confused": {confused[0]} was taken for {confused[1]} {wrong[true, predicted]} times, '
        f"another confusion happened {wrong.max()} times."
    )


def _require_verdict(report: dict[str, Any], classes: list[str], matrix: np.ndarray) -> None:
    """Compare with the majority-class baseline; if two classes are largest, with either."""
    given, hits = report["p-value"], matrix.diagonal()
    require_fraction(given, '"p-value"')
    sizes = matrix.sum(axis=1)
    duels = [
        (
            hits.sum() - hits[label],
            sizes[label] - hits[label],
        )  # only the network, only the baseline
        for label in np.flatnonzero(sizes == sizes.max())
    ]
    fitting = [duel for duel in duels if abs(_p_value(*duel) - given) <= 0.0051]
    if not fitting:
        if close(given, _p_value(hits.sum(), matrix.sum() - hits.sum()), 0.0051):
            raise Hint('"p-value" compares right with wrong predictions: is this a question here?')
        raise Hint(
            f'"p-value": there are {duels[0][0]} images that your network has right and "always '
            f'{classes[sizes.argmax()]}" has wrong. How many are the other way round? {given} does '
            "not fit."
        )
    wins, losses = fitting[0]
    p = _p_value(wins, losses)
    expected = "cannot tell" if p >= 0.05 else "better" if wins > losses else "worse"
    because = f"{wins} images won, {losses} lost, p = {p:.3f}; from 0.05 on chance may explain it"
    require_word(report, "verdict", ("better", "worse", "cannot tell"), expected, because)


def _p_value(wins: int, losses: int) -> float:
    """Compute the p-value of the exact test; 1 if nothing was won or lost."""
    return float(binomtest(int(wins), int(wins + losses)).pvalue) if wins + losses else 1.0
