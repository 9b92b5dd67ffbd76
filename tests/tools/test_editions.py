"""The editions for students and instructors have what they should have, byte for byte."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from course_exercises.cells import read_answers, tagged_cells
from image_classifier.__main__ import main
from tools import editions
from tools.lint_notebooks import code_cells, tags

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    target = tmp_path_factory.mktemp("dist")
    editions.build_student(target)
    editions.build_instructor(target)
    return target


def notebooks(folder):
    paths = sorted((folder / "notebooks").glob("*.ipynb"))
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}


COURSE = notebooks(ROOT)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.mark.parametrize("edition", ["student", "instructor"])
def test_a_second_build_gives_the_same_bytes(built, edition, tmp_path):
    getattr(editions, f"build_{edition}")(tmp_path)
    assert contents(built / edition) == contents(tmp_path / edition)
    zips = [folder / f"{edition}.zip" for folder in (built, tmp_path)]
    assert zips[0].read_bytes() == zips[1].read_bytes()
    with zipfile.ZipFile(zips[0]) as archive:
        assert archive.testzip() is None
        start = f"image-course-{edition}/"
        found = {i.filename.removeprefix(start): archive.read(i) for i in archive.infolist()}
    assert {name: found[name] for name in contents(built / edition)} == contents(built / edition)
    assert sorted(p.name for p in tmp_path.iterdir()) == [edition, f"{edition}.zip"]


def test_students_get_no_outputs_and_no_solutions(built):
    files = contents(built / "student")
    assert not any(name.startswith(("solutions/", "tests/", "TEACHING")) for name in files)
    everything = b"\n".join(text for name, text in files.items() if name.endswith(".ipynb"))
    for path in (ROOT / "solutions").glob("*.py"):
        for name, code in read_answers(path).items():
            comment = next(line for line in code.splitlines() if line.startswith("# "))
            assert comment[2:].encode() not in everything, name
    for stem, nb in notebooks(built / "student").items():
        nbformat.validate(nb)
        assert all(not cell.outputs for _, cell in code_cells(nb))
        assert [cell.source for cell in nb.cells] == [cell.source for cell in COURSE[stem].cells]
        assert "<details open>" not in nbformat.writes(nb)


def test_instructors_get_solutions_notes_and_open_quizzes(built):
    for stem, nb in notebooks(built / "instructor").items():
        nbformat.validate(nb)
        answers = read_answers(ROOT / "solutions" / f"{stem}.py")
        found = tagged_cells(nb, "exercise") | tagged_cells(nb, "prediction")
        assert {name: cell.source for name, cell in found.items()} == answers
        assert not any(cell.outputs for cell in tagged_cells(nb, "check").values())
        assert nb.cells[1].source.startswith("## For instructors")
        assert "**Time plan**" in nb.cells[1].source
        quiz = [cell for cell in nb.cells if "quiz" in tags(cell)]
        assert len(quiz) == 5
        assert all("<details open>" in cell.source for cell in quiz)
        assert any(cell.outputs for _, cell in code_cells(nb))


@pytest.mark.parametrize("edition", ["student", "instructor"])
def test_an_edition_stands_on_its_own(built, edition):
    """Its package, not this checkout, is imported there, and finds its own notebooks."""
    script = (
        "import course_utils, pathlib; from tools.notebooks import find_notebooks;"
        "here = pathlib.Path.cwd();"
        "assert pathlib.Path(course_utils.__file__).is_relative_to(here);"
        "assert all(p.is_relative_to(here) for p in find_notebooks());"
        "from course_utils.errors import catalog; assert catalog.CATALOG"
    )
    subprocess.run([sys.executable, "-c", script], cwd=built / edition, check=True)
    linked = re.findall(r"\]\(([^)#]+)", (built / edition / "README.md").read_text("utf-8"))
    assert len(linked) > len(COURSE)
    assert [name for name in linked if not (built / edition / name).exists()] == []


def test_the_old_edition_is_replaced(built, tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "stale.txt").write_text("old")
    editions.build_student(tmp_path)
    assert not (tmp_path / "student" / "stale.txt").exists()


def test_an_edition_cannot_be_made_of_an_edition(built, capsys, monkeypatch):
    monkeypatch.setattr(editions, "repository", lambda: built / "student")
    assert main(["student", "--output", str(built / "again")]) == 2
    assert "checkout of the whole course" in capsys.readouterr().err


def test_a_target_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["student", "--output", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("Cannot write to the folder")


def test_missing_answers_and_notes_are_named():
    with pytest.raises(editions.EditionError, match="no answer to 01.1"):
        editions.solved(COURSE["01_data_exploration"], {})
    with pytest.raises(editions.EditionError, match="no section on notebook 99"):
        editions.teaching_notes("### 01. Data\ntext", "99")
    notes = editions.teaching_notes("### 01. Data\ntext\n### 02. More\n", "01")
    assert notes == "## For instructors\n\ntext"


def test_text_has_the_line_ends_of_unix():
    assert editions._unix("a.py", b"1\r\n") == b"1\n"
    assert editions._unix("a.zip", b"1\r\n") == b"1\r\n"
