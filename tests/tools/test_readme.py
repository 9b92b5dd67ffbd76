"""What the README, the teaching guide and CONTRIBUTING tell people to type exists."""

import importlib.util
import re
import shlex

import nbformat
import pytest
import typer
from documents import ROOT, commands
from reading import estimate_minutes

from course_utils.catalog import CATALOG
from image_classifier.__main__ import cli
from tools import __main__ as tools_cli
from tools.notebooks import parameters, title

README = (ROOT / "README.md").read_text("utf-8")
TOOLS = tools_cli.app
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_commands_are_found():
    expected = {"make course", "python -m tools list", "python -m image_classifier train"}
    assert all(any(line.startswith(start) for line in commands()) for start in expected)
    assert len(commands()) > 30


@pytest.mark.parametrize("command", commands())
def test_the_command_exists(command, monkeypatch):
    words = shlex.split(command, posix="\\" not in command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        assert all(re.match(r"(ARGS|PYTHON|REPO|BRANCH|SEEDS)=", word) for word in words[2:])
        command = {"course": "run", "notebooks": "execute"}.get(words[1])
        given = [word.removeprefix("ARGS=").split() for word in words if word.startswith("ARGS=")]
        words = ["-m", "tools", command, *given[0]] if command and given else []
    if "-m" in words:
        module, *arguments = words[words.index("-m") + 1 :]
        assert importlib.util.find_spec(module)
        if module == "tools":
            monkeypatch.setattr(tools_cli, "app", lambda given, **_: check_tool(given))
            tools_cli.main(arguments)
        if module == "image_classifier":
            parsed(cli, arguments)
    assert all((ROOT / word).is_file() for word in words if word.endswith((".py", ".txt", ".yml")))


def parsed(app, arguments):
    """The values of a command's parameters; an error where it has no such parameters."""
    group = typer.main.get_command(app)
    if arguments == ["--help"]:
        return {}
    name, *rest = arguments
    command = group.commands[name]
    if rest == ["--help"]:
        return {}
    return command.make_context(name, rest).params


def check_tool(arguments):
    """A command of tools exists, and so do the notebooks, parameters and datasets it names."""
    values = parsed(TOOLS, arguments)
    for wanted in [*(values.get("only") or ()), *(values.get("names") or ())]:
        [path] = [path for path in NOTEBOOKS if path.stem.startswith(wanted)]
        known = parameters(nbformat.read(path, as_version=4))
        assert {pair.partition("=")[0] for pair in values.get("p") or ()} <= set(known)
    if arguments[0] == "get":
        assert values["name"] in CATALOG


def table_rows():
    """The rows of the README's table: title, file, result, minutes to run, read and practice."""
    row = r"^\| \[(.+?)\]\(notebooks/(.+?\.ipynb)\)[^|]* \| [^|]+ \| ([^|]+) \| ([\d |]+) \|$"
    return re.findall(row, README, re.MULTILINE)


def test_the_table_lists_exactly_the_notebooks_that_exist():
    found = []
    for path in NOTEBOOKS:
        nb = nbformat.read(path, as_version=4)
        minutes = (nb.metadata.course.minutes, *estimate_minutes(nb.cells))
        found.append((title(nb), path.name, " | ".join(map(str, minutes))))
    assert [(name, file, minutes) for name, file, _, minutes in table_rows()] == found


@pytest.mark.parametrize(("file", "result"), [row[1:3] for row in table_rows()])
def test_the_result_of_a_notebook_is_what_it_printed(file, result):
    nb = nbformat.read(ROOT / "notebooks" / file, as_version=4)
    [cell] = [cell for cell in nb.cells if "headline" in cell.metadata.get("tags", ())]
    printed = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell.outputs[0].text)]
    named = re.findall(r"\d+(?:\.\d+)?", result)
    assert named
    for number in named:
        decimals = len(number.partition(".")[2])
        assert number in {f"{value:.{decimals}f}" for value in printed}, (number, cell.outputs[0])
