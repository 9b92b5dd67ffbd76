"""Compute the curves for the website's game: docs/_static/curves.js.

The gallery of notebook 04 is recomputed with other seeds.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell

from tools.notebooks import ROOT, find_notebooks, set_parameters
from tools.run import Run, run_or_raise

FILE = ROOT / "docs" / "_static" / "curves.js"
LAST_CELL = "gallery-figure"  # defines the last variable that EXPORT needs
SEEDS = 1, 2, 3, 4
EXPORT = """
import json
found = {
    letters[title[0]]: {
        "train": frame["train_loss"].round(3).tolist(),
        "val": frame["val_loss"].round(3).tolist(),
        "accuracies": title[3:],
    }
    for title, frame in panels.items()
}
print(json.dumps({"chance": np.log(len(classes)), "epochs": gallery_epochs, "runs": found}))
"""


def compute_curves(seeds: Sequence[int], parameters: dict[str, Any] | None = None) -> list[dict]:
    """Run notebook 04 to the end of its gallery; return the curves of each seed.

    Raises:
        CourseError: A run of the notebook fails.
    """
    [path] = find_notebooks(["04"])
    runs = []
    for seed in seeds:
        nb = set_parameters(nbformat.read(path, as_version=4), {"seed": seed, **(parameters or {})})
        last = [cell.id for cell in nb.cells].index(LAST_CELL)
        nb.cells[last + 1 :] = [new_code_cell(EXPORT)]
        runs.append(Run(path, nb))
    run_or_raise(runs)
    return [json.loads(run.nb.cells[-1].outputs[0].text) for run in runs]


def write_curves() -> Path:
    """Write the curves of several seeds for the game."""
    computed = compute_curves(SEEDS)
    curves = [{"name": name, **curve} for game in computed for name, curve in game["runs"].items()]
    game = {key: computed[0][key] for key in ("chance", "epochs")} | {"curves": curves}
    data = json.dumps(game).replace('{"name"', '\n{"name"')
    text = f"// Written by python -m tools curves.\nconst CURVE_GAME = {data};\n"
    FILE.write_text(text, encoding="utf-8")
    return FILE
