"""Where the course writes: one folder, which git ignores.

>>> from course_utils.paths import output_folder
>>> output_folder("data")  # <repository>/build/data, made if it was not there
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


class OutputFolderError(OSError):
    """The folder for everything written cannot be used; the message says why."""


def repository_root() -> Path | None:
    """Find the checkout that this package is imported from.

    Returns:
        Its root, or None where the package was installed without the notebooks.
    """
    root = Path(__file__).resolve().parents[1]
    is_checkout = (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir()
    return root if is_checkout else None


def output_folder(*parts: str) -> Path:
    """Give a folder to write into, and make it if need be.

    It lies in `$COURSE_OUTPUT` if that is set, else in `build` of the checkout, else in `build`
    of the working directory.

    Args:
        *parts: The names of the folders below, for example "data".

    Returns:
        The absolute path of the folder, which exists.

    Raises:
        OutputFolderError: The folder cannot be made or written to.
    """
    chosen = os.environ.get("COURSE_OUTPUT")
    root = Path(chosen).expanduser() if chosen else (repository_root() or Path.cwd()) / "build"
    folder = root.absolute().joinpath(*parts)
    advice = "set COURSE_OUTPUT to a folder of your own that can be written to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputFolderError(f"Cannot make the folder {folder} ({reason}); {advice}.") from None
    if not os.access(folder, os.W_OK):
        raise OutputFolderError(f"Cannot write to the folder {folder}; {advice}.")
    return folder


def spare_home() -> None:
    """Let the notebooks run where the home folder cannot be written.

    IPython and Matplotlib keep settings and caches there. Without it each makes a folder with
    another name in every process and prints a warning about it, which then stands in the outputs.
    They and all processes started from here get one folder instead, which is removed at the end.
    """
    if os.access(Path.home(), os.W_OK):
        return
    folder = tempfile.mkdtemp(prefix="course-home-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for variable in ("IPYTHONDIR", "MPLCONFIGDIR"):
        os.environ.setdefault(variable, folder)


def display_path(path: str | Path) -> str:
    """Write a path for people: short, with no home folder in it, with forward slashes.

    Inside the checkout it is relative to its root, whatever the working directory is, so that the
    same notebook prints the same text everywhere.
    """
    path = Path(path).absolute()
    for base, prefix in ((repository_root(), ""), (Path.cwd(), ""), (Path.home(), "~/")):
        if base is not None and path.is_relative_to(base):
            return prefix + path.relative_to(base).as_posix()
    return path.as_posix()
