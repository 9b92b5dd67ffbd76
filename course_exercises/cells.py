"""Find the exercises and predictions in a notebook by the tags of their cells, and read answers.

An exercise has the cells `exercise-02.3` and `check-02.3`, a prediction `prediction-02.a` and
`feedback-02.a`.
"""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode


def tagged_cells(nb: NotebookNode, kind: str) -> dict[str, NotebookNode]:
    """Return the cells of a kind, for example "exercise", by their name."""
    found = {}
    for cell in nb.cells:
        for tag in cell.metadata.get("tags", ()):
            before, _, name = tag.partition("-")
            if before == kind and name:
                found[name] = cell
    return found


def read_answers(path: Path) -> dict[str, str]:
    """Read a Python file with cells that start with `# %% NAME`; return their code by name."""
    _, *parts = re.split(r"^# %% *", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    pairs = (part.partition("\n") for part in parts)
    return {name.strip(): code.strip() for name, _, code in pairs}


def definitions(sources: Iterable[str]) -> str:
    """Return the imports, functions, classes and literals that cells define; run nothing.

    Skip cells that are not valid Python (`%pip`, for example).
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
