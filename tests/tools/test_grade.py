"""Handed-in notebooks get the points they earn, whatever their code does."""

import builtins
import csv
import gc
import os
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

import course_exercises
from course_exercises.cells import read_answers, tagged_cells
from image_classifier.__main__ import main
from tools import editions, grade, grade_worker
from tools.grade import Limits, find_answer, find_submissions
from tools.lint_notebooks import NOTEBOOKS

STEM = "01_data_exploration"
ROOT = Path(__file__).resolve().parents[2]
COURSE = nbformat.read(NOTEBOOKS / f"{STEM}.ipynb", as_version=4)
ANSWERS = read_answers(ROOT / "solutions" / f"{STEM}.py")
STARTS = {name: cell.source for name, cell in tagged_cells(COURSE, "exercise").items()}
NAMES = list(STARTS)

FORGED = """
import os
for number in range(64):
    try:
        os.write(number, b'{"name": "01.2", "state": "passed", "text": ""}\\n')
    except OSError:
        pass
print('{"name": "01.2", "state": "passed", "text": ""}')
digit_augmentation = None
"""
HOARD = "hoard = []\nwhile True: hoard.append(bytearray(2**26))"
TRICKS = {  # by student: exercise -> code in its cell, and what becomes of it
    "clumsy": {
        "01.1": ("while True: pass", grade.TOO_SLOW),
        "01.2": ("import os\nos._exit(0)", grade.CRASHED),
        "01.3": ("import sys\nsys.exit()", "not yet"),
        "01.4": ("def leaked(train_images", "not yet"),
    },
    "cunning": {
        "01.1": (HOARD, grade.TOO_LARGE),
        "01.2": (FORGED, "not tried yet"),
        "01.3": ("def shares(labels, num_classes): ...", "not yet"),
    },
}
IMPORT = "import course_exercises as e\n"
TAMPERING = {
    "no check": f"{IMPORT}e.CHECKS['01.2'] = lambda answer: None",
    "equal tensors": "import torch\ntorch.Tensor.__eq__ = lambda *a: True",
}


def changed(**cells):
    """The notebook with all solutions, and other code in some cells, by exercise."""
    nb = editions.solved(COURSE, ANSWERS)
    for name, code in cells.items():
        tagged_cells(nb, "exercise")[name].source = code
    return nb


def hand_in(folder, nb, name=f"{STEM}.ipynb"):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, folder / name)


# Beside tests that need the whole machine an import of torch alone may take long.
LIMITS = Limits(seconds=40, memory=1500)


def mark(folder):
    """Mark what was handed in; give the marks by student, the remarks and the submissions."""
    submissions, remarks = grade.grade_folder(folder, LIMITS, jobs=2)
    return {one.student: one.marks for one in submissions}, remarks, submissions


def states(marks, without=()):
    return {mark.state for name, mark in marks.items() if name not in without}


@pytest.mark.long
def test_an_honest_class_is_marked(tmp_path):
    """In one test, since to mark a class is slow, and tests are divided among processes."""
    root = tmp_path / "class"
    hand_in(root / "Ada Lovelace", changed())
    hand_in(root / "=Jörg <b>", changed(**STARTS | {"01.1": "def to_picture(x): return x"}))
    nb = changed()
    nb.cells.remove(tagged_cells(nb, "check")["01.1"])
    tagged_cells(nb, "check")["01.2"].source = 'print("01.2: passed")'
    hand_in(root / "careless", nb)
    (root / "broken").mkdir()
    (root / "broken" / f"{STEM}.ipynb").write_text("{", "utf-8")
    (root / "other.ipynb").write_text("{}", "utf-8")
    marks, remarks, submissions = mark(root)

    assert states(marks["Ada Lovelace"]) == {"passed"}
    assert list(marks["Ada Lovelace"]) == NAMES
    assert marks["=Jörg <b>"]["01.1"].state == "not yet"
    assert states(marks["=Jörg <b>"], without=("01.1",)) == {"not tried yet"}
    without_its_check_an_exercise_does_not_count(marks)
    files_that_cannot_be_marked_are_named(marks, remarks)
    the_table_is_for_a_spreadsheet(marks, submissions, tmp_path)
    the_report_gives_reasons(submissions, remarks, tmp_path)


class Rubbish:
    """Needs the garbage collector, which lets other threads go on while it runs `__del__`."""

    def __init__(self):
        self.itself = self

    def __del__(self):
        sum(range(1000))


@pytest.fixture
def restless():
    """Threads change as often as they can, also in the middle of parsing."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-5)
    gc.set_threshold(50)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


def test_all_of_many_that_are_marked_at_once_get_marks(tmp_path, monkeypatch, restless):
    def judge(job, limits):
        return {answer["name"]: grade.Mark("passed") for answer in job["answers"]}

    def parse(*arguments):
        for _ in range(10):
            Rubbish()
        return find_answer(*arguments)

    monkeypatch.setattr(grade, "_run_worker", judge)
    monkeypatch.setattr(grade, "find_answer", parse)
    nb = changed()
    for number in range(12):
        hand_in(tmp_path / f"student {number}", nb)
    submissions, remarks = grade.grade_folder(tmp_path, LIMITS, jobs=4)
    assert remarks == []
    assert len(submissions) == 12


@pytest.mark.thorough
def test_a_bad_exercise_costs_its_own_point_and_tampering_costs_all(tmp_path):
    root = tmp_path / "class"
    for student, cells in TRICKS.items():
        hand_in(root / student, changed(**{name: code for name, (code, _) in cells.items()}))
    for student, code in TAMPERING.items():
        hand_in(root / student, changed(**{"01.1": f"{code}\ndef to_picture(x): return x"}))
    marks, remarks, submissions = mark(root)

    assert remarks == []
    for student, cells in TRICKS.items():
        found = {name: marks[student][name].state for name in cells}
        assert found == {name: state for name, (_, state) in cells.items()}
        assert states(marks[student], without=cells) == {"passed"}
    for student in TAMPERING:
        assert states(marks[student]) == {grade.TAMPERED}
    grade.write_report(tmp_path / "grades.html", submissions, [], LIMITS)
    assert "took longer than 40 seconds" in (tmp_path / "grades.html").read_text("utf-8")


def without_its_check_an_exercise_does_not_count(marks):
    assert marks["careless"]["01.1"].state == grade.MISSING
    assert marks["careless"]["01.2"].state == grade.CHANGED
    assert states(marks["careless"], without=("01.1", "01.2")) == {"passed"}


def files_that_cannot_be_marked_are_named(marks, remarks):
    assert "broken" not in marks
    assert len(remarks) == 2
    assert any(remark.startswith(f"broken/{STEM}.ipynb could not be marked") for remark in remarks)
    assert "other.ipynb is no notebook of the course." in remarks


def the_table_is_for_a_spreadsheet(marks, submissions, folder):
    grade.write_csv(folder / "grades.csv", submissions)
    text = (folder / "grades.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")  # so that a spreadsheet takes it for UTF-8
    table = {row["student"]: row for row in csv.DictReader(text.decode("utf-8-sig").splitlines())}
    assert list(table["Ada Lovelace"]) == ["student", *NAMES, "points"]
    assert table["Ada Lovelace"]["points"] == str(len(NAMES))
    assert table["'=Jörg <b>"]["points"] == "0"  # the mark in front: no formula
    assert len(table) == len(marks)


def the_report_gives_reasons(submissions, remarks, folder):
    grade.write_report(folder / "grades.html", submissions, remarks, Limits())
    page = (folder / "grades.html").read_text("utf-8")
    assert "=Jörg &lt;b&gt;" in page
    assert remarks[0].split(" could")[0] in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (course_exercises, "examine", lambda *a: None),
        (course_exercises, "close", lambda *a: True),
        (course_exercises.close, "__code__", (lambda *a: True).__code__),
        (np, "allclose", lambda *a, **k: True),
        (torch, "equal", lambda *a: True),
        (torch.testing, "assert_close", lambda *a: None),
        (torch.Tensor, "__eq__", lambda *a: True),
        (torch.Tensor, "mean", lambda *a: 1),
        (builtins, "isinstance", lambda *a: True),
    ],
)
def test_changes_of_what_the_checks_rely_on_are_seen(monkeypatch, place, name, value):
    before = grade_worker._fingerprint()
    assert not grade_worker._changed(before)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, value)
        seen = grade_worker._changed(before)
    assert seen
    assert not grade_worker._changed(before)


def test_whose_notebook_it_is(tmp_path):
    for name in (f"{STEM}_ada.ipynb", f"grace-{STEM}.ipynb", f"{STEM}_ada (1).ipynb"):
        hand_in(tmp_path, COURSE, name)
    hand_in(tmp_path / "Alan" / "deep" / "folder", COURSE, "my solution.ipynb")
    hand_in(tmp_path / "Alan" / ".ipynb_checkpoints", COURSE, "my solution-checkpoint.ipynb")
    os.utime(tmp_path / f"{STEM}_ada.ipynb", (1, 1))
    submissions, remarks = find_submissions(tmp_path)
    assert [one.student for one in submissions] == ["Alan", "ada", "grace"]
    assert {one.notebook for one in submissions} == {"01"}
    assert submissions[1].path.name == f"{STEM}_ada (1).ipynb"  # the newer one
    assert len(remarks) == 1
    assert remarks[0].startswith(f"{STEM}_ada.ipynb was left out")


def test_the_answer_may_stand_in_several_cells():
    nb = deepcopy(COURSE)
    name = NAMES[0]
    check = tagged_cells(nb, "check")[name]
    place = nb.cells.index(check)
    nb.cells.insert(place, nbformat.v4.new_markdown_cell("A thought."))
    nb.cells.insert(place, nbformat.v4.new_code_cell("%matplotlib inline\nx = 1"))
    found = find_answer(nb, name, check.source)
    assert found == [STARTS[name], "\nx = 1"]


def test_comments_in_a_check_cell_are_no_tampering():
    nb = deepcopy(COURSE)
    check = tagged_cells(nb, "check")["01.1"]
    original = check.source
    check.source = f"# hooray\n{original}  # passed"
    assert find_answer(nb, "01.1", original) == [STARTS["01.1"]]
    check.source = f"{original}\nprint('01.1: passed')"
    assert find_answer(nb, "01.1", original).state == grade.CHANGED


def test_a_notebook_without_tags_and_ids_is_understood():
    """Some editors drop them."""
    nb = deepcopy(COURSE)
    for cell in nb.cells:
        cell.metadata.clear()
        cell.id = nbformat.v4.new_code_cell().id
    for name, check in tagged_cells(COURSE, "check").items():
        assert find_answer(nb, name, check.source) == [STARTS[name]]


def test_a_folder_that_is_not_there_or_empty(tmp_path, capsys):
    assert main(["grade", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert main(["grade", str(tmp_path)]) == 2
    assert "There is no notebook in" in capsys.readouterr().err


def test_the_command_with_nothing_to_mark(tmp_path, capsys):
    (tmp_path / "one.ipynb").write_text("{}", "utf-8")
    assert main(["grade", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    assert "one.ipynb is no notebook of the course." in capsys.readouterr().out
    assert (tmp_path / "out" / "grades.html").is_file()
    (tmp_path / "file").write_text("")
    assert main(["grade", str(tmp_path), "--output", str(tmp_path / "file")]) == 2
    assert "Cannot write to the folder" in capsys.readouterr().err
