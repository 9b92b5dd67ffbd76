"""What the tests share."""

import nbformat
import pytest
from small import small_notebook


def pytest_collection_modifyitems(items):
    """Start the long tests first, each followed by a short one.

    pytest-xdist hands the tests out two by two in this order: so each worker gets one long test
    at a time.
    """
    long = [item for item in items if item.get_closest_marker("long")]
    short = [item for item in items if not item.get_closest_marker("long")]
    paired = [item for pair in zip(long, short, strict=False) for item in pair]
    items[:] = paired + long[len(short) :] + short[len(long) :]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """An empty course in a folder of its own; gives a function that adds a notebook to it."""
    folder = tmp_path / "course" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.setattr("tools.notebooks.repository", lambda: folder.parent)
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)

    def add(name="91_small", *more):
        path = folder / f"{name}.ipynb"
        nbformat.write(small_notebook(*more, number=name[:2]), path)
        return path

    return add
