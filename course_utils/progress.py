"""Progress bars that disappear at the end."""

import os
import sys
from collections.abc import Iterable

from tqdm import tqdm


def progress(iterable: Iterable, description: str, total: int | None = None) -> Iterable:
    """Show a progress bar on stderr while iterating.

    Outside a terminal or Jupyter, a line is printed every 10 seconds. COURSE_PROGRESS=off, which
    the tools set when they execute notebooks, turns it off.
    """
    options = {"delay": 0.5, "leave": False, "disable": os.environ.get("COURSE_PROGRESS") == "off"}
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        options |= {"delay": 10, "mininterval": 10, "maxinterval": 10}
        options["bar_format"] = "{l_bar}{bar}{r_bar}\n"
    return tqdm(iterable, description, total, **options)
