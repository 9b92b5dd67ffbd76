"""The pages of docs/: their code runs, their errors are raised, their times are computed."""

import re
import shutil
import subprocess
import sys
import warnings

import nbformat
import pytest
from chromium import in_a_browser
from documents import ROOT
from reading import estimate_minutes

from tools.cheat_sheet import print_pdf
from tools.notebooks import NOTEBOOKS, sections, title

SHEET = (ROOT / "docs" / "cheat_sheet.md").read_text("utf-8")
PHOTOS = ROOT / "tests" / "fixtures" / "photos"
ERRORS = (ROOT / "docs" / "errors.md").read_text("utf-8")
IMPORTS, *ENTRIES = re.split(r"^### ", ERRORS, flags=re.MULTILINE)


def blocks(text):
    """The blocks of code and of messages in a text: pairs of kind and content."""
    return re.findall(r"^```(python|text)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(code, names):
    """Run code as a notebook does; return its error as the last line of a traceback, or ''."""
    try:
        exec(compile(code, "page", "exec"), names)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def run_script(code):
    """Run code as a script; return what it writes to stderr."""
    with open("train.py", "w", encoding="utf-8") as file:
        file.write(code)
    return subprocess.run([sys.executable, "train.py"], capture_output=True, text=True).stderr


def contains(said, quoted):
    """Whether a message contains a quotation, in which … stands for any text."""
    pieces = [re.escape(" ".join(piece.split())) for piece in quoted.split("…")]
    return re.search(".*".join(pieces), " ".join(said.split()))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.partition("\n")[0])
def test_the_code_raises_the_quoted_error(entry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    assert run(blocks(IMPORTS)[0][1], names) == ""
    found = blocks(entry)
    for (kind, code), (following, quoted) in zip(found, [*found[1:], ("", "")], strict=True):
        if kind == "text":
            continue
        if following != "text":  # a fix
            assert run(code, names) == ""
            continue
        if sys.platform == "win32" and "[Errno 2]" in quoted:
            pytest.skip("Windows describes a missing folder in its own words")
        with warnings.catch_warnings(action="error" if "Warning: " in quoted else "ignore"):
            said = run_script(code) if code.startswith("# train.py") else run(code, names)
        older = re.findall(r"Older releases of torch say `([^`]+)`", entry)
        assert any(contains(said, message) for message in (quoted, *older)), said


@pytest.mark.long
def test_the_code_of_the_cheat_sheet_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(PHOTOS, "photos")
    shutil.copy(next(PHOTOS.rglob("*.jpg")), "photo.jpg")
    code = [code for kind, code in blocks(SHEET) if kind == "python"]
    assert run("\n".join(code), {}) == ""
    assert max(len(line) for line in "\n".join(code).splitlines()) <= 60  # a column of the PDF


@in_a_browser
def test_the_cheat_sheet_is_printed_on_two_pages(tmp_path):
    print_pdf(tmp_path / "sheet.pdf")
    printed = (tmp_path / "sheet.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2


def test_there_is_one_heading_per_entry():
    heads = [entry.partition("\n")[0] for entry in ENTRIES]
    assert len(set(heads)) == len(heads) > 30


def test_the_messages_are_those_of_the_pinned_torch():
    [version] = re.findall(r"torch\s+([\d.]+) prints", ERRORS)
    assert f"\ntorch=={version} " in (ROOT / "requirements.txt").read_text("utf-8")


PATHS = (ROOT / "docs" / "learning_paths.md").read_text("utf-8").split("\n## ")[1:]


def chosen(nb, names):
    """The introduction and the named sections of a notebook: "1, 2 and 5 to 7", or "all"."""
    wanted = {""}
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", names):
        wanted |= {str(number) for number in range(int(first), int(last or first) + 1)}
    numbers = [heading.partition(".")[0] for heading in sections(nb)]
    cells = zip(nb.cells, numbers, strict=True)
    return [cell for cell, number in cells if names == "all" or number in wanted]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.partition("\n")[0])
def test_the_times_of_a_learning_path_are_computed(path):
    row = r"^\| \[(.+?)\]\(\.\./notebooks/(.+?)\) \| ([^:|]+)(?:: .+?)? \| ([\d |]+) \|$"
    rows, total = re.findall(row, path, re.MULTILINE), [0, 0, 0]
    assert len(rows) == path.count(".ipynb") > 0
    for name, file, names, times in rows:
        nb = nbformat.read(NOTEBOOKS / file, as_version=4)
        cells = chosen(nb, names)
        minutes = [nb.metadata.course.minutes, *estimate_minutes(cells)]
        assert (name, times) == (title(nb).partition(":")[0], " | ".join(map(str, minutes)))
        total = [sum(pair) for pair in zip(total, minutes, strict=True)]
    assert f"| total | | {total[0]} | {total[1]} | {total[2]} |" in path


def test_the_path_without_equations_has_one():
    [path] = [path for path in PATHS if path.startswith("Without equations")]
    found = []
    for file, names in re.findall(r"notebooks/(.+?)\) \| ([^:|]+)", path):
        cells = chosen(nbformat.read(NOTEBOOKS / file, as_version=4), names)
        found += [file[:2] for cell in cells if "$$" in cell.source]
    assert found == ["03"]  # as the page says
