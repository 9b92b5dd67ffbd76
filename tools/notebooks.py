"""Read the notebooks of the course and set their parameters."""

import ast
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from nbformat import NotebookNode

from course_utils.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def find_notebooks(only: Sequence[str] = ()) -> list[Path]:
    """Find the notebooks of the course, in order.

    Args:
        only: Numbers ("02" or "2"), names or paths of notebooks; none means all.

    Raises:
        CourseError: There is no notebook with that name.
    """
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    wanted = [Path(name).name.removesuffix(".ipynb") for name in only]
    for name in wanted:
        if not any(_is_called(path, name) for path in paths):
            known = ", ".join(path.stem for path in paths) or "none"
            raise CourseError(f"There is no notebook {name!r}; the notebooks are: {known}.")
    return [path for path in paths if not wanted or any(_is_called(path, n) for n in wanted)]


def _is_called(path: Path, name: str) -> bool:
    return path.stem == name or path.stem.split("_")[0] == name.zfill(2)


def tagged(nb: NotebookNode, tag: str) -> NotebookNode | None:
    """Return the first cell with a tag, or None."""
    cells = (cell for cell in nb.cells if tag in cell.metadata.get("tags", ()))
    return next(cells, None)


def tagged_cells(nb: NotebookNode, kind: str) -> dict[str, NotebookNode]:
    """Return the cells of a kind by their name.

    An exercise has the cells `exercise-02.3` and `check-02.3`, a prediction `prediction-02.a` and
    `feedback-02.a`.
    """
    found = {}
    for cell in nb.cells:
        for tag in cell.metadata.get("tags", ()):
            before, _, name = tag.partition("-")
            if before == kind and name:
                found[name] = cell
    return found


def read_answers(path: Path) -> dict[str, str]:
    """Read a Python file with cells that start with `# %% NAME`; return their code by name."""
    _, *parts = re.split(r"^# %% *", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    pairs = (part.partition("\n") for part in parts)
    return {name.strip(): code.strip() for name, _, code in pairs}


def title(nb: NotebookNode) -> str:
    """Return the text of the first heading."""
    first_lines = (cell.source.partition("\n")[0] for cell in nb.cells)
    return next((line[2:].strip() for line in first_lines if line.startswith("# ")), "")


def sections(nb: NotebookNode) -> list[str]:
    """Return, for each cell, the heading of the section it is in."""
    found, current = [], ""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                current = line[3:].strip() if line.startswith("## ") else current
        found.append(current)
    return found


def parameters(nb: NotebookNode) -> dict[str, Any]:
    """Return the names that the parameters cell sets, with their values (None if computed)."""
    cell = tagged(nb, "parameters")
    found = {}
    for node in ast.parse(cell.source).body if cell else []:
        if isinstance(node, ast.Assign):
            values = {name.id: node.value for name in node.targets if isinstance(name, ast.Name)}
            found |= {name: _literal(value) for name, value in values.items()}
    return found


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def headline(nb: NotebookNode) -> str:
    """Return the last line that the cell tagged `headline` printed, or an empty string."""
    cell = tagged(nb, "headline")
    outputs = cell.outputs if cell else []
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    return (printed.strip().splitlines() or [""])[-1]


def tiny_parameters(nb: NotebookNode) -> dict[str, Any]:
    """Return the parameters with which tests run the notebook."""
    return dict(nb.metadata.get("course", {}).get("tiny", {}))


def set_parameters(nb: NotebookNode, values: Mapping[str, Any]) -> NotebookNode:
    """Return a copy of a notebook with different parameters.

    Args:
        nb: A notebook with a cell tagged `parameters`.
        values: Values by name. Text is read as a literal of the default's type, as on the
            command line: "3", "false", "[8, 16]".

    Raises:
        CourseError: A parameter is unknown, or its value has the wrong type.
    """
    from papermill.parameterize import parameterize_notebook

    known = parameters(nb)
    for name in values:
        if name not in known:
            raise CourseError(
                f"{title(nb)!r} has no parameter {name!r}; it has {', '.join(known) or 'none'}."
            )
    if not values:
        return deepcopy(nb)
    typed = {name: _typed(name, value, known[name]) for name, value in values.items()}
    nb = deepcopy(nb)
    nb.metadata.setdefault("papermill", {})
    for cell in nb.cells:
        cell.metadata.setdefault("tags", [])  # papermill expects them
    return parameterize_notebook(nb, typed, kernel_name="python3", language="python")


def _typed(name: str, value: object, default: object) -> object:
    """Read text as a literal, in Python's or YAML's spelling, of the default's type."""
    if not isinstance(value, str) or isinstance(default, str):
        return value
    text = value
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text if default is None else _yaml(text)
    # An integer is accepted for a float, but a bool is not.
    numbers = isinstance(default, float) and type(value) is int
    if default is None or type(value) is type(default) or numbers:
        return value
    raise CourseError(f"{name} must be of type {type(default).__name__}, not {text!r}.")


def _yaml(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def kernel_environment(threads: int | None = None) -> dict[str, str]:
    """Return the environment variables of a kernel: progress bars off, limited threads.

    Several kernels with one thread per core each slow one another down more than tenfold. With
    None, the libraries choose the number; variables that are already set are kept.
    """
    limits = dict.fromkeys(THREAD_VARIABLES, str(threads)) if threads else {}
    return limits | os.environ | {"COURSE_PROGRESS": "off"}
