"""The points of a class reach the gradebooks of Moodle and Canvas; nobody is lost silently."""

import csv

import pytest

from course_utils.errors import CourseError
from tools.__main__ import main
from tools.gradebook import enter_points

GRADES = """student,01.1,02.1,02.2,points
{},1,1,0,2
Ben Okri,,1,1,2
Nobody,1,0,0,1
"""
# As Moodle exports it: two grade items, a total, the time.
MOODLE = """First name,Last name,ID number,Email address,Assignment: Notebook 01 (Real),\
Assignment: Notebook 02 (Real),Assignment: Notebook 02 (Feedback),Course total (Real),\
Last downloaded from this course
Ada,Lovelace,a-1,ada@example.org,-,-,,-,1700000000
Ben,Okri,b-2,ben@example.org,3.00,-,"good, but late",-,1700000000
Anna,Schmidt,c-3,anna.s@example.org,-,-,,-,1700000000
Anna,Schmidt,c-4,schmidt.a@example.org,-,-,,-,1700000000
"""
# As Canvas exports it: the second and third row are about the assignments.
CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Notebook 01 (811),Notebook 02 (812),\
Assignments Current Score
,,,,,Manual Posting,,(read only)
    Points Possible,,,,,5.00,4.00,(read only)
"Lovelace, Ada",12,a-1,ada,Group 1,,,
"Okri, Ben",13,b-2,ben,Group 1,3.00,,
"Schmidt, Anna",14,c-3,anna.s,Group 1,,,
"Schmidt, Anna",15,c-4,schmidt.a,Group 2,,,
"""


def enter(folder, exported, student="Ada Lovelace", more=""):
    """The rows of the gradebook with the points, and the remarks."""
    (folder / "grades.csv").write_text(GRADES.format(student) + more, "utf-8-sig")
    (folder / "exported.csv").write_text(exported, "utf-8")
    paths = (folder / name for name in ("exported.csv", "grades.csv", "new.csv"))
    remarks = enter_points(*paths)
    with (folder / "new.csv").open(encoding="utf-8-sig", newline="") as file:
        text = file.read()
    return [*csv.reader(text.splitlines(), delimiter=";" if ";" in text else ",")], remarks


@pytest.mark.parametrize(
    "student",
    ["Ada Lovelace", "lovelace_ada", "a-1", "ada", "ada@example.org", "ADA-LOVELACE",
     "Ada Lovelace_4711_assignsubmission_file_"],
)  # fmt: skip
def test_points_enter_a_gradebook_of_moodle(tmp_path, student):
    rows, remarks = enter(tmp_path, MOODLE, student)
    expected = [*csv.reader(MOODLE.splitlines())]
    expected[1][4:6] = ["1", "1"]
    expected[2][5] = "2"
    assert rows == expected
    assert remarks == [
        "2 of 3 submissions found in exported.csv.",
        "Nobody matches no student of exported.csv: enter the points there.",
    ]


@pytest.mark.parametrize(
    "student",
    ["Ada Lovelace", "lovelaceada_12_3456", "lovelaceada_LATE_12_3456", "lovelaceada_12_3456_-1",
     "a-1", "ada"],
)  # fmt: skip
def test_points_enter_a_gradebook_of_canvas(tmp_path, student):
    rows, _ = enter(tmp_path, CANVAS, student)
    expected = [*csv.reader(CANVAS.splitlines())]
    expected[3][5:7] = ["1", "1"]
    expected[4][6] = "2"
    assert rows == expected


def test_two_students_of_one_name_are_not_mixed_up(tmp_path):
    more = "schmidtanna_15_77,,1,1,2\nAnna Schmidt,,1,0,1\n"
    rows, remarks = enter(tmp_path, CANVAS, more=more)
    assert [row[6] for row in rows[5:]] == ["", "2"]
    assert "Anna Schmidt matches 2 students of exported.csv: enter the points there." in remarks


def test_of_two_submissions_of_a_student_the_better_one_counts(tmp_path):
    rows, _ = enter(tmp_path, CANVAS, "lovelaceada_12_1", "lovelaceada_12_2,,1,1,2\n")
    assert rows[3][5:7] == ["1", "2"]


def test_a_missing_column_is_named(tmp_path):
    _, remarks = enter(tmp_path, CANVAS.replace("Notebook 01", "Week 1"))
    assert [remark for remark in remarks if "Notebook 01" in remark] == [
        'exported.csv has no column "Notebook 01": create an assignment with this name, and '
        "export the gradebook again."
    ]


def test_separator_and_byte_order_mark_are_kept(tmp_path):
    rows, _ = enter(tmp_path, "\ufeff" + CANVAS.replace(", ", " ").replace(",", ";"))
    assert rows[3][5:7] == ["1", "1"]
    assert (tmp_path / "new.csv").read_bytes().startswith(b"\xef\xbb\xbfStudent;ID;")


@pytest.mark.parametrize(
    "content", [b"", b"name,points\nAda,3\n", "Vorname;Zuname\nJörg;".encode("latin-1")]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "other.csv").write_bytes(content)
    with pytest.raises(CourseError, match=r"other\.csv is not"):
        enter_points(tmp_path / "other.csv", tmp_path / "grades.csv", tmp_path / "new.csv")


def test_the_command_reads_the_grades_and_says_where_the_result_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    (tmp_path / "grades").mkdir()
    (tmp_path / "grades" / "grades.csv").write_text(GRADES.format("Ada"), "utf-8-sig")
    (tmp_path / "gradebook.csv").write_text(MOODLE, "utf-8")
    with pytest.raises(SystemExit) as ended:
        main(["gradebook", str(tmp_path / "gradebook.csv")])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "2 of 3 submissions found" in said and "grades/gradebook.csv" in said
