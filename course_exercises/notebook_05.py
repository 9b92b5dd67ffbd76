"""The checks of notebook 05: reading a matrix, sizes of test sets, thresholds, an own network."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import binomtest

from course_exercises import Hint, NotTried, call, close, exercise, same
from course_utils.evaluation import accuracy_interval

PETS = np.array([[7, 3], [10, 20]])
FRUIT = np.array([[5, 1, 0], [2, 3, 1], [0, 4, 8]])

# 05.1: one line, the specificity of a class


@exercise("05.1")
def check_specificity(answer: Any) -> None:
    """Two classes, three, and a class that is never called."""
    never = np.array([[4, 0, 1], [3, 0, 2], [1, 0, 9]])
    for matrix, label in [(PETS, 0), (PETS, 1), (FRUIT, 0), (FRUIT, 2), (never, 1)]:
        case = f"class {label} of {matrix.tolist()}"
        got = call(answer, matrix.copy(), label, show=case)
        called, own, images = matrix[:, label].sum(), matrix[label, label], matrix[label].sum()
        others = matrix.sum() - images
        if not close(got, (others - called + own) / others):
            _explain_specificity(got, matrix, label, case)


def _explain_specificity(got: Any, matrix: np.ndarray, label: int, case: str) -> None:
    if not close(got, got) or np.shape(got) != ():
        raise Hint(f"For {case} the result should be one number, not {_short(got)}.")
    called, own, images = matrix[:, label].sum(), matrix[label, label], matrix[label].sum()
    everything, others = matrix.sum(), matrix.sum() - images
    start = f"For {case} you give {float(got):.3f}."
    mistakes = [
        (own / images, "This is the recall: it looks at the images that ARE of the class."),
        (own / called if called else np.nan, "This is the precision of the class."),
        ((called - own) / others, "This is the share that WAS called by the name, wrongly."),
        (
            (np.trace(matrix) - own) / others,
            "You count only those of the others that got their own name. A plum called pear is "
            "wrong, but it was not called apple.",
        ),
        (
            1 - called / others,
            "Among all that was called by the name are also images of the class itself.",
        ),
        (
            (others - called + own) / everything,
            "You divide by all images; asked is a share of those that are NOT of the class.",
        ),
        (
            1 - (images - own) / others,
            "You take the row of the class, where its own images went. Where do the others stand "
            "that were called by its name?",
        ),
    ]
    for value, reason in mistakes:
        if close(got, value):
            raise Hint(f"{start} {reason}")
    raise Hint(
        f"{start} There are {others} images of other classes. How many of them lie outside the "
        "column of the class?"
    )


# 05.2: rows in per cent


@exercise("05.2")
def check_row_percent(answer: Any) -> None:
    """Classes of different sizes, of equal sizes, and a class that is never called."""
    matrices = [PETS, FRUIT, np.array([[3, 1], [2, 2]]), np.array([[0, 4], [0, 1]])]
    results = []
    for matrix in matrices:
        given = matrix.copy()
        with np.errstate(divide="ignore", invalid="ignore"):
            results.append(call(answer, given, show=str(matrix.tolist())))
        if not np.array_equal(given, matrix):
            raise Hint("Your function changes the matrix that it got; give back a new one.")
    pairs = list(zip(results, matrices, strict=True))
    if all(close(got, 100 * m / m.sum(axis=1)) for got, m in pairs):
        raise NotTried("the rows of the cats and dogs add up to 80 and 167 per cent")
    for got, matrix in pairs:
        if not close(got, 100 * matrix / matrix.sum(axis=1)[:, None]):
            _explain_percent(got, matrix)


def _explain_percent(got: Any, matrix: np.ndarray) -> None:
    case = f"For {matrix.tolist()}"
    rows, columns, total = matrix.sum(axis=1), matrix.sum(axis=0), matrix.sum()
    right = 100 * matrix / rows[:, None]
    if not close(got, got) or np.shape(got) != matrix.shape:
        raise Hint(f"{case} the result should have the shape {matrix.shape}, not {np.shape(got)}.")
    if close(got, right / 100):
        raise Hint(f"{case} the shares are right, but they end at 1: per cent are asked for.")
    if close(got, 100 * matrix / np.maximum(columns, 1)):
        raise Hint(f"{case} now the columns add up to 100, which is precision; the rows should.")
    if close(got, 100 * matrix / total):
        raise Hint(f"{case} all numbers together add up to 100; each row should do so by itself.")
    if np.abs(np.asarray(got, dtype=float) - right).max() < 1:
        raise Hint(f"{case} the numbers are nearly right, but rounded: leave the fractions.")
    sums = np.asarray(got, dtype=float).sum(axis=1).round(1).tolist()
    raise Hint(
        f"{case} the rows add up to {sums} per cent. Which number divides the one at the top "
        "right, and of which row is that the sum?"
    )


# 05.3: how large a test set must be


@exercise("05.3")
def check_images_needed(answer: Any) -> None:
    """The interval is narrow enough, and with 100 images fewer it is not."""
    whole = isinstance(answer, int | np.integer) and not isinstance(answer, bool)
    if not whole or answer <= 0 or answer % 100:
        raise Hint(f"A multiple of 100 is asked for, such as 300; not {_short(answer)}.")
    if answer > 10_000_000:
        raise Hint("That is far too many: such an interval is much narrower than two points.")
    width = _width(answer)
    if width > 0.02 >= width / 2 and _width(answer - 100) > 0.04:
        raise Hint(
            f"With {answer} images the interval is {width:.4f} wide. It reaches two points to "
            "each side; two points from end to end are asked for."
        )
    if width > 0.02:
        raise Hint(f"With {answer} images the interval is still {width:.4f} wide.")
    if _width(answer - 100) <= 0.02:
        raise Hint(f"{answer} images are enough, but 100 fewer are enough as well.")


def _width(count: int) -> float:
    if count <= 0:
        return 1.0
    low, high = accuracy_interval(count * 9 // 10, count)
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
    rough = np.round(score, 1)
    cases = {
        "200 images": (is_yes, score, [(1, 1), (5, 1), (1, 50), (1000, 1)]),
        "100 images with scores from -8 to 8": (likely, logits, [(1, 1), (2, 5)]),
        "200 images, many with the same score": (is_yes, rough, [(2, 1), (1, 2)]),
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
    if type(got) not in (int, float) and not isinstance(got, np.number) or np.isnan(got):
        raise Hint(f"For ({case}) the result should be one number, not {_short(got)}.")
    lines = np.append(np.unique(score), np.inf)

    def price(line: float, costs: tuple[int, int] = costs) -> float:
        missed, alarms = (is_yes & (score < line)).sum(), (~is_yes & (score >= line)).sum()
        return float(costs[0] * missed + costs[1] * alarms)

    best = min(map(price, lines))
    if price(got) > best:
        raise Hint(
            f"For ({case}) your threshold {got:.3f} costs {price(got):.0f}, and {best:.0f} can be "
            f"had. {_reason(got, price, costs, lines)}"
        )


def _reason(got: Any, price: Callable, costs: tuple[int, int], lines: np.ndarray) -> str:
    """Say which typical mistake leads to such a threshold."""
    prices = [price(line) for line in lines]
    if got in prices and got > lines[-2]:
        return "Your number is a sum of costs; where was it reached?"
    is_place = isinstance(got, int | np.integer) and 0 <= got < len(lines)
    if is_place and prices[got] == min(prices):
        return "Your number looks like a place in a list; which score stands there?"
    if close(got, costs[1] / sum(costs)):
        return "This is the rule for honest probabilities, and these scores are none."
    if price(np.inf) == min(prices):
        return "What would it cost never to say yes? No score that occurs can say that."
    if price(-np.inf) == min(prices):
        return "Here it is best always to say yes: is the lowest score among those you try?"
    others = [pair for pair in ((5, 1), (1, 1), costs[::-1]) if pair != costs]
    for other in others:
        if price(got, other) == min(price(line, other) for line in lines):
            if other == costs[::-1]:
                return "It would be the best one if the two costs were exchanged."
            return f"It would be the best one for the costs {other}: do you use the arguments?"
    following = lines[lines > got]
    if len(following) and price(following[0]) == min(prices):
        return "The next higher score is the best: a score EQUAL to the threshold counts as yes."
    return "Do you try every score that occurs?"


# 05.5: a network of one's own, judged by its matrix

KEYS = ("classes", "matrix", "hardest", "confused", "p-value", "verdict", "next")
FASHION = {"Coat", "Dress", "Pullover", "Shirt", "Sneaker"}
LINE = 0.05


@exercise("05.5")
def check_my_network(answer: Any) -> None:
    """The form, what follows from the matrix, and a verdict that fits the p-value."""
    if type(answer) is not dict or set(answer) != set(KEYS):
        raise Hint(f"This should be a dict with exactly these keys: {', '.join(KEYS)}.")
    classes, matrix = answer["classes"], _matrix(answer["classes"], answer["matrix"])
    recalls = {name: matrix[i, i] / matrix[i].sum() for i, name in enumerate(classes)}
    hardest = answer["hardest"]
    if type(hardest) is not str or hardest not in recalls:
        raise Hint(f'"hardest" should be one of your classes, not {_short(hardest)}.')
    if recalls[hardest] > min(recalls.values()):
        raise Hint(
            f'"hardest": the recall of {hardest!r} is {recalls[hardest]:.2f}, and another class '
            "has a lower one. Divide along the rows."
        )
    _require_confused(answer["confused"], classes, matrix)
    _require_verdict(answer, classes, matrix)
    if type(answer["next"]) is not str or len(answer["next"].split()) < 5:
        raise Hint('"next" should say in a sentence what you would photograph or change.')


def _matrix(classes: Any, matrix: Any) -> np.ndarray:
    if type(classes) is not list or len(classes) < 2 or len(set(map(repr, classes))) < len(classes):
        raise Hint('"classes" should be a list of two names or more, all of them different.')
    if not all(type(name) is str for name in classes):
        raise Hint('"classes" should hold names, in quotation marks.')
    size = len(classes)
    rows = matrix if type(matrix) is list else []
    if len(rows) != size or any(type(row) is not list or len(row) != size for row in rows):
        raise Hint(f'"matrix" should be a list of {size} lists of {size} numbers each.')
    if not all(type(count) is int and count >= 0 for row in rows for count in row):
        raise Hint('"matrix" should hold counts, that is, whole numbers, not shares.')
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
        raise Hint('"confused" has the right two classes; which is the truth, which the answer?')
    raise Hint(
        f'"confused": {confused[0]} was taken for {confused[1]} {wrong[true, predicted]} times, '
        f"another confusion happened {wrong.max()} times."
    )


def _require_verdict(answer: dict[str, Any], classes: list[str], matrix: np.ndarray) -> None:
    """Compare with a program that always gives the largest class; if two are, with either."""
    given = answer["p-value"]
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise Hint(f'"p-value" should be a number between 0 and 1, not {_short(given)}.')
    sizes = matrix.sum(axis=1)
    duels = [_duel(matrix, label) for label in np.flatnonzero(sizes == sizes.max())]
    fitting = [duel for duel in duels if abs(duel[2] - given) <= 0.0051]
    if not fitting:
        name, (wins, losses, _) = classes[int(sizes.argmax())], duels[0]
        if close(given, _coin(matrix.trace(), matrix.sum() - matrix.trace()), 0.0051):
            raise Hint('"p-value" compares right with wrong answers: is this a question here?')
        raise Hint(
            f'"p-value": there are {wins} images that your network has right and "always {name}" '
            f"has wrong. How many are the other way round? {given} does not fit."
        )
    words = {_word(wins, losses, p) for wins, losses, p in fitting}
    verdict = answer["verdict"]
    if verdict not in ("better", "worse", "cannot tell"):
        raise Hint('"verdict" should be one of the words better, worse, cannot tell.')
    if verdict not in words:
        wins, losses, p = fitting[0]
        raise Hint(
            f'"verdict" is {verdict!r}, but with {wins} images won, {losses} lost and p = {p:.3f} '
            f"it should be another: the line is {LINE}, and above it chance may explain it."
        )


def _duel(matrix: np.ndarray, lazy: int) -> tuple[int, int, float]:
    """Count images that only the network has right, and only the lazy program; the p-value."""
    wins = int(matrix.trace() - matrix[lazy, lazy])
    losses = int(matrix[lazy].sum() - matrix[lazy, lazy])
    return wins, losses, _coin(wins, losses)


def _coin(wins: int, losses: int) -> float:
    """Give the p-value of the exact test; 1 if nothing was won or lost."""
    return float(binomtest(int(wins), int(wins + losses)).pvalue) if wins + losses else 1.0


def _word(wins: int, losses: int, p: float) -> str:
    if p >= LINE:
        return "cannot tell"
    return "better" if wins > losses else "worse"


def _short(value: Any) -> str:
    """Show a value in at most 40 characters, or say of which type it is."""
    if type(value) in (int, float, str, bool, tuple, list, dict):
        return f"{value!r:.40}"
    return f"a {type(value).__name__}"
