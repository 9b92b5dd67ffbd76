"""The course as it is handed out: one edition for students, one for instructors.

Both are made from the same notebooks. Students get them without outputs; instructors get the
outputs, the solutions and predictions filled in, the quiz with its answers open, and the teaching
notes of `TEACHING.md`. Each edition is a folder that installs and runs by itself, and the same
folder as a zip file. Nothing in it depends on the machine or the time.
"""

import re
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from course_exercises.cells import read_answers, tagged_cells
from course_utils.archive import write_zip
from course_utils.paths import repository_root

PLAIN_FILES = ("LICENSE", "environment.yml", "pyproject.toml", "requirements.txt")
TEXT = (".ipynb", ".md", ".py", ".toml", ".txt", ".yml", "")

README = """# Image classification with PyTorch, in notebooks

{who}

Install it once (Python 3.11, 3.12 or 3.13; this is the only step that needs a network), and open
the notebooks in JupyterLab. On Linux and macOS:

```
python3 -m venv .venv
.venv/bin/python -m pip install -r requirements.txt
.venv/bin/python -m jupyter lab notebooks
```

On Windows:

```
py -m venv .venv
.venv\\Scripts\\python -m pip install -r requirements.txt
.venv\\Scripts\\python -m jupyter lab notebooks
```

{notebooks}

Terms are explained in the [glossary](notebooks/glossary.md), common mistakes are collected on the
[page of pitfalls](notebooks/pitfalls.md). What the notebooks write goes to the folder `build`.

The code and the notebooks are under the [MIT license](LICENSE); the photographs of
`course_utils/data/archives/cutouts.zip` are under the GPL, version 2 or later.
"""
FOR_STUDENTS = """Work through the notebooks in their order. The exercises check themselves: change
the cell of an exercise, run it and the check below it, and read the hint. Write your predictions
down before you run the cell that shows what happens."""
FOR_INSTRUCTORS = """The edition for instructors: the exercises are solved, the predictions answered
and the quizzes open, and each notebook starts with teaching notes. [TEACHING.md](TEACHING.md) has
the plans for a workshop and for a course, and says how to mark."""


class EditionError(ValueError):
    """An edition cannot be made; the message says why, in one sentence."""


def build_student(target: Path) -> Path:
    """Make the edition for students: no solutions, no outputs.

    Args:
        target: The folder for `student/` and `student.zip`.

    Returns:
        The folder of the edition.

    Raises:
        EditionError: This is no checkout of the course, or the folder cannot be written.
    """
    return _build("student", target, FOR_STUDENTS, lambda path, nb: without_outputs(nb))


def build_instructor(target: Path) -> Path:
    """Make the edition for instructors: solutions in place, teaching notes, answers.

    Args:
        target: The folder for `instructor/` and `instructor.zip`.

    Returns:
        The folder of the edition.

    Raises:
        EditionError: This is no checkout of the course, or the folder cannot be written.
    """
    root = _root()
    files = {"TEACHING.md": (root / "TEACHING.md").read_bytes()}
    for path in sorted((root / "solutions").glob("*.py")):
        files[f"solutions/{path.name}"] = path.read_bytes()
    guide = files["TEACHING.md"].decode("utf-8")

    def change(path: Path, nb: NotebookNode) -> NotebookNode:
        nb = solved(nb, read_answers(root / "solutions" / f"{path.stem}.py"))
        notes = new_markdown_cell(teaching_notes(guide, path.stem[:2]), id="teaching-notes")
        nb.cells.insert(1, notes)
        for cell in nb.cells:
            if "quiz" in cell.metadata.get("tags", ()):
                cell.source = cell.source.replace("<details>", "<details open>")
        return nb

    return _build("instructor", target, FOR_INSTRUCTORS, change, files)


# What is changed in a notebook


def without_outputs(nb: NotebookNode) -> NotebookNode:
    """Give a copy of a notebook as if no cell had ever run."""
    nb = deepcopy(nb)
    for cell in nb.cells:
        _clear(cell)
    return nb


def solved(nb: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """Give a copy of a notebook with answers in the cells of its exercises and predictions.

    Args:
        nb: The notebook.
        answers: Code by the name of the exercise or prediction, as `read_answers` gives it.

    Raises:
        EditionError: An answer is missing.
    """
    nb = deepcopy(nb)
    for name, cell in {**tagged_cells(nb, "exercise"), **tagged_cells(nb, "prediction")}.items():
        if name not in answers:
            raise EditionError(f"There is no answer to {name} in the folder solutions.")
        cell.source = answers[name]
        _clear(cell)
    for cell in {**tagged_cells(nb, "check"), **tagged_cells(nb, "feedback")}.values():
        _clear(cell)  # what they said was about the unsolved notebook
    return nb


def teaching_notes(guide: str, notebook: str) -> str:
    """Take the notes on one notebook out of the teaching guide.

    Args:
        guide: The text of `TEACHING.md`.
        notebook: The number of the notebook, for example "02".

    Raises:
        EditionError: The guide has none.
    """
    found = re.search(rf"^### {notebook}\. .*?(?=^#|\Z)", guide, re.DOTALL | re.MULTILINE)
    if not found:
        raise EditionError(f"TEACHING.md has no section on notebook {notebook}.")
    return "## For instructors\n\n" + found.group().partition("\n")[2].strip()


def _clear(cell: NotebookNode) -> None:
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None


# Writing an edition


def _build(
    name: str,
    target: Path,
    who: str,
    change: Callable[[Path, NotebookNode], NotebookNode],
    more: dict[str, bytes] | None = None,
) -> Path:
    root = _root()
    files = _package(root) | (more or {})
    lines = ["| notebook | minutes of computing |", "| --- | --- |"]
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        heading = nb.cells[0].source.splitlines()[0].removeprefix("# ")
        lines.append(f"| [{heading}](notebooks/{path.name}) | {nb.metadata.course.minutes} |")
        text = nbformat.writes(change(path, nb))
        files[f"notebooks/{path.name}"] = text.encode() + b"\n"
    files["README.md"] = README.format(who=who, notebooks="\n".join(lines)).encode()
    files = {key: _unix(key, files[key]) for key in sorted(files)}
    try:
        _write(target / name, files)
        write_zip(
            target / f"{name}.zip",
            {f"image-course-{name}/{key}": content for key, content in files.items()},
        )
    except OSError as error:
        reason = error.strerror or error
        raise EditionError(f"Cannot write to the folder {target} ({reason}).") from None
    return target / name


def _root() -> Path:
    root = repository_root()
    if root is None or not (root / "solutions").is_dir():
        raise EditionError(
            "The editions are made from a checkout of the whole course, which this is not."
        )
    return root


def _package(root: Path) -> dict[str, bytes]:
    """Everything that is in both editions as it is in the checkout."""
    package = root / "course_utils"
    paths = [root / name for name in PLAIN_FILES]
    paths += package.rglob("*.py")
    paths += (path for path in (package / "data" / "archives").iterdir() if path.is_file())
    paths += (root / "notebooks").glob("*.md")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def _unix(name: str, content: bytes) -> bytes:
    """Give text the line ends of Unix: a checkout on Windows may have others."""
    return content.replace(b"\r\n", b"\n") if Path(name).suffix in TEXT else content


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write a folder as a whole: the old one stays until the new one is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        fresh = Path(scratch) / folder.name
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        fresh.rename(folder)
