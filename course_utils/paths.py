"""Paths: everything is written to one folder, which git ignores."""

import os
from contextlib import suppress
from pathlib import Path

from course_utils.errors import CourseError


def repository_root() -> Path | None:
    """Return the checkout that contains this package, or None if it was installed without one."""
    root = Path(__file__).resolve().parents[1]
    is_checkout = (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir()
    return root if is_checkout else None


def output_folder(*parts: str) -> Path:
    """Create a folder for results and return its absolute path.

    The base is `$COURSE_OUTPUT` if set, else `build` in the checkout or the working directory.
    """
    chosen = os.environ.get("COURSE_OUTPUT")
    base = Path(chosen).expanduser() if chosen else (repository_root() or Path.cwd()) / "build"
    folder = base.absolute().joinpath(*parts)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise CourseError(f"Cannot write to {folder}; set COURSE_OUTPUT to another folder.")
    return folder


def display_path(path: str | Path) -> str:
    """Shorten a path for display, with forward slashes and without the home folder.

    Inside the checkout it is relative to the root, so that notebooks print the same everywhere.
    """
    path = Path(path).absolute()
    for base, prefix in ((repository_root(), ""), (Path.cwd(), ""), (Path.home(), "~/")):
        if base is not None and path.is_relative_to(base):
            return prefix + path.relative_to(base).as_posix()
    return path.as_posix()
