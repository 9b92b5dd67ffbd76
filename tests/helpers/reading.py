"""Estimate how long the notebooks take to read and to practice."""

import re
from collections.abc import Iterable

from nbformat import NotebookNode

from tools.run import FOLDED

WORD, LINE, FIGURE, PREDICTION = 60 / 200, 4, 30, 60  # seconds to read each, or to guess
QUESTION, EXERCISE, OPEN = 120, 600, 600  # seconds; an open exercise takes EXERCISE + OPEN


def estimate_minutes(cells: Iterable[NotebookNode]) -> tuple[int, int]:
    """Estimate the minutes to read cells, and to do their exercises and quiz, in steps of 5."""
    read = practice = 0.0
    for cell in cells:
        kinds = {tag.partition("-")[0] for tag in cell.metadata.get("tags", [])}
        if "quiz" in kinds:
            practice += QUESTION
        elif "exercise" in kinds:
            practice += EXERCISE
        elif cell.cell_type == "markdown":
            read += WORD * len(cell.source.split())
            practice += OPEN * bool(re.match(r"### Exercise [\d.]+: open", cell.source))
        elif not kinds & {*FOLDED}:
            figures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
            lines = sum(bool(line.strip()) for line in cell.source.splitlines())
            read += LINE * lines + FIGURE * figures + PREDICTION * ("prediction" in kinds)
    return 5 * round(read / 300), 5 * round(practice / 300)
