"""Building blocks for the checks of the exercises.

A check is a function that takes the learner's answer. It raises `NotTried` for the unsolved cell
of the notebook and `Hint` for a wrong answer; if it raises neither, the answer is right.
"""

import dis
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

CHECKS: dict[str, Callable[[Any], None]] = {}


class NotTried(Exception):
    """The answer is the unsolved cell of the notebook; the message may say what it does."""


class Hint(Exception):
    """The answer is wrong; the message names the input, what was expected and what came out."""


def exercise(name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function as the check of an exercise, for example "02.3"."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        CHECKS[name] = function
        return function

    return register


def call(function: Any, *arguments: object, show: str = "", **keywords: object) -> Any:
    """Call the learner's function and return its result.

    Raise NotTried if the function is empty or returns `...`, and Hint if it is not a function,
    raises an error or returns None. Hints show `show` in place of the arguments.
    """
    if not callable(function):
        raise Hint(f"A function is expected, not a {kind(function)}. Leave out the parentheses.")
    words = [*map(repr, arguments), *(f"{key}={value!r}" for key, value in keywords.items())]
    show = show or ", ".join(words)
    try:
        result = function(*arguments, **keywords)
    except Exception as error:
        raise Hint(f"For ({show}) your function raises {first_line(error)}") from None
    if result is ... or (result is None and _is_empty(function)):
        raise NotTried
    if result is None:
        raise Hint(f"For ({show}) your function returns None. Is a return missing?")
    return result


def _is_empty(function: Any) -> bool:
    """Return whether a function does nothing but return None."""

    def empty() -> None: ...

    if not hasattr(function, "__code__"):
        return False
    names, wanted = ([step.opname for step in dis.get_instructions(f)] for f in (function, empty))
    return names == wanted


# Comparing values


def plain(value: Any) -> Any:
    """Convert arrays, tensors and their scalars to Python lists and numbers, recursively."""
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def close(answer: Any, wanted: Any, tolerance: float = 1e-6) -> bool:
    """Return whether numbers, or arrays of the same shape, differ by at most the tolerance."""
    try:
        answer, wanted = np.asarray(plain(answer)), np.asarray(plain(wanted))
    except ValueError:  # rows of different lengths
        return False
    if {answer.dtype.kind, wanted.dtype.kind} - {*"biuf"} or answer.shape != wanted.shape:
        return False  # text is not a number
    # float32 has a relative precision of 6e-8.
    return np.allclose(answer, wanted, rtol=min(tolerance, 1e-6), atol=tolerance, equal_nan=True)


def same(answer: Any, wanted: Any) -> bool:
    """Return whether two values are equal and of the same type.

    A tuple also matches a list, and a NumPy or torch scalar a Python number.
    """
    answer = plain(answer)
    if isinstance(wanted, tuple | list):
        return (
            type(answer) in (tuple, list)
            and len(answer) == len(wanted)
            and all(same(one, other) for one, other in zip(answer, wanted, strict=True))
        )
    if isinstance(wanted, int | float) and not isinstance(wanted, bool):
        return not isinstance(answer, bool) and close(answer, wanted, 0)
    return type(answer) is type(wanted) and answer == wanted


# Text for hints


def explain(got: Any, start: str, mistakes: Iterable[tuple[Any, str]], otherwise: str) -> NoReturn:
    """Raise the hint of the first typical mistake that gives the same numbers, or `otherwise`."""
    for value, reason in mistakes:
        if close(got, value):
            raise Hint(f"{start} {reason}")
    raise Hint(f"{start} {otherwise}")


def kind(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__


def short(value: object) -> str:
    """Return the first 40 characters of a value's repr."""
    return f"{value!r:.40}"


def rounded(values: Any, digits: int = 3) -> list[float]:
    """Round numbers for a hint."""
    return np.round(np.asarray(values, dtype=float), digits).tolist()


def first_line(error: Exception) -> str:
    """Return the type of an error and the first line of its message."""
    lines = str(error).splitlines()
    return f"{kind(error)}: {lines[0]}" if lines else kind(error)
