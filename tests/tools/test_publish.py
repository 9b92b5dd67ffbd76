"""The address of the course stands in pyproject.toml, and everything else agrees with it."""

import re
import shutil

import nbformat
import pytest
import yaml

from course_utils.errors import CourseError
from tools import publish
from tools.lint_notebooks import lint
from tools.notebooks import NOTEBOOKS
from tools.publish import Address, publish_as, read_address, stamped

ROOT = NOTEBOOKS.parent
FILES = ("README.md", "CITATION.cff", "pyproject.toml")
NAMES = [path.name for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the files that name the address, in place of this checkout."""
    (tmp_path / "notebooks").mkdir()
    for name in (*FILES, *(f"notebooks/{name}" for name in NAMES)):
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    return tmp_path


def contents(checkout):
    """All texts of a checkout, by file."""
    files = [path for path in checkout.rglob("*") if path.is_file()]
    return {path.relative_to(checkout): path.read_text("utf-8") for path in files}


def test_everything_names_the_address_of_pyproject():
    for path, text in stamped(ROOT, read_address(ROOT)).items():
        assert path.read_text("utf-8") == text, f"{path.name}: run make publish"


def test_publishing_reaches_every_notebook(checkout):
    found = {name: lint(nbformat.read(checkout / "notebooks" / name, 4), name) for name in NAMES}
    publish_as("ada-l/images", "summer/2027")
    address = read_address(checkout)
    assert address == Address("ada-l/images", "summer/2027")
    readme = (checkout / "README.md").read_text("utf-8")
    for name in NAMES:
        nb = nbformat.read(checkout / "notebooks" / name, as_version=4)
        assert lint(nb, name) == found[name]  # the links break no rule
        blob = f"ada-l/images/blob/summer/2027/notebooks/{name}"
        place = f"summer%2F2027?urlpath=lab%2Ftree%2Fnotebooks%2F{name}"
        for link in (
            f"(https://colab.research.google.com/github/{blob})",
            f"(https://kaggle.com/kernels/welcome?src=https://github.com/{blob})",
            f"(https://mybinder.org/v2/gh/ada-l/images/{place})",
        ):
            assert nb.cells[0].source.count(link) == 1
            assert link in readme
        online = 'online = "https://github.com/ada-l/images/archive/summer/2027.zip"'
        assert online in nb.cells[1].source.splitlines()
    citation = yaml.safe_load((checkout / "CITATION.cff").read_text("utf-8"))
    assert citation["repository-code"] == "https://github.com/ada-l/images"
    assert "https://ada-l.github.io/images/" in readme


def test_the_last_address_replaces_all_others(checkout):
    before = contents(checkout)
    publish_as("ada-l/images", "main")
    once = contents(checkout)
    publish_as("https://github.com/grace/kurs.git", "v2")
    assert not re.search("ada-l", "".join(contents(checkout).values()))
    publish_as("ada-l/images", "")
    assert contents(checkout) == once
    for path, text in stamped(checkout, read_address(ROOT)).items():
        path.write_text(text, encoding="utf-8", newline="\n")
    assert contents(checkout) == before


@pytest.mark.parametrize(
    ("repository", "branch", "sentence"),
    [
        ("", "main", "Say where the course is on GitHub"),
        ("images", "main", "'images' is not owner/name"),
        ("https://example.org/a/b", "main", "is not owner/name"),
        ("ada/images", "two words", "'two words' is not the name of a branch"),
        ("ada/images", 'main"', "is not the name of a branch"),
    ],
)
def test_what_is_no_address_changes_nothing(checkout, repository, branch, sentence):
    before = contents(checkout)
    with pytest.raises(CourseError, match=sentence) as refused:
        publish_as(repository, branch)
    assert "make publish REPO=owner/name BRANCH=main" in str(refused.value)
    assert contents(checkout) == before


def test_the_set_up_cell_is_the_same_everywhere():
    notebooks = [nbformat.read(NOTEBOOKS / name, as_version=4) for name in NAMES]
    assert len({nb.cells[1].source for nb in notebooks}) == 1
