"""Check answers to exercises, and compare predictions with outcomes.

>>> from course_exercises import check, compare
>>> check("02.1", size_after)  # an exercise: is the learner's function right?
02.1: passed
>>> compare("01.a", 0.3, 0.25, within=0.02)  # a prediction, written down before the result
01.a: you said 0.3, it is 0.25: too high by 0.05.

Each notebook has a module with its checks: `notebook_00.py`, `notebook_01.py` and so on.
"""

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from course_exercises.checks import CHECKS, Hint, NotTried, close, first_line, kind, plain, same
from course_exercises.reports import is_number

PASSED, NOT_TRIED, WRONG = "passed", "not tried yet", "not yet"


@dataclass(frozen=True)
class Verdict:
    """The state of an exercise, with a hint or a note on what the unsolved code does."""

    state: str
    text: str = ""

    def __str__(self) -> str:
        """Return one line for the learner."""
        return f"{self.state}: {self.text}" if self.text else self.state


def check(name: str, answer: object) -> None:
    """Check the answer to an exercise, and print one line about it.

    Args:
        name: The number of the exercise, for example "02.3".
        answer: What the exercise asks for, often a function (without parentheses).
    """
    print(f"{name}: {examine(name, answer)}")


def examine(name: str, answer: object) -> Verdict:
    """Return the verdict on an answer, even if it raises an error; the exercise must exist."""
    checks = checks_of(name.split(".")[0])
    if name not in checks:
        raise ValueError(f"There is no exercise {name!r}; there are {', '.join(checks) or 'none'}.")
    if answer is None or answer is ...:
        return Verdict(NOT_TRIED)
    try:
        checks[name](answer)
    except NotTried as reason:
        return Verdict(NOT_TRIED, str(reason))
    except Hint as hint:
        return Verdict(WRONG, str(hint))
    except Exception as error:
        reason = first_line(error)
        return Verdict(WRONG, f"The check cannot use this answer, a {kind(answer)} ({reason}).")
    return Verdict(PASSED)


def checks_of(number: str) -> dict[str, Callable[[Any], None]]:
    """Return the checks of a notebook, for example "02", by the number of the exercise."""
    module = f"{__name__}.notebook_{number}"
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return {}
    return {name: CHECKS[name] for name in sorted(CHECKS) if name.startswith(f"{number}.")}


def compare(name: str, guess: Any, outcome: Any, within: float = 0) -> None:
    """Compare a prediction with the outcome, and print one line about it.

    Args:
        name: The name of the prediction, for example "02.a".
        guess: What the learner wrote down; None if nothing.
        outcome: A number, a string, or a tuple of these.
        within: The largest absolute error that counts as close.
    """
    print(f"{name}: {_feedback(plain(guess), plain(outcome), within)}")


def _feedback(guess: Any, outcome: Any, within: float) -> str:
    if guess is None or guess is ...:
        return "no prediction yet."
    if isinstance(outcome, tuple | list):
        return _feedback_on_many(guess, outcome, within)
    said = f"you said {guess!r}, it is {_rounded(outcome)!r}"
    if same(guess, outcome) or _words(guess) == _words(outcome) != "":
        return f"{said}: right."
    if isinstance(outcome, str) or not is_number(guess):
        return said + ("." if isinstance(guess, type(outcome)) else ", a value of another type.")
    distance = guess - outcome
    if abs(distance) <= within:
        return f"{said}: close."
    return f"{said}: too {'high' if distance > 0 else 'low'} by {_rounded(abs(distance))}."


def _feedback_on_many(guess: Any, outcome: Collection, within: float) -> str:
    if isinstance(guess, str) or not isinstance(guess, Collection):
        return f"you said {guess!r}, but a tuple of {len(outcome)} values is expected."
    if len(guess) != len(outcome):
        return f"you wrote down {len(guess)} values, but there are {len(outcome)}."
    pairs = list(zip(guess, outcome, strict=True))
    wrong = [i for i, (one, other) in enumerate(pairs) if not _agree(one, other, within)]
    if not wrong:
        return "all of them right."
    one, other = pairs[wrong[0]]
    return (
        f"{len(pairs) - len(wrong)} of {len(pairs)} right; number {wrong[0] + 1} is "
        f"{_rounded(other)!r}, you said {one!r}."
    )


def _agree(guess: Any, outcome: Any, within: float) -> bool:
    if isinstance(outcome, tuple | list):
        return (
            isinstance(guess, tuple | list)
            and len(guess) == len(outcome)
            and all(_agree(*pair, within) for pair in zip(guess, outcome, strict=True))
        )
    if isinstance(outcome, str):
        return _words(guess) == _words(outcome)
    return close(guess, outcome, within + 1e-12)


def _words(value: object) -> str:
    return " ".join(value.lower().split()) if isinstance(value, str) else ""


def _rounded(value: Any) -> Any:
    """Round a float to three significant digits; return other values unchanged."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
