"""Execute the notebooks in place at their reading parameters, for committing.

    python tools/execute_notebooks.py            all notebooks
    python tools/execute_notebooks.py 02         one of them

A notebook is written only when all of its cells ran. What differs from run to run or from machine
to machine (times, versions of the interpreter) is left out, so that a difference in git means
that an output changed.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient.exceptions import CellControlSignal
from nbformat import NotebookNode

from course_utils.progress import format_seconds
from tools.notebooks import CELL_TIMEOUT, RunError, execute, find_notebooks

LANGUAGE = {
    "name": "python",
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "pygments_lexer": "ipython3",
}
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
LASTING_METADATA = ("tags", "slideshow", "jupyter")


def strip(nb: NotebookNode) -> None:
    """Remove what differs from run to run or from machine to machine."""
    course = dict(nb.metadata.get("course", {}))
    nb.metadata = NotebookNode(course=course, kernelspec=KERNEL, language_info=LANGUAGE)
    for cell in nb.cells:
        kept = {key: cell.metadata[key] for key in LASTING_METADATA if key in cell.metadata}
        cell.metadata = NotebookNode(kept)


def execute_in_place(path: Path) -> None:
    """Run a notebook and store its outputs in it.

    Raises:
        CellControlSignal: A cell failed or took too long; the file is as it was.
        RuntimeError: The kernel died; the file is as it was.
    """
    nb = nbformat.read(path, as_version=4)
    execute(nb, Path.cwd(), CELL_TIMEOUT)
    strip(nb)
    nbformat.validate(nb)
    nbformat.write(nb, path)


def main(names: list[str]) -> int:
    """Execute the notebooks of these numbers or names, or all; 1 if any failed."""
    try:
        paths = find_notebooks(names)
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    failed = 0
    for path in paths:
        start = time.monotonic()
        try:
            execute_in_place(path)
        except (CellControlSignal, RuntimeError) as error:
            failed += 1
            print(f"{path.stem}: failed, not written\n{error}", file=sys.stderr)
        else:
            print(f"{path.stem}: written ({format_seconds(time.monotonic() - start)})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
