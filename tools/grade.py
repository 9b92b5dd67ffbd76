"""Grade submitted notebooks: execute each of them with the course's own checks.

A submission runs as a whole, with the tiny parameters of its notebook: a function or a number that
passes in the notebook passes here. A cell that hangs or kills the kernel does not affect other
exercises: it is left out, and the notebook runs again. Submissions are untrusted code that runs
with all your permissions.
"""

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from jinja2 import Template
from joblib import cpu_count
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course_exercises import NOT_TRIED, PASSED, WRONG, Verdict
from course_utils.catalog import CATALOG, prepare_dataset
from course_utils.errors import CourseError
from course_utils.paths import display_path
from course_utils.progress import progress
from tools import notebooks
from tools.run import Kernel

PAGE = Path(__file__).parent / "grades.html.j2"
SYMBOLS = {PASSED: "✓", WRONG: "✗", NOT_TRIED: "–"}
COPY = re.compile(r"^Copy of |[-_ ]*\(\d+\)|[-_ ]*Copy\d*$", re.IGNORECASE)
MIME = "application/vnd.course.verdict+json"
# A single expression without imports: it does not change variables of the submission.
JUDGE = (
    f"get_ipython().display_pub.publish({{{{'{MIME}': "
    "__import__('course_exercises').examine('{name}', {variable}).__dict__}})"
)


@dataclass
class Submission:
    """A submitted file: its notebook with the course's cells, and the verdicts by exercise."""

    path: Path
    student: str
    nb: NotebookNode
    verdicts: dict[str, Verdict] = field(default_factory=dict)


def grade_folder(
    folder: Path, output: Path, jobs: int = 2, cell_seconds: int = 60, notebook_seconds: int = 600
) -> None:
    """Grade a folder of submissions; write `grades.csv` and `grades.html`, and print the table.

    Args:
        folder: FOLDER/<student>/<notebook>.ipynb, or files with the student's name in theirs.
        output: The folder for the results.
        jobs: Number of notebooks run in parallel; they share the cores.
        cell_seconds: Time limit per cell.
        notebook_seconds: Time limit per notebook.
    """
    submissions, remarks = find_submissions(folder)
    students = {submission.student for submission in submissions}
    if len(students) == 1 < len({submission.path.parent for submission in submissions}):
        remarks.append(
            f"All notebooks count as those of {students.pop()}: grade its folder instead."
        )
    output.mkdir(parents=True, exist_ok=True)
    bundled = [name for name, entry in CATALOG.items() if entry["network"] == "not needed"]
    datasets = [prepare_dataset(name) for name in bundled]
    environment = notebooks.kernel_environment(max(1, cpu_count() // jobs))

    def grade(submission: Submission) -> None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            for dataset in datasets:
                shutil.copytree(dataset, Path(scratch, "data", dataset.name))
            own = {"COURSE_OUTPUT": scratch, "PYTHONPATH": str(notebooks.ROOT)}
            start = {"cwd": scratch, "env": environment | own}
            reason = execute(submission.nb, start, cell_seconds, notebook_seconds)
        submission.verdicts = read_verdicts(submission.nb, reason)

    pool = ThreadPoolExecutor(jobs)
    try:
        runs = {pool.submit(grade, one): one.path for one in submissions}
        for run in progress(as_completed(runs), "grading", total=len(runs)):
            if error := run.exception():
                remarks.append(f"{display_path(runs[run])} could not be graded ({error!r}).")
    finally:
        pool.shutdown(cancel_futures=True)
    write_grades(collect(submissions, remarks), remarks, output)


# Submissions


def find_submissions(folder: Path) -> tuple[list[Submission], list[str]]:
    """Return the submissions of a folder, and a remark about each other file."""
    course = {path.stem: nbformat.read(path, 4) for path in notebooks.find_notebooks()}
    stems = {stem[:2]: stem for stem, nb in course.items() if notebooks.tagged_cells(nb, "check")}
    submissions, remarks = [], []
    for path in sorted(path for path in folder.rglob("[!.]*") if path.is_file()):
        if {".ipynb_checkpoints", "__MACOSX"} & {*path.parts}:
            continue
        if path.suffix.lower() != ".ipynb":
            remarks.append(f"{display_path(path)} is not a notebook (.ipynb).")
            continue
        try:
            nb = nbformat.reads(path.read_text("utf-8-sig"), 4)
            stem = stems.get(number_of(nb, path))
            nb = with_course_cells(nb, course[stem]) if stem else nb
        except Exception as error:  # one broken file does not stop the others
            remarks.append(f"{display_path(path)} could not be read ({error!r}).")
            continue
        if stem:
            submissions.append(Submission(path, student_of(path, folder, stem), nb))
        else:
            remarks.append(f"{display_path(path)} is not a notebook of the course with exercises.")
    if not submissions and not remarks:
        raise CourseError(f"There is no notebook in the folder {display_path(folder)}.")
    return submissions, remarks


def number_of(nb: NotebookNode, path: Path) -> str:
    """Return the number of the notebook, from its title, a check, or the file name."""
    text = "\n".join(cell.source for cell in nb.cells)
    found = re.search(r"""^check\(["'](\d\d)\.""", text, re.MULTILINE)
    found = found or re.search(r"^# (\d\d)\. ", text, re.MULTILINE)
    found = found or re.search(r"(?<!\d)(\d\d)(?!\d)", path.stem)
    return found[1] if found else ""


def student_of(path: Path, folder: Path, stem: str) -> str:
    """Return the name of the student's folder, or the file name without that of the notebook."""
    student, *below = path.relative_to(folder).parts
    if below:
        return student
    name = COPY.sub("", path.stem)
    ours = stem if stem in name else rf"(?<!\d){stem[:2]}(?!\d)"
    rest = re.sub(rf"^(.*){ours}", r"\1", name).strip(" _-.")  # the last one
    return rest or folder.resolve().name


def with_course_cells(nb: NotebookNode, course: NotebookNode) -> NotebookNode:
    """Return a submission with the course's set-up cell, its tiny parameters and its checks."""
    nb = deepcopy(nb)
    for position, tag in enumerate(("setup", "parameters")):
        original = notebooks.tagged(course, tag)
        sources = {cell.source: cell for cell in _code(nb)}
        similar = get_close_matches(original.source, sources, 1)  # some editors drop the tags
        if cell := notebooks.tagged(nb, tag) or (sources[similar[0]] if similar else None):
            cell.update(source=original.source, metadata=original.metadata)
        else:
            nb.cells.insert(position, original)
    nb = notebooks.set_parameters(nb, notebooks.tiny_parameters(course))
    for name, check in notebooks.tagged_cells(course, "check").items():
        _insert_check(nb, name, re.search(r",\s*(\w+)\)", check.source)[1])
    return nb


def _insert_check(nb: NotebookNode, name: str, variable: str) -> None:
    """Replace the check of an exercise, and each copy of it, with the course's check.

    A check that was removed is added at the end, since no other cell changes an answer.
    """
    call = re.compile(rf"""^check\(\s*["']{re.escape(name)}["'][^)]*\).*$""", re.MULTILINE)
    places = [
        i
        for i, cell in enumerate(nb.cells)
        if f"check-{name}" in cell.metadata.get("tags", ()) or call.search(cell.source)
    ]
    judge = JUDGE.format(name=name, variable=variable)
    for i in reversed(places or [len(nb.cells) - 1]):
        nb.cells[i].source = call.sub("", nb.cells[i].source)
        nb.cells.insert(i + 1, new_code_cell(judge, metadata={"judge": [name, variable]}))


# Execution


class _Client(NotebookClient):
    """Discards printed text: an endless loop may print gigabytes."""

    def output(self, outs: list, msg: dict, display_id: str, cell_index: int) -> object:
        """Keep an output, unless it is printed text."""
        is_text = msg["msg_type"] == "stream"
        return None if is_text else super().output(outs, msg, display_id, cell_index)


def execute(
    nb: NotebookNode, start: dict[str, Any], cell_seconds: int, notebook_seconds: int
) -> str:
    """Execute a notebook, without the cells that hang or kill the kernel.

    Returns:
        The reason why the rest did not run; empty if everything ran.
    """
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # the grades report what happened
    end = time.monotonic() + notebook_seconds
    running = None

    def enter(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running
        running = cell
        if time.monotonic() >= end:
            raise TimeoutError

    client = _Client(
        nb,
        kernel_manager_class=Kernel,
        startup_timeout=300,
        timeout_func=lambda cell: max(1, min(cell_seconds, end - time.monotonic())),
        on_cell_execute=enter,
        allow_errors=True,
        shutdown_kernel="immediate",
        store_widget_state=False,
    )
    while True:
        try:
            client.execute(**start)
            return ""
        except TimeoutError:
            reason = f"The cell took longer than {cell_seconds} seconds."
        except DeadKernelError:
            reason = "The cell ended the Python process, or memory was full."
        if time.monotonic() >= end:
            return f"The notebook took longer than {notebook_seconds} seconds."
        running.update(source="", outputs=[])
        running.metadata["left_out"] = reason


def read_verdicts(nb: NotebookNode, reason: str) -> dict[str, Verdict]:
    """Read the verdicts from the outputs of the checks; of several, a passed one counts.

    Args:
        nb: An executed submission.
        reason: The reason why the rest of it did not run.
    """
    verdicts: dict[str, Verdict] = {}
    problem = ""  # in the cells since the last check
    for cell in _code(nb):
        errors = [f"{out.ename}: {out.evalue}" for out in cell.outputs if "ename" in out]
        error = cell.metadata.get("left_out") or "".join(errors[:1]).partition("\n")[0]
        if "judge" not in cell.metadata:
            problem = error or problem
            continue
        name, variable = cell.metadata.judge
        found = [out.data[MIME] for out in cell.outputs if MIME in out.get("data", ())]
        if error.startswith("NameError"):
            error = f"The cell does not define {variable}. {problem}".strip()
        verdict = Verdict(**found[0]) if found else Verdict(WRONG, error or reason)
        if name not in verdicts or verdict.state == PASSED:
            verdicts[name] = verdict
        problem = ""
    return dict(sorted(verdicts.items()))


def _code(nb: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


# Results


def collect(submissions: Sequence[Submission], remarks: list[str]) -> dict[str, dict[str, Verdict]]:
    """Return the verdicts by student; of several files of one notebook, the best one counts."""
    students, files = {}, {}
    for one in sorted((one for one in submissions if one.verdicts), key=_quality):
        notebook = (one.student, *one.verdicts)
        name = display_path(one.path)
        if notebook in files:
            remarks.append(f"{files[notebook]} does not count: {name} is better or newer.")
        files[notebook] = name
        students.setdefault(one.student, {}).update(one.verdicts)
    return {student: dict(sorted(students[student].items())) for student in sorted(students)}


def _quality(submission: Submission) -> tuple[int, float]:
    states = [verdict.state for verdict in submission.verdicts.values()]
    return states.count(PASSED), submission.path.stat().st_mtime


def write_grades(
    students: dict[str, dict[str, Verdict]], remarks: Sequence[str], output: Path
) -> None:
    """Write `grades.csv` and `grades.html`, and print the table and the remarks."""
    points = {
        student: {name: int(verdict.state == PASSED) for name, verdict in verdicts.items()}
        for student, verdicts in students.items()
    }
    table = pd.DataFrame(points, dtype="Int64").T.sort_index(axis=1)
    template = Template(PAGE.read_text("utf-8"), autoescape=True, trim_blocks=True)
    page = template.render(students=students, names=list(table), symbols=SYMBOLS, remarks=remarks)
    (output / "grades.html").write_text(page, encoding="utf-8")
    table["points"] = table.sum(axis=1)
    # With a byte order mark, spreadsheets read names as UTF-8.
    table.to_csv(output / "grades.csv", index_label="student", encoding="utf-8-sig")
    print(table.to_string(na_rep=""), *remarks, display_path(output / "grades.html"), sep="\n")
