"""Progress bars show where somebody watches, and leave nothing behind."""

import io
import itertools
import sys

import tqdm.std

from course_utils.progress import progress


def watch(monkeypatch, is_terminal=True):
    """Give what stderr receives, where every item takes at least a second."""
    stderr = io.StringIO()
    stderr.isatty = lambda: is_terminal
    seconds = itertools.count()
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(tqdm.std, "time", lambda: next(seconds))
    monkeypatch.setattr(sys, "stderr", stderr)
    return stderr


def test_items_come_through_unchanged(monkeypatch):
    stderr = watch(monkeypatch)
    assert list(progress("abc", "letters")) == ["a", "b", "c"]
    assert list(progress(iter("abc"), "letters", total=3)) == ["a", "b", "c"]
    assert "letters:  67%" in stderr.getvalue()


def test_the_bar_is_erased_also_when_the_loop_is_left(monkeypatch):
    stderr = watch(monkeypatch)
    for letter in progress("abcd", "letters"):
        if letter == "c":
            break
    shown, erased = stderr.getvalue().split("\r")[-3:-1]
    assert shown.startswith("letters:") and erased.strip() == ""
    assert len(erased) >= len(shown)


def test_nothing_is_shown_when_switched_off(monkeypatch):
    stderr = watch(monkeypatch)
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    list(progress("abc", "letters"))
    assert stderr.getvalue() == ""


def test_a_file_gets_one_line_per_interval(monkeypatch):
    stderr = watch(monkeypatch, is_terminal=False)
    list(progress(range(5), "short"))
    assert stderr.getvalue() == ""
    list(progress(range(100), "long"))
    lines = [line for line in stderr.getvalue().splitlines() if line.strip()]
    assert 3 <= len(lines) <= 12 and all(line.startswith("long: ") for line in lines)
    assert stderr.getvalue().count("\n") == len(lines)
