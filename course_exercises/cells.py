"""Where the exercises and predictions stand in a notebook.

The tags of the cells say it: `exercise-02.3` for the cell that the learner changes and `check-02.3`
for the one below that checks it; `prediction-02.a` and `feedback-02.a` likewise.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode


def tagged_cells(nb: NotebookNode, kind: str) -> dict[str, NotebookNode]:
    """Give the cells of a kind by the name of their exercise or prediction.

    Args:
        nb: A notebook of the course.
        kind: "exercise", "check", "prediction" or "feedback".
    """
    found = {}
    for cell in nb.cells:
        for tag in cell.metadata.get("tags", ()):
            before, _, name = tag.partition("-")
            if before == kind and name:
                found[name] = cell
    return found


def read_answers(path: Path) -> dict[str, str]:
    """Read a file of code in cells, each of which starts with a line `# %% NAME`.

    Args:
        path: A Python file, for example one of the solutions.

    Returns:
        The code of each cell by its name, in the order of the file.
    """
    _, *parts = re.split(r"^# %% *", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    pairs = (part.partition("\n") for part in parts)
    return {name.strip(): code.strip() for name, _, code in pairs}


def definitions(sources: Iterable[str]) -> str:
    """Give the imports, functions, classes and literal values that cells define.

    It is what an answer may count on without running the notebook: nothing here computes.

    Args:
        sources: The code of the cells. What is no valid Python (`%pip`, say) is left out.
    """
    kept = []
    for source in sources:
        try:
            body = ast.parse(source).body
        except SyntaxError:
            continue
        kept += [ast.unparse(node) for node in body if _is_definition(node)]
    return "\n".join(kept)


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        names = [name for target in node.targets for name in getattr(target, "elts", [target])]
        if not all(isinstance(name, ast.Name) for name in names):
            return False
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError):
            return False
        return True
    kinds = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef
    return isinstance(node, kinds)
