"""The editions for students and instructors contain what they should, and run by themselves."""

import re
import subprocess
import sys
import zipfile

import nbformat
import pytest

from course_utils.errors import CourseError
from tools import editions
from tools.__main__ import main
from tools.lint_notebooks import code_cells, tags
from tools.notebooks import ROOT, read_answers, tagged_cells

PRIVATE = ("solutions/", "tests/", "TEACHING", "teaching/", "slides/")


def notebooks(folder):
    paths = sorted((folder / "notebooks").glob("*.ipynb"))
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}


COURSE = notebooks(ROOT)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refusal(capsys, *arguments):
    """What a command says that ends with status 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.long  # the first test that needs the editions: it builds them
def test_each_zip_holds_its_folder(built):
    for edition in ("student", "instructor"):
        with zipfile.ZipFile(built / f"{edition}.zip") as archive:
            start = f"image-course-{edition}/"
            packed = {i.filename: archive.read(i) for i in archive.infolist() if not i.is_dir()}
        assert packed == {start + name: text for name, text in contents(built / edition).items()}
        assert not any("__pycache__" in name or "/." in name for name in packed)


def test_students_get_no_outputs_and_no_solutions(built):
    files = contents(built / "student")
    assert not any(name.startswith(PRIVATE) for name in files)
    everything = b"\n".join(files.values())
    for path in (ROOT / "solutions").glob("*.py"):
        for name, code in read_answers(path).items():
            comment = next(line for line in code.splitlines() if line.startswith("# "))
            assert comment[2:].encode() not in everything, name
    for stem, nb in notebooks(built / "student").items():
        nbformat.validate(nb)
        assert all(not cell.outputs for _, cell in code_cells(nb))
        assert [cell.source for cell in nb.cells] == [cell.source for cell in COURSE[stem].cells]
        assert "<details open>" not in nbformat.writes(nb)


def test_instructors_get_solutions_notes_slides_and_open_quizzes(built):
    assert {path.stem for path in (built / "instructor" / "slides").iterdir()} == set(COURSE)
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
    """Its packages, not those of this checkout, are imported there; its commands work."""
    folder = built / edition
    script = (
        "import pathlib, course_exercises, course_utils, image_classifier, tools.run;"
        "from course_utils.catalog import ARCHIVES; from tools.notebooks import find_notebooks;"
        "packages = course_exercises, course_utils, image_classifier, tools;"
        "places = [p.__file__ for p in packages] + [ARCHIVES, *find_notebooks()];"
        "assert all(pathlib.Path(p).is_relative_to(pathlib.Path.cwd()) for p in places);"
        "assert any(ARCHIVES.iterdir())"
    )
    python = [sys.executable, "-B"]
    subprocess.run([*python, "-c", script], cwd=folder, check=True)
    command = [*python, "-m", "tools", "list"]
    listed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    assert listed.stdout.count("\n") == len(COURSE)
    pages = [folder / "README.md", *folder.glob("TEACHING.md"), *folder.glob("docs/*.md")]
    links = [(page, re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))) for page in pages]
    assert len(links) > 3
    assert len(links[0][1]) > len(COURSE)
    for page, names in links:
        files = [name for name in names if not re.match(r"\w+://", name)]
        assert [name for name in files if not (page.parent / name).exists()] == [], page


def test_an_edition_is_built_again_over_an_unchanged_one(tmp_path):
    first = contents(editions.build_student(tmp_path))
    assert contents(editions.build_student(tmp_path)) == first
    (tmp_path / "student").rename(tmp_path / "moved")
    assert contents(editions.build_student(tmp_path)) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved", "student", "student.zip"]


def own_folder(target):
    (target / "student").mkdir()
    (target / "student" / "ada.ipynb").write_text("mine")


def own_zip(target):
    with zipfile.ZipFile(target / "student.zip", "w") as archive:
        archive.writestr("ada.ipynb", "mine")


def another_file(target):
    (editions.build_student(target) / "notes.txt").write_text("mine")


def changed_file(target):
    (editions.build_student(target) / "README.md").write_text("mine")


@pytest.mark.parametrize("make", [own_folder, own_zip, another_file, changed_file])
def test_files_of_the_user_are_never_deleted(make, tmp_path, capsys):
    make(tmp_path)
    before = contents(tmp_path)
    said = refusal(capsys, "student", "--output", str(tmp_path))
    assert "move or delete both, or choose another folder with --output" in said
    assert contents(tmp_path) == before


def test_an_instructor_edition_needs_the_solutions(built, capsys, monkeypatch):
    monkeypatch.setattr(editions, "ROOT", built / "student")
    assert "no solutions" in refusal(capsys, "instructor", "--output", str(built / "again"))


def test_a_target_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refusal(capsys, "student", "--output", str(tmp_path / "file"))


def test_missing_answers_and_notes_are_named():
    with pytest.raises(CourseError, match=r"no answer to 01\.1"):
        editions.solved(COURSE["01_data_exploration"], {})
    with pytest.raises(CourseError, match="no section on notebook 99"):
        editions.teaching_notes("### 01. Data\ntext", "99")
    notes = editions.teaching_notes("### 01. Data\ntext\n### 02. More\n", "01")
    assert notes == "## For instructors\n\ntext"
