"""Exercises that check themselves, and predictions that are answered.

>>> from course_exercises import check, compare
>>> check("01.2", class_shares)  # an exercise: is the learner's function right?
01.2: passed
>>> compare("01.a", 0.3, 0.25, within=0.02)  # a prediction, written down before the result
01.a: you said 0.3, it is 0.25: too high by 0.05.

The check of an exercise lives in the module of its notebook, `notebook_01.py` and so on, as a
function that takes the learner's answer. It raises `NotTried` for the answer that the notebook
starts with and `Hint` for a wrong one; if it does neither, the answer is right.
"""

import dis
import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

PASSED, NOT_TRIED, WRONG = "passed", "not tried yet", "not yet"
CHECKS: dict[str, Callable[[Any], None]] = {}


class NotTried(Exception):
    """The answer is still that of the notebook; the message may say what it does so far."""


class Hint(Exception):
    """The answer is wrong; the message teaches: which input, what was expected, what came."""


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        state: "passed", "not tried yet" or "not yet".
        text: The hint; for an exercise not tried, what the code does so far.
    """

    state: str
    text: str = ""

    def __str__(self) -> str:
        """One line for the learner."""
        return f"{self.state}: {self.text}" if self.text else self.state


def check(name: str, answer: object) -> None:
    """Check the answer to an exercise, and print one line about it.

    Args:
        name: The number of the exercise, for example "02.3".
        answer: What the exercise asks for, often a function (without parentheses).

    Raises:
        ValueError: There is no such exercise.
    """
    print(f"{name}: {examine(name, answer)}")


def examine(name: str, answer: object) -> Verdict:
    """Check the answer to an exercise; whatever it does, the result is a verdict.

    Args:
        name: The number of the exercise, for example "02.3".
        answer: What the exercise asks for.

    Raises:
        ValueError: There is no such exercise.
    """
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
        reason = _first_line(error)
        return Verdict(WRONG, f"The check cannot use this answer, a {_kind(answer)} ({reason}).")
    return Verdict(PASSED)


def checks_of(notebook: str) -> dict[str, Callable[[Any], None]]:
    """Give the checks of a notebook by the number of the exercise.

    Args:
        notebook: Its number, for example "02".
    """
    try:
        importlib.import_module(f"{__name__}.notebook_{notebook}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.notebook_{notebook}":
            raise
        return {}
    return {name: CHECKS[name] for name in sorted(CHECKS) if name.startswith(f"{notebook}.")}


def exercise(name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Make a function the check of an exercise.

    Args:
        name: The number of the exercise, for example "02.3".
    """

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        CHECKS[name] = function
        return function

    return register


# What checks are made of


def call(function: Any, *arguments: object, show: str = "", **keywords: object) -> Any:
    """Call the learner's function.

    Args:
        function: The function.
        *arguments: Its arguments.
        show: How to name the arguments in a hint; as they are printed if empty.
        **keywords: More arguments, by name.

    Returns:
        What the function returns.

    Raises:
        NotTried: The function is still empty, or it returned `...`.
        Hint: It is no function, it raised an error, or it returned None.
    """
    if not callable(function):
        raise Hint(
            f"This is a {_kind(function)}, not a function. Give check the name of the "
            "function, without parentheses."
        )
    words = [*map(repr, arguments), *(f"{key}={value!r}" for key, value in keywords.items())]
    show = show or ", ".join(words)
    try:
        result = function(*arguments, **keywords)
    except Exception as error:
        raise Hint(f"For ({show}) your function raises {_first_line(error)}") from None
    if result is ... or (result is None and _is_empty(function)):
        raise NotTried
    if result is None:
        raise Hint(f"For ({show}) your function gives None. Is a return missing?")
    return result


def _is_empty(function: Any) -> bool:
    """Tell whether a function does nothing but return None."""

    def empty() -> None: ...

    if not hasattr(function, "__code__"):
        return False
    names, wanted = ([step.opname for step in dis.get_instructions(f)] for f in (function, empty))
    return names == wanted


def close(answer: Any, wanted: Any, tolerance: float = 1e-6) -> bool:
    """Tell whether numbers agree: a number, or an array or tensor of the same shape.

    Args:
        answer: What the learner's code gave, of any type.
        wanted: The right values.
        tolerance: The largest difference that counts as none.
    """
    try:
        answer, wanted = np.asarray(answer, dtype=float), np.asarray(wanted, dtype=float)
    except (TypeError, ValueError, RuntimeError):
        return False
    return answer.shape == wanted.shape and np.allclose(
        answer, wanted, rtol=0, atol=tolerance, equal_nan=True
    )


def same(answer: Any, wanted: Any) -> bool:
    """Tell whether two values of Python are equal and of the same type.

    The type counts, since an object may claim to equal everything. A tuple may stand for a list,
    and a number of NumPy or torch for one of Python.
    """
    if isinstance(wanted, tuple | list):
        return (
            type(answer) in (tuple, list)
            and len(answer) == len(wanted)
            and all(same(one, other) for one, other in zip(answer, wanted, strict=True))
        )
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return not isinstance(answer, bool) and close(answer, wanted, 0)
    return type(answer) is type(wanted) and answer == wanted


# Predictions


def compare(name: str, guess: Any, outcome: Any, within: float = 0) -> None:
    """Compare a prediction with what came out, and print one line about it.

    Args:
        name: The letter of the prediction, for example "02.a".
        guess: What the learner wrote down; None if nothing.
        outcome: What came out: a number, a word, or a tuple of these.
        within: How far a number may be away and still count as close.
    """
    print(f"{name}: {_feedback(guess, outcome, within)}")


def _feedback(guess: Any, outcome: Any, within: float) -> str:
    if guess is None or guess is ...:
        return "no prediction yet."
    if isinstance(outcome, tuple | list):
        return _feedback_on_many(guess, outcome, within)
    said = f"you said {guess!r}, it is {_plain(outcome)!r}"
    if same(guess, outcome) or _words(guess) == _words(outcome) != "":
        return f"{said}: right."
    if isinstance(outcome, str) or not _is_number(guess):
        kind = "." if isinstance(guess, type(outcome)) else ", a value of another kind."
        return said + kind
    distance = float(guess) - float(outcome)
    if abs(distance) <= within:
        return f"{said}: close."
    return f"{said}: too {'high' if distance > 0 else 'low'} by {_plain(abs(distance))}."


def _feedback_on_many(guess: Any, outcome: Collection, within: float) -> str:
    if isinstance(guess, str) or not isinstance(guess, Collection):
        return f"you said {guess!r}, but {len(outcome)} values are asked for, in brackets."
    if len(guess) != len(outcome):
        return f"you wrote down {len(guess)} values, there are {len(outcome)}."
    pairs = list(zip(guess, outcome, strict=True))
    wrong = [i for i, (one, other) in enumerate(pairs) if not _agree(one, other, within)]
    if not wrong:
        return "all of them right."
    one, other = pairs[wrong[0]]
    return (
        f"{len(pairs) - len(wrong)} of {len(pairs)} right; number {wrong[0] + 1} is "
        f"{_plain(other)!r}, you said {one!r}."
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


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Round a number to what a reader can take in; leave everything else."""
    value = value.item() if hasattr(value, "item") else value
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _kind(value: object) -> str:
    return type(value).__name__


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{_kind(error)}: {lines[0]}" if lines else _kind(error)
