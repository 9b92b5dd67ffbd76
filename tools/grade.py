"""Mark a folder of handed-in notebooks: a table for the teacher, with a reason for every point.

What counts is the code of each exercise, together with the imports and definitions of the notebook,
judged by the checks of *this* course in a process of its own. Nothing else of a notebook runs, so
it takes seconds, and the outputs that it was handed in with prove nothing.

This stops mistakes and clumsy tricks, not an attacker: it is other people's code on your computer.
"""

import ast
import csv
import html
import io
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_exercises import NOT_TRIED, PASSED, WRONG
from course_exercises.cells import definitions, tagged_cells
from course_utils.paths import display_path
from tools.html import write_page
from tools.notebooks import THREAD_VARIABLES, find_notebooks, title

TOO_SLOW, TOO_LARGE, CRASHED = "too slow", "too much memory", "crashed"
CHANGED, MISSING, TAMPERED = "check changed", "exercise missing", "tampered"
MEBIBYTE = 2**20
START_SECONDS = 300  # to import torch; before that no handed-in code runs
# Two threads that parse at the same time may both fail in Python 3.11 (its issue 106905).
PARSING = threading.Lock()


class GradeError(ValueError):
    """The folder cannot be marked; the message says why, in one sentence."""


@dataclass(frozen=True)
class Limits:
    """What a handed-in notebook may use.

    Attributes:
        seconds: The longest time for an exercise.
        memory: The most memory of the process, in MiB.
    """

    seconds: int = 60
    memory: int = 4096


@dataclass(frozen=True)
class Mark:
    """What became of one exercise: a state, for example "passed", and the reason."""

    state: str
    text: str = ""


@dataclass
class Submission:
    """One handed-in notebook.

    Attributes:
        student: Who handed it in: the name of the folder, or what the file's name adds.
        path: The file.
        notebook: The number of the course's notebook that it is.
        marks: One mark an exercise, by its number.
    """

    student: str
    path: Path
    notebook: str
    marks: dict[str, Mark] = field(default_factory=dict)


def grade_folder(folder: Path, limits: Limits, jobs: int = 1) -> tuple[list[Submission], list[str]]:
    """Mark all notebooks of a folder.

    Args:
        folder: It has a folder for each student, or files whose names start or end with the name
            of the student: `02_cnn_from_scratch_ada.ipynb`.
        limits: What each of them may use.
        jobs: How many processes run at a time.

    Returns:
        The marked notebooks in the order of the students, and a sentence about each file that could
        not be marked.

    Raises:
        GradeError: There is no such folder, or no notebook in it.
    """
    submissions, remarks = find_submissions(folder)
    course = {path.stem[:2]: nbformat.read(path, as_version=4) for path in find_notebooks()}

    def mark(submission: Submission) -> str:
        try:
            nb = nbformat.read(submission.path, as_version=4)
            submission.marks = _mark(nb, submission.notebook, course[submission.notebook], limits)
        except Exception as error:  # one bad notebook must not stop the rest
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            return f"{_shown(submission.path, folder)} could not be marked ({reason})."
        return ""

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        remarks += filter(None, pool.map(mark, submissions))
    return [submission for submission in submissions if submission.marks], remarks


def find_submissions(folder: Path) -> tuple[list[Submission], list[str]]:
    """Find the notebooks of a folder, whose they are, and which of the course's they are.

    Args:
        folder: The folder of `grade_folder`.

    Returns:
        The newest file of each student and notebook, and a sentence about each file left out.

    Raises:
        GradeError: There is no such folder, or no notebook in it.
    """
    if not folder.is_dir():
        raise GradeError(f"There is no folder {folder}.")
    known = {path.stem[:2]: path.stem for path in find_notebooks()}
    found: dict[tuple[str, str], Submission] = {}
    remarks = []
    paths = [path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts]
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime, path)):
        number = _number(path)
        if number not in known:
            remarks.append(f"{_shown(path, folder)} is no notebook of the course.")
            continue
        submission = Submission(_student(path, folder, known[number]), path, number)
        older = found.pop((submission.student, number), None)
        if older:
            remarks.append(
                f"{_shown(older.path, folder)} was left out: there is a newer file of the same "
                "student and notebook."
            )
        found[submission.student, number] = submission
    if not paths:
        raise GradeError(f"There is no notebook in {display_path(folder)}.")
    return [found[key] for key in sorted(found)], remarks


def _number(path: Path) -> str:
    """Say which notebook of the course a file is: its title tells, else its name."""
    try:
        heading = title(nbformat.read(path, as_version=4))
    except Exception:  # whatever is wrong with the file, its name may still tell
        heading = ""
    match = re.match(r"(\d\d)\. ", heading) or re.search(r"(?<!\d)(\d\d)_[a-z]", path.stem)
    return match.group(1) if match else ""


def _student(path: Path, folder: Path, name: str) -> str:
    first, *below = path.relative_to(folder).parts
    if below:
        return first
    rest = re.sub(r"\(\d+\)", "", path.stem.replace(name, "")).strip(" _-.")
    return rest or folder.resolve().name


def _shown(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


# One notebook


def _mark(nb: NotebookNode, number: str, original: NotebookNode, limits: Limits) -> dict[str, Mark]:
    with PARSING:
        marks, answers = _collect(nb, original)
        own = [_python(cell.source) for cell in nb.cells if cell.cell_type == "code"]
        job = {"notebook": number, "definitions": definitions(own)}
    while answers:
        marks |= _run_worker(job | {"answers": answers}, limits)
        answers = [answer for answer in answers if answer["name"] not in marks]
    return dict(sorted(marks.items()))


def _collect(
    nb: NotebookNode, original: NotebookNode
) -> tuple[dict[str, Mark], list[dict[str, Any]]]:
    """Give the marks that are clear without running anything, and the answers to be judged."""
    marks, answers = {}, []
    for name, check in tagged_cells(original, "check").items():
        found = find_answer(nb, name, check.source)
        if isinstance(found, Mark):
            marks[name] = found
        else:
            variable = ast.parse(check.source).body[0].value.args[1].id
            answers.append({"name": name, "cells": found, "variable": variable})
    return marks, answers


def find_answer(nb: NotebookNode, name: str, check: str) -> list[str] | Mark:
    """Find the code that answers an exercise: the cells between its statement and its check.

    Args:
        nb: A handed-in notebook.
        name: The number of the exercise.
        check: The code of its check cell, as it is in the course.

    Returns:
        The code of the cells, or a mark where the exercise or its check is gone.
    """
    wanted = ast.dump(ast.parse(check))
    calls = [i for i, cell in enumerate(nb.cells) if _is_check(cell, name)]
    if not calls:
        return Mark(MISSING, "The check cell was removed; without it the exercise does not count.")
    end = calls[-1]
    if len(calls) > 1 or _dump(nb.cells[end].source) != wanted:
        return Mark(CHANGED, f"The check cell must be exactly: {check}")
    code = []
    for cell in reversed(nb.cells[:end]):
        if cell.cell_type == "code" and re.search(r"^check\(", cell.source, re.MULTILINE):
            break
        if cell.cell_type == "code":
            code.insert(0, _python(cell.source))
        elif f"Exercise {name}" in cell.source:
            return code
    return code[-1:]  # the statement is gone


def _is_check(cell: NotebookNode, name: str) -> bool:
    tags = cell.metadata.get("tags", ())
    return cell.cell_type == "code" and (
        f"check-{name}" in tags or bool(re.search(rf"""check\(\s*["']{name}["']""", cell.source))
    )


def _dump(source: str) -> str:
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:
        return ""


def _python(source: str) -> str:
    """Leave out the lines that only IPython understands."""
    return re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE)


def _run_worker(job: dict[str, Any], limits: Limits) -> dict[str, Mark]:
    """Judge answers in a process of their own, until all are judged or one of them ends it."""
    word = secrets.token_hex(16)
    names = [answer["name"] for answer in job["answers"]]
    marks: dict[str, Mark] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        process = _start(scratch)
        lines = _lines(process)
        try:
            process.stdin.write(json.dumps(job | {"word": word}).encode() + b"\n")
            process.stdin.close()
            if _wait(process, lines, START_SECONDS, limits.memory, word) != {"ready": True}:
                raise RuntimeError("the process that judges it did not start")
            for name in names:
                ending = _wait(process, lines, limits.seconds, limits.memory, word)
                if isinstance(ending, str):
                    marks[name] = Mark(ending, _reason(ending, limits))
                    break
                marks[name] = Mark(ending["state"], ending["text"])
                if marks[name].state == TAMPERED:
                    return dict.fromkeys(names, marks[name])
        finally:
            _kill(process)
    return marks


def _start(scratch: str) -> subprocess.Popen:
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    environment |= {"COURSE_OUTPUT": scratch, "COURSE_PROGRESS": "off", "PYTHONUTF8": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tools.grade_worker"],
        cwd=scratch,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _lines(process: subprocess.Popen) -> SimpleQueue:
    """Collect what a process writes; None says that it ended."""
    queue: SimpleQueue = SimpleQueue()

    def collect() -> None:
        for line in process.stdout:
            queue.put(line.decode("utf-8", errors="replace"))
        queue.put(None)

    threading.Thread(target=collect, daemon=True).start()
    return queue


def _wait(
    process: subprocess.Popen, lines: SimpleQueue, seconds: int, memory: int, word: str
) -> dict[str, Any] | str:
    """Wait for the next report, or say how the process ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _memory(process) > memory * MEBIBYTE:
            return TOO_LARGE
        try:
            line = lines.get(timeout=0.05)
        except Empty:
            continue
        if line is None:
            return CRASHED
        if line.startswith(word):
            return json.loads(line.removeprefix(word))
    return TOO_SLOW


def _reason(ending: str, limits: Limits) -> str:
    return {
        TOO_SLOW: f"It took longer than {limits.seconds} seconds.",
        TOO_LARGE: f"It used more than {limits.memory} MiB of memory.",
        CRASHED: "The Python process ended.",
    }[ending]


def _family(process: subprocess.Popen) -> list[Any]:
    """Give a process and all those that it started."""
    import psutil

    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(process: subprocess.Popen) -> int:
    import psutil

    total = 0
    for member in _family(process):
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _kill(process: subprocess.Popen) -> None:
    import psutil

    for member in _family(process):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


# Reports


def rows(submissions: Iterable[Submission]) -> list[dict[str, Any]]:
    """Make one row a student: points by exercise, empty where the notebook was not handed in."""
    submissions = list(submissions)
    names = sorted({name for submission in submissions for name in submission.marks})
    students = {}
    for submission in submissions:
        row = students.setdefault(
            submission.student, {"student": submission.student} | dict.fromkeys(names, "")
        )
        for name, mark in submission.marks.items():
            row[name] = int(mark.state == PASSED)
    for row in students.values():
        row["points"] = sum(row[name] or 0 for name in names)
    return list(students.values())


def write_csv(path: Path, submissions: Sequence[Submission]) -> None:
    """Write the points as a table for a spreadsheet."""
    table = rows(submissions)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]) if table else ["student"], lineterminator="\n")
    writer.writeheader()
    for row in table:
        # A spreadsheet would take such a name for a formula.
        writer.writerow(row | {"student": re.sub(r"^([=+\-@\t\r])", r"'\1", row["student"])})
    path.write_text(text.getvalue(), encoding="utf-8-sig", newline="")


def write_report(
    path: Path, submissions: Sequence[Submission], remarks: Sequence[str], limits: Limits
) -> None:
    """Write the points as a page, with the reason for each that is missing."""
    by_student: dict[str, dict[str, Mark]] = {}
    for submission in submissions:
        by_student.setdefault(submission.student, {}).update(submission.marks)
    names = sorted({name for marks in by_student.values() for name in marks})
    head = "".join(f"<th scope='col'>{name}</th>" for name in ("student", *names, "points"))
    body = "\n".join(
        f"<tr><th scope='row'>{html.escape(student)}</th>"
        + "".join(f"<td>{_symbol(marks.get(name))}</td>" for name in names)
        + f"<td>{_points(marks)}</td></tr>"
        for student, marks in by_student.items()
    )
    count = len(by_student)
    parts = [
        "<h1>Marks</h1>",
        f"<p>{count} student{'s' * (count != 1)}, {len(submissions)} notebooks. A point for each "
        f"exercise whose check passes; ✓ passed, – not tried, ✗ not passed, empty: not handed in. "
        f"Limits: {limits.seconds} seconds an exercise, {limits.memory} MiB.</p>",
        f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>",
        *(f"<p class='failed'>{html.escape(remark)}</p>" for remark in remarks),
        *(_details(student, marks) for student, marks in by_student.items()),
    ]
    write_page(path, "Marks", "\n".join(parts))


def _symbol(mark: Mark | None) -> str:
    if mark is None:
        return ""
    symbol = {PASSED: "✓", NOT_TRIED: "–"}.get(mark.state, "✗")
    return f"<span title='{html.escape(mark.state)}'>{symbol}</span>"


def _points(marks: Mapping[str, Mark]) -> str:
    return f"{sum(mark.state == PASSED for mark in marks.values())} of {len(marks)}"


def _details(student: str, marks: Mapping[str, Mark]) -> str:
    items = [
        f"<li>{name} {html.escape(mark.state if mark.state != WRONG else 'not passed')}"
        + (f": {html.escape(mark.text)}" if mark.text else "")
        + "</li>"
        for name, mark in marks.items()
        if mark.state != PASSED
    ]
    listing = f"<ul>{''.join(items)}</ul>" if items else "<p>Everything passed.</p>"
    return f"<h2>{html.escape(student)}</h2>{listing}"
