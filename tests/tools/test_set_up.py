"""The first cell of a notebook installs the packages where they are missing, as on Colab."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import nbformat
import pytest
from copies import ROOT, served

from tools.notebooks import (
    NOTEBOOKS,
    THREAD_VARIABLES,
    set_parameters,
    tagged,
    tagged_cells,
    tiny_parameters,
)

NAME = "00_pytorch_in_an_hour.ipynb"  # the fastest one
PACKAGES = ("course_utils", "course_exercises", "image_classifier")
PARTS = (*PACKAGES, "LICENSE", "README.md", "pyproject.toml")
PROGRAM = """
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

nb = nbformat.read("notebook.ipynb", as_version=4)
try:
    NotebookClient(nb, timeout=600, kernel_name="python3").execute()
except CellExecutionError:
    print("stopped")
nbformat.write(nb, "executed.ipynb")
"""

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(os.name == "nt", reason="links to the packages need rights on Windows"),
]


def run(command, **options):
    """Run a command to its end; return its output."""
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """The course as GitHub packs a branch: one folder that holds everything."""
    path = tmp_path_factory.mktemp("served") / "main.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for part in PARTS:
            files = (ROOT / part).rglob("*") if (ROOT / part).is_dir() else [ROOT / part]
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    packed.write(file, f"images-main/{file.relative_to(ROOT).as_posix()}")
    return path


@pytest.fixture(scope="session")
def wheel(archive):
    """The wheel of the packages, as a teacher builds it."""
    folder = archive.parent
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run([*build, "--no-index", "--wheel-dir", str(folder), str(archive)])
    [found] = folder.glob("course_utils-*.whl")
    return found


@pytest.fixture
def colab(tmp_path):
    """An environment of its own that sees every package of this one, but not the course."""
    packages = tmp_path / "what is there already"
    packages.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "course_utils" not in entry.name and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)])  # pip is there already
    purelib = Path(sysconfig.get_paths(vars={"base": str(environment)})["purelib"])
    (purelib / "there.pth").write_text(str(packages), encoding="utf-8")
    return environment


@pytest.fixture
def start(colab, tmp_path):
    """Run the notebook alone in an empty folder; returns the executed notebook."""
    folder = tmp_path / "an empty folder"
    folder.mkdir()

    def execute(online="", cells=None):
        nb = nbformat.read(NOTEBOOKS / NAME, as_version=4)
        nb = set_parameters(nb, tiny_parameters(nb))
        setup = tagged(nb, "setup")
        lines = [
            f'online = "{online}"' if line.startswith("online = ") else line
            for line in setup.source.splitlines()
        ]
        setup.source = "\n".join(lines)
        nb.cells = nb.cells[:cells]
        nbformat.write(nb, folder / "notebook.ipynb")
        left_out = ("COURSE_OUTPUT", "PYTHONPATH", "VIRTUAL_ENV")
        variables = {key: value for key, value in os.environ.items() if key not in left_out}
        variables |= dict.fromkeys(THREAD_VARIABLES, "1")
        # pip has no network here, and takes setuptools from the environment.
        variables |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_RETRIES": "0"}
        run([str(colab / "bin" / "python"), "-c", PROGRAM], cwd=folder, env=variables)
        return nbformat.read(folder / "executed.ipynb", as_version=4)

    execute.folder = folder
    return execute


def installed(environment):
    """The packages that the environment has for itself."""
    purelib = Path(sysconfig.get_paths(vars={"base": str(environment)})["purelib"])
    return {path.name.split("-")[0] for path in purelib.glob("*.dist-info")}


def said(cell):
    """Everything that a cell printed, and its error."""
    return "\n".join(out.get("text", "") + out.get("evalue", "") for out in cell.outputs)


def test_it_installs_the_published_course_and_nothing_else(start, colab, archive):
    with served(archive.parent) as address:
        nb = start(f"{address}/main.zip")
    assert installed(colab) == {"course_utils"}  # torch and all others are those from before
    checks = tagged_cells(nb, "check").values()
    assert len(checks) >= 3
    assert all("not tried yet" in said(cell) for cell in checks)
    written = sorted(path.name for path in start.folder.iterdir())
    assert written == ["build", "executed.ipynb", "notebook.ipynb"]


def test_the_wheel_holds_the_three_packages_and_the_bundled_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    assert "course_utils/archives/cutouts.zip" in names


def test_it_installs_a_wheel_that_lies_beside_the_notebook(start, colab, wheel):
    (start.folder / wheel.name).write_bytes(wheel.read_bytes())
    nb = start(cells=5)
    assert installed(colab) == {"course_utils"}
    assert all(out.output_type != "error" for cell in nb.cells for out in cell.get("outputs", ()))


@pytest.mark.parametrize(
    ("online", "expected"),
    [
        ("", "Neither 'setup.py' nor 'pyproject.toml' found."),
        ("http://127.0.0.1:9/main.zip", "Could not install packages"),
    ],
)
def test_pip_says_what_is_wrong_and_the_imports_fail(start, colab, online, expected):
    nb = start(online, cells=5)
    assert expected in said(tagged(nb, "setup"))
    assert "No module named 'course_" in said(tagged(nb, "imports"))
    assert installed(colab) == set()
