"""Folders that the workers of pytest-xdist share."""

import os

from filelock import FileLock


def made_once(tmp_path_factory, name, make):
    """A folder that `make` fills for the first worker that needs it; the others wait."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, done = root / name, root / f"{name}.done"
    with FileLock(root / f"{name}.lock"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder
