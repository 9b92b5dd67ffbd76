"""Check the claims of the notebooks, tests/claims/NN_*.py, inside the notebooks, with any seed.

A claim is a function. Its arguments are variables of the notebook, its docstring is the sentence
that it verifies, and it runs after the cell with the id in the decorator. With the default seed of
the notebook, the outputs must also match the stored ones, as with `pytest --nbval`.
"""

import inspect
import json
import runpy
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell

from tools.notebooks import ROOT, find_notebooks, parameters, set_parameters

CLAIMS = ROOT / "tests" / "claims"
PREFIX = "claim-"


def claim(after: str) -> Callable[[Callable], Callable]:
    """Mark a function as a claim that is checked after the cell with an id."""

    def bind(function: Callable) -> Callable:
        function.after = after
        return function

    return bind


def read_claims(path: Path) -> dict[str, Callable]:
    """Return the claims of a file by name."""
    return {name: f for name, f in runpy.run_path(str(path)).items() if hasattr(f, "after")}


def verify(path: str, name: str, variables: Mapping[str, Any]) -> None:
    """Check one claim with the variables of a notebook; print the result as JSON."""
    function = read_claims(Path(path))[name]
    arguments = {
        argument: variables[argument] for argument in inspect.signature(function).parameters
    }
    problem = ""
    try:
        function(**arguments)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1].line
        problem = f"{type(error).__name__} {error} in {where!r}, with {_shown(arguments)}"
    print(json.dumps({"problem": problem}))


def _shown(arguments: Mapping[str, Any]) -> str:
    short = {name: repr(value).replace("\n", " ") for name, value in arguments.items()}
    return ", ".join(f"{name} = {text[:300]}" for name, text in short.items()) or "no variables"


def with_claims(nb: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode:
    """Insert a cell for each claim of a file into a notebook, and return it."""
    for name, function in reversed(read_claims(path).items()):
        place = [cell.id for cell in nb.cells].index(function.after) + 1
        module = "__import__('tools.claims', fromlist=['verify'])"
        source = f"{module}.verify({str(path)!r}, {name!r}, globals())"
        nb.cells.insert(place, new_code_cell(source, metadata={"tags": [PREFIX + name]}))
    return nb


def results(nb: nbformat.NotebookNode) -> Iterator[tuple[str, str]]:
    """Yield each claim of an executed notebook and its problem, "" if it holds."""
    for cell in nb.cells:
        for tag in cell.metadata.get("tags", ()):
            if tag.startswith(PREFIX):
                text = "".join(output.get("text", "") for output in cell.outputs)
                problem = json.loads(text)["problem"] if text else "was not reached"
                yield tag.removeprefix(PREFIX), problem


def changed_outputs(stored: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> list[str]:
    """Return the ids of the cells whose text output differs from the stored one."""
    from tools.lint_notebooks import is_uncompared

    new = {cell.id: cell for cell in executed.cells}
    compared = [c for c in stored.cells if c.cell_type == "code" and not is_uncompared(c)]
    return [cell.id for cell in compared if _text(cell) != _text(new[cell.id])]


def _text(cell: nbformat.NotebookNode) -> str:
    # Progress bars are written to stderr, on slow machines only.
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    texts = [output.get("text", "") for output in outputs]
    texts += [output.get("data", {}).get("text/plain", "") for output in outputs]
    return "".join(texts)


def check_claims(names: Sequence[str], seeds: Sequence[int], jobs: int = 1) -> pd.DataFrame:
    """Execute notebooks with their claims, once per seed, and print failures.

    Returns:
        Whether each claim held: one row per notebook and claim, one column per seed; NaN for the
        stored outputs if the seed is another one.
    """
    # Not at the top: each claim imports this module in the kernel of a notebook.
    from tools.run import Run, run_all

    paths = [path for path in find_notebooks(names) if (CLAIMS / f"{path.stem}.py").is_file()]
    runs, stored = {}, {path.stem: nbformat.read(path, as_version=4) for path in paths}
    for path in paths:
        nb = with_claims(deepcopy(stored[path.stem]), CLAIMS / f"{path.stem}.py")
        for seed in seeds:
            runs[path.stem, seed] = Run(path, set_parameters(nb, {"seed": seed}))
    run_all(list(runs.values()), lambda run: None, jobs)
    table = pd.DataFrame(columns=pd.Index(seeds, name="seed"), dtype=object)
    for (stem, seed), run in runs.items():
        found = dict(results(run.nb))
        if seed == parameters(stored[stem]).get("seed"):
            changed = changed_outputs(stored[stem], run.nb)
            found["stored outputs"] = f"other outputs of {', '.join(changed)}" if changed else ""
        for name, problem in found.items():
            table.loc[f"{stem[:2]} {name}", seed] = not problem
            if problem:
                print(f"{stem[:2]} {name}, seed {seed}: {problem}")
    return table
