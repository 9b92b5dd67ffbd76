"""Progress shows where somebody watches, and leaves nothing behind."""

import sys
import types

import pytest

from course_utils import progress
from course_utils.progress import Progress, format_seconds


class Terminal:
    def __init__(self):
        self.written = []

    def isatty(self):
        return True

    def write(self, text):
        self.written.append(text)

    def flush(self):
        pass


@pytest.fixture
def watched(monkeypatch):
    """A terminal that somebody watches, redrawn after every item."""
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    monkeypatch.setattr(progress, "REFRESH", 0)
    terminal = Terminal()
    system = types.SimpleNamespace(stderr=terminal, modules={})
    monkeypatch.setattr(progress, "sys", system)
    return terminal


def test_items_come_through_unchanged(watched):
    assert list(Progress("abc", "letters")) == ["a", "b", "c"]
    assert list(Progress(iter(range(3)), "numbers")) == [0, 1, 2]


def test_a_terminal_shows_how_far_it_is_and_is_wiped(watched):
    list(Progress("abc", "letters"))
    assert watched.written[0].startswith("\rletters: 1/3, ") and " left" in watched.written[0]
    wiped = watched.written[-1]
    assert wiped.endswith("\r") and wiped.strip() == ""
    assert len(wiped.strip("\r")) >= len(watched.written[-2].strip("\r"))


def test_without_a_length_it_counts(watched):
    list(Progress(iter("ab"), "letters"))
    assert watched.written[1].rstrip() == "\rletters: 2"


def test_an_error_or_a_break_wipes_the_line_too(watched):
    for item in Progress("abc", "letters"):
        if item == "b":
            break
    assert watched.written[-1].strip() == ""
    with pytest.raises(ZeroDivisionError):
        for _item in Progress("abc", "letters"):
            raise ZeroDivisionError
    assert all(text.strip() == "" for text in watched.written[-1:])


@pytest.mark.parametrize("silent", ["switched off", "no terminal"])
def test_silence(watched, monkeypatch, silent):
    if silent == "switched off":
        monkeypatch.setenv("COURSE_PROGRESS", "off")
    else:
        monkeypatch.setattr(watched, "isatty", lambda: False)
    list(Progress("abc", "letters"))
    assert watched.written == []


def test_a_notebook_has_one_output_that_ends_empty(watched, monkeypatch):
    shown = []

    class Handle:
        def update(self, bundle, raw):
            shown.append(("update", bundle["text/plain"]))

    def display(bundle, raw, display_id):
        shown.append(("display", bundle["text/plain"]))
        return Handle()

    shell = types.SimpleNamespace(kernel=object())
    package = types.ModuleType("IPython")
    package.get_ipython = lambda: shell
    package.display = types.ModuleType("IPython.display")
    package.display.display = display
    progress.sys.modules["IPython"] = package
    monkeypatch.setitem(sys.modules, "IPython.display", package.display)
    list(Progress("abc", "letters"))
    assert [kind for kind, _ in shown] == ["display", "update", "update", "update"]
    assert shown[0][1].startswith("letters: 1/3") and shown[-1] == ("update", "")
    assert watched.written == []


def test_time_left():
    bar = Progress(range(10), "work")
    assert bar._text(5, 20.0) == "work: 5/10, 20 s left"
    # Three more rounds of 40 s follow.
    assert (
        Progress(range(10), "work", rounds_left=3)._text(5, 20.0) == "work: 5/10, 2 min 20 s left"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (48, "48 s"), (59.7, "1 min 00 s"), (125, "2 min 05 s")]
)
def test_durations_in_words(seconds, text):
    assert format_seconds(seconds) == text
