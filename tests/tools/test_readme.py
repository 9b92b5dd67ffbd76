"""What the README and the teaching guide tell people to type exists."""

import re
import shlex
from pathlib import Path

import nbformat
import pytest

from course_utils.catalog import catalog_table
from image_classifier.__main__ import _parser
from tools.notebooks import parameters, title

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = "\n".join(
    (ROOT / name).read_text("utf-8") for name in ("README.md", "TEACHING.md", "CONTRIBUTING.md")
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def commands():
    """Every command line on the two pages: those in blocks, and those in the text."""
    blocks = re.findall(r"^```\n(.*?)^```", PAGES, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    text = re.sub(r"^```.*?^```", "", PAGES, flags=re.DOTALL | re.MULTILINE)
    lines += re.findall(r"`((?:make|python|pytest) [^`]+)`", text)
    return sorted({line for line in lines if re.match(r"\S*(?:make|python|py|conda)\b", line)})


def test_commands_are_found():
    assert {"make course", "make test", "python -m course_utils list"} <= set(commands())
    assert len(commands()) > 20


@pytest.mark.parametrize("command", commands())
def test_the_command_exists(command):
    words = shlex.split(command, posix="\\" not in command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        assert all(re.match(r"(ARGS|PYTHON|REPO|BRANCH)=", word) for word in words[2:])
        passed_on = [word.removeprefix("ARGS=").split() for word in words if "ARGS=" in word]
        is_course = passed_on and words[1] == "course"
        words = ["course_utils", "run", *passed_on[0]] if is_course else []
    if "course_utils" in words:
        check_our_command(words[words.index("course_utils") + 1 :])
    scripts = [word for word in words if word.endswith((".py", ".txt", ".yml"))]
    assert all((ROOT / script).is_file() for script in scripts)


def check_our_command(words):
    """The options exist, and so do the notebooks, parameters and sets they name."""
    if words[-1] == "--help":
        with pytest.raises(SystemExit, match="0"):
            _parser().parse_args(words)
        return
    options = vars(_parser().parse_args(words))
    for wanted in options.get("only", []):
        [path] = [path for path in NOTEBOOKS if path.stem.startswith(wanted)]
        known = parameters(nbformat.read(path, as_version=4))
        assert {name for name, _ in options["parameters"]} <= set(known)
    if "name" in options:
        assert options["name"] in [row["name"] for row in catalog_table()]


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)]+)\)", README)
    files = [link for link in links if not re.match(r"\w+://", link)]
    assert len(files) > 4
    assert [file for file in files if not (ROOT / file).exists()] == []


def table_rows():
    """The rows of the README's table: title, file, what it reaches, minutes."""
    row = r"^\| \[(.+?)\]\(notebooks/(.+?\.ipynb)\)[^|]* \| [^|]+ \| ([^|]+) \| (\S+) \|$"
    return re.findall(row, README, re.MULTILINE)


def test_the_table_lists_exactly_the_notebooks_that_exist():
    found = []
    for path in NOTEBOOKS:
        nb = nbformat.read(path, as_version=4)
        found.append((title(nb), path.name, str(nb.metadata.course.minutes)))
    assert [(name, file, minutes) for name, file, _, minutes in table_rows()] == found


@pytest.mark.parametrize(("file", "reached"), [row[1:3] for row in table_rows()])
def test_what_a_notebook_reaches_is_what_it_printed(file, reached):
    nb = nbformat.read(ROOT / "notebooks" / file, as_version=4)
    [cell] = [cell for cell in nb.cells if "headline" in cell.metadata.get("tags", ())]
    printed = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell.outputs[0].text)]
    named = re.findall(r"\d+(?:\.\d+)?", reached)
    assert named
    for number in named:
        decimals = len(number.partition(".")[2])
        assert number in {f"{value:.{decimals}f}" for value in printed}, (number, cell.outputs[0])
