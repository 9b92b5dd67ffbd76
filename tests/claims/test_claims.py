"""The claims of each notebook fit to it, and (thorough) hold, as do the stored outputs."""

import ast
import inspect
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools.claims import CLAIMS, check_claims, read_claims
from tools.notebooks import NOTEBOOKS

FILES = sorted(CLAIMS.glob("[0-9][0-9]_*.py"))
each_file = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


def names_before(nb, identity):
    """All names that a notebook assigns, imports or defines up to the cell with an id."""
    names = set()
    for cell in nb.cells:
        if cell.cell_type == "code":
            source = TransformerManager().transform_cell(cell.source)  # %pip is no Python
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    names.add(node.id)
                names |= {alias.asname or alias.name for alias in getattr(node, "names", [])
                          if isinstance(alias, ast.alias)}  # fmt: skip
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    names.add(node.name)
        if cell.id == identity:
            return names
    raise AssertionError(f"no cell has the id {identity!r}")


@each_file
def test_claims_name_cells_and_variables_of_their_notebook(path):
    nb = nbformat.read(NOTEBOOKS / f"{path.stem}.ipynb", as_version=4)
    claims = read_claims(path)
    assert claims
    for name, function in claims.items():
        assert function.__doc__, name
        missing = set(inspect.signature(function).parameters) - names_before(nb, function.after)
        assert not missing, f"{name} needs {missing}"


@pytest.mark.thorough
@each_file
def test_claims_hold(path, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two tests run at a time
    monkeypatch.chdir(Path(__file__).parents[2])
    table = check_claims([path.stem], [0])
    assert len(table) == len(read_claims(path)) + 1  # and the stored outputs
    assert table.all(axis=None), table.to_string()
