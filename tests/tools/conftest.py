"""What the tests of the tools share."""

import nbformat
import pytest
from shared import made_once
from small import small_notebook

from tools.__main__ import main


@pytest.fixture
def course(tmp_path, monkeypatch):
    """An empty course in a folder of its own; a function that adds a notebook to it."""
    folder = tmp_path / "course" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.setattr("tools.notebooks.NOTEBOOKS", folder)
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)

    def add(name="91_small", *more):
        path = folder / f"{name}.ipynb"
        nbformat.write(small_notebook(*more, number=name[:2]), path)
        return path

    return add


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Both editions of the course, built by their commands."""

    def build(folder):
        for edition in ("student", "instructor"):
            with pytest.raises(SystemExit) as ended:
                main([edition, "--output", str(folder)])
            assert ended.value.code == 0

    return made_once(tmp_path_factory, "dist", build)
