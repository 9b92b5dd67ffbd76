"""One line of progress with the time left, which leaves no trace in a stored notebook."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized

REFRESH = 0.5  # seconds


class Progress(Iterable):
    """Iterate over something and show how far it is.

    In Jupyter the line is drawn in place and removed at the end, since a stored bar holds times
    that are different on every run. On a terminal it is drawn on stderr; elsewhere nothing shows.

    Example:
        >>> for batch in Progress(loader, "epoch 1"):
        ...     ...
    """

    def __init__(self, items: Iterable, label: str, rounds_left: int = 0) -> None:
        """Remember what to iterate over.

        Args:
            items: What to iterate over.
            label: What is being done.
            rounds_left: How many more times as much follows; the time left includes it.
        """
        self.items = items
        self.label = label
        self.rounds_left = rounds_left
        self.total = len(items) if isinstance(items, Sized) else None

    def __iter__(self) -> Iterator:
        """Yield the items, redrawing the line twice a second at most."""
        line = _make_line()
        start = shown = time.monotonic()
        try:
            for done, item in enumerate(self.items, start=1):
                yield item
                now = time.monotonic()
                if now - shown >= REFRESH:
                    shown = now
                    line.show(self._text(done, now - start))
        finally:
            line.clear()

    def _text(self, done: int, seconds: float) -> str:
        if not self.total:
            return f"{self.label}: {done}"
        left = seconds / done * (self.total * (1 + self.rounds_left) - done)
        return f"{self.label}: {done}/{self.total}, {format_seconds(left)} left"


def format_seconds(seconds: float) -> str:
    """Write a duration the short way, for example "48 s" or "2 min 05 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class _NoLine:
    """Shows nothing: output goes to a file, or tests compare it."""

    def show(self, text: str) -> None:
        pass

    def clear(self) -> None:
        pass


class _TerminalLine(_NoLine):
    """Writes over the current line of a terminal."""

    def __init__(self) -> None:
        self.width = 0

    def show(self, text: str) -> None:
        sys.stderr.write(f"\r{text:<{self.width}}")
        sys.stderr.flush()
        self.width = len(text)

    def clear(self) -> None:
        sys.stderr.write(f"\r{'':<{self.width}}\r" if self.width else "")


class _NotebookLine(_NoLine):
    """Draws and redraws one output of the running cell."""

    def __init__(self) -> None:
        self.handle = None

    def show(self, text: str) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self.handle is None:
            self.handle = display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)

    def clear(self) -> None:
        if self.handle is not None:
            self.show("")


def _make_line() -> _NoLine:
    """Choose how to show progress here."""
    if os.environ.get("COURSE_PROGRESS") == "off":
        return _NoLine()
    if "IPython" in sys.modules:
        shell = sys.modules["IPython"].get_ipython()
        if shell is not None and hasattr(shell, "kernel"):
            return _NotebookLine()
    return _TerminalLine() if sys.stderr.isatty() else _NoLine()
