"""Enter the points of `grades.csv` into a gradebook that was exported from Moodle or Canvas.

Both systems import the table that they exported. A column whose name contains "Notebook 02" gets
the points of notebook 02; all other cells stay as they are.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from course_utils.errors import CourseError

# The columns that identify a student, and those that make up the name.
IDENTIFIERS = ("SIS User ID", "SIS Login ID", "ID number", "Username", "Email address")
NAMES = (("Student",), ("First name", "Last name"), ("First name", "Surname"))
# The names of submitted files in an archive of Canvas, and of folders in one of Moodle.
CANVAS = re.compile(r"(.+?)(?:_LATE)?_(\d+)_\d+(?!\d)", re.IGNORECASE)
MOODLE = re.compile(r"(.+)_\d+_assignsubmission_")


def enter_points(exported: Path, grades: Path, target: Path) -> list[str]:
    """Write the exported gradebook with the points; return a summary, and a remark per problem.

    Raises:
        CourseError: The exported file is not a gradebook.
    """
    try:
        text = exported.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise CourseError(f"{exported.name} is not in UTF-8: export it again.") from None
    mark = "\ufeff" * text.startswith("\ufeff")
    text = text.removeprefix(mark)
    separator = max(",;\t", key=text.partition("\n")[0].count)
    header, *rows = csv.reader(io.StringIO(text), delimiter=separator) if text else [[]]
    if not any(set(names) <= set(header) for names in NAMES):
        raise CourseError(
            f"{exported.name} is not a gradebook exported from Moodle or Canvas in English (its "
            "first line names the columns: Student, or First name and Last name)."
        )
    people = [identities(dict(zip(header, row, strict=False))) for row in rows]
    entered: dict[tuple[int, int], int] = {}
    remarks, matched = [], 0
    students = read_points(grades)
    for student, points in students.items():
        found = find(student, people)
        if len(found) != 1:
            count = f"{len(found)} students" if found else "no student"
            remarks.append(f"{student} matches {count} of {exported.name}: enter the points there.")
            continue
        matched += 1
        for notebook, value in points.items():
            columns = [i for i, name in enumerate(header) if f"notebook {notebook}" in name.lower()]
            for column in columns[:1]:  # Moodle may add percentages and feedback
                entered[found[0], column] = max(value, entered.get((found[0], column), 0))
            if not columns:
                remarks.append(
                    f'{exported.name} has no column "Notebook {notebook}": create an assignment '
                    "with this name, and export the gradebook again."
                )
    for (row, column), value in entered.items():
        rows[row] += [""] * (column + 1 - len(rows[row]))
        rows[row][column] = str(value)
    with target.open("w", encoding="utf-8", newline="") as file:
        file.write(mark)
        csv.writer(file, delimiter=separator).writerows([header, *rows])
    summary = f"{matched} of {len(students)} submissions found in {exported.name}."
    return [summary, *dict.fromkeys(remarks)]


def read_points(grades: Path) -> dict[str, dict[str, int]]:
    """Return the points of each student in `grades.csv`, by the number of the notebook."""
    table = csv.DictReader(io.StringIO(grades.read_text("utf-8-sig")))
    exercises = [name for name in table.fieldnames or () if re.fullmatch(r"\d\d\.\d+", name)]
    students: dict[str, dict[str, int]] = {}
    try:
        for row in table:
            points = students[row["student"]] = {}
            for name in exercises:
                if row[name]:
                    points[name[:2]] = points.get(name[:2], 0) + int(row[name])
    except (KeyError, ValueError):
        exercises = []
    if not exercises:
        raise CourseError(f"{grades.name} was changed, perhaps by a spreadsheet. Grade again.")
    return students


def identities(cells: dict[str, str]) -> set[str]:
    """Return the texts that identify the student of a row, in normal form."""
    found = {normal(cells.get(column, "")) for column in IDENTIFIERS}
    found.add(normal(cells.get("Email address", "").partition("@")[0]))
    for columns in NAMES:
        name = " ".join(cells.get(column, "") for column in columns)
        words = [*map(normal, re.split("[ ,]+", name))]  # in any order
        found |= {normal(name), "".join(words[1:] + words[:1]), "".join(words[-1:] + words[:-1])}
        found.add(normal(name + cells.get("ID", "")))
    return found - {""}


def find(student: str, people: Sequence[set[str]]) -> list[int]:
    """Return the rows that a student's name matches."""
    keys = [student]
    if match := CANVAS.match(student):
        keys.append(match[1] + match[2])
    if match := MOODLE.match(student):
        keys.append(match[1])
    matches = ([i for i, known in enumerate(people) if normal(key) in known] for key in keys)
    return next(filter(None, matches), [])


def normal(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in text if character.isalnum())
