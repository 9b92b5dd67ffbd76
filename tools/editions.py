"""Build the student and the instructor edition of the course.

Students get the notebooks without outputs. Instructors get outputs, solutions, predictions, open
quizzes, slides, and the teaching notes of TEACHING.md. An edition is a self-contained folder and a
zip file of it.
"""

import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ClearOutputPreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from course_utils.errors import CourseError
from course_utils.paths import display_path
from tools.notebooks import ROOT, find_notebooks, read_answers, tagged_cells, title
from tools.slides import write_slides

FILES = ("LICENSE", "environment.yml", "pyproject.toml", "requirements.txt")
PAGES = ("docs/cheat_sheet.md", "docs/errors.md", "docs/learning_paths.md")
PACKAGES = ("course_utils", "course_exercises", "image_classifier", "tools")
FOR_TEACHERS = ("TEACHING.md", "teaching", "solutions")

FOR_STUDENTS = """Work through the notebooks in order. Each exercise has a check: edit the cell of
the exercise, run it and the check below it, and read the hint. Enter your predictions before you
run the cell that shows the result."""
FOR_INSTRUCTORS = """This is the edition for instructors: exercises are solved, predictions are
filled in, quizzes are open, and each notebook has teaching notes at the top.
[TEACHING.md](TEACHING.md) has plans for a workshop and for a course, and explains grading. The
folder `slides` has slides for the projector."""


def build_student(target: Path) -> Path:
    """Write `student/`, without solutions and outputs, and `student.zip`; return the folder.

    Raises:
        CourseError: Files in the folder were added or changed.
    """
    return _build("student", target, FOR_STUDENTS, lambda stem, nb: without_outputs(nb))


def build_instructor(target: Path) -> Path:
    """Write `instructor/`, with solutions and notes, and `instructor.zip`; return the folder.

    Raises:
        CourseError: Files in the folder were added or changed.
    """
    if not (ROOT / "solutions").is_dir():
        raise CourseError("This edition has no solutions; use a checkout of the whole course.")
    guide = (ROOT / "TEACHING.md").read_text("utf-8")

    def change(stem: str, nb: NotebookNode) -> NotebookNode:
        nb = solved(nb, read_answers(ROOT / "solutions" / f"{stem}.py"))
        notes = new_markdown_cell(teaching_notes(guide, stem[:2]), id="teaching-notes")
        nb.cells.insert(1, notes)
        for cell in nb.cells:
            if "quiz" in cell.metadata.get("tags", ()):
                cell.source = cell.source.replace("<details>", "<details open>")
        return nb

    return _build("instructor", target, FOR_INSTRUCTORS, change, FOR_TEACHERS)


def without_outputs(nb: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook without outputs or execution counts."""
    return ClearOutputPreprocessor().preprocess(deepcopy(nb), {})[0]


def solved(nb: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """Return a copy of a notebook with answers in the cells of exercises and predictions.

    Args:
        nb: The notebook.
        answers: Code by the name of the exercise or prediction.

    Raises:
        CourseError: An answer is missing.
    """
    nb = deepcopy(nb)
    unsolved = {**tagged_cells(nb, "exercise"), **tagged_cells(nb, "prediction")}
    for name, cell in unsolved.items():
        if name not in answers:
            raise CourseError(f"There is no answer to {name} in the folder solutions.")
        cell.source = answers[name]
    # The outputs of these cells belong to the unsolved notebook.
    responses = [*tagged_cells(nb, "check").values(), *tagged_cells(nb, "feedback").values()]
    for cell in [*unsolved.values(), *responses]:
        cell.outputs, cell.execution_count = [], None
    return nb


def teaching_notes(guide: str, notebook: str) -> str:
    """Return the section of the teaching guide on a notebook, given by its number.

    Raises:
        CourseError: There is no such section.
    """
    found = re.search(rf"^### {notebook}\. .*?(?=^#|\Z)", guide, re.DOTALL | re.MULTILINE)
    if not found:
        raise CourseError(f"TEACHING.md has no section on notebook {notebook}.")
    return "## For instructors\n\n" + found.group().partition("\n")[2].strip()


def _build(
    name: str,
    target: Path,
    introduction: str,
    change: Callable[[str, NotebookNode], NotebookNode],
    more: tuple[str, ...] = (),
) -> Path:
    folder, archive = target / name, target / f"{name}.zip"
    if not _may_be_replaced(folder, archive):
        raise CourseError(
            f"{display_path(folder)} or its zip was changed, or is not an edition of the course; "
            "move or delete both, or choose another folder with --output."
        )
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".") as scratch:
        fresh = Path(scratch) / f"image-course-{name}"
        for part in (*FILES, *PAGES, *PACKAGES, *more, "notebooks"):
            _copy(ROOT / part, fresh / part)
        rows = []
        for path in find_notebooks():
            nb = nbformat.read(path, as_version=4)
            rows.append(f"| [{title(nb)}](notebooks/{path.name}) | {nb.metadata.course.minutes} |")
            nbformat.write(change(path.stem, nb), fresh / "notebooks" / path.name)
        if more:  # the instructors' edition
            write_slides(fresh / "slides")
        template = (ROOT / "tools" / "edition.md").read_text("utf-8")
        readme = template.format(introduction=introduction, notebooks="\n".join(rows))
        (fresh / "README.md").write_text(readme, encoding="utf-8")
        shutil.make_archive(str(target / name), "zip", scratch, fresh.name)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns(".*", "__pycache__", "*.ipynb")
        shutil.copytree(source, target, ignore=ignored)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _may_be_replaced(folder: Path, archive: Path) -> bool:
    """Return whether there is no edition, or one whose folder and zip have the same contents."""
    if not archive.is_file():
        return not folder.exists()
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
    except zipfile.BadZipFile:
        return False
    top = f"image-course-{folder.name}/"
    stored = {entry.filename: entry.CRC for entry in entries}
    files = [path for path in folder.rglob("*") if path.is_file()]
    there = {top + p.relative_to(folder).as_posix(): zlib.crc32(p.read_bytes()) for p in files}
    is_edition = all(name.startswith(top) for name in stored)
    return is_edition and (not folder.exists() or there == stored)
