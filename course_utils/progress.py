"""Progress bars that leave no trace."""

import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


class _LogFile:
    """Turns the updates of a bar into lines, for output that goes to a file."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress(
    iterable: Iterable | None, description: str, total: int | None = None, **options: Any
) -> Iterable:
    """Show a progress bar on stderr while iterating.

    The bar disappears at the end. Without a terminal or Jupyter, it is a line every 30 seconds.
    With COURSE_PROGRESS=off, as when notebooks are stored or compared, nothing is shown.
    Other options go to tqdm.
    """
    options |= {"delay": 0.5, "leave": False}
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        options |= {"file": _LogFile(), "delay": 30, "mininterval": 30, "maxinterval": 30}
    disable = os.environ.get("COURSE_PROGRESS") == "off"
    return tqdm(iterable, description, total, disable=disable, **options)
