"""Building blocks for the checks of reports, answers that are dictionaries."""

import math
from collections.abc import Iterable
from typing import Any

from course_exercises.checks import Hint, NotTried, kind, plain, short


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    """Return whether a plain value is a finite number in a range."""
    return type(value) in (int, float) and math.isfinite(value) and low <= value <= high


def is_count(value: Any) -> bool:
    """Return whether a plain value is an integer of at least 0."""
    return type(value) is int and value >= 0


def report_of(answer: Any, *keys: str, name: str = "") -> dict:
    """Return the answer, a dictionary with at least these keys, with plain values.

    Raise NotTried if a value is None or `...`. The `name` is the key of the dictionary if it is
    part of another one.
    """
    answer, where = plain(answer), f'"{name}": ' if name else ""
    form = f"{where}a dict with the keys {', '.join(keys)} is expected"
    form = form[0].upper() + form[1:]
    if type(answer) is not dict:
        raise Hint(f"{form}, not a {kind(answer)}.")
    if missing := [key for key in keys if key not in answer]:
        raise Hint(f"{form}; {missing[0]!r} is missing.")
    if any(answer[key] is None or answer[key] is ... for key in keys):
        raise NotTried("some values are still missing")
    return answer


def require_word(
    report: dict, key: str, words: Iterable[str], expected: str | None = None, because: str = ""
) -> None:
    """Require one of the words and, if `expected` is given, this word."""
    word = report[key]
    if type(word) is not str or word not in words:
        raise Hint(f'"{key}" should be one of: {", ".join(words)}; not {short(word)}.')
    if expected is not None and word != expected:
        raise Hint(f'"{key}" is {word!r}, which does not fit the numbers: {because}.')


def require_fraction(value: Any, what: str) -> None:
    """Require a number between 0 and 1."""
    if not is_number(value, 0, 1):
        raise Hint(f"{what} should be between 0 and 1, not {short(value)}.")
