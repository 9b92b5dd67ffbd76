"""Every notebook runs on folders of photographs, with tiny and (thorough) smallest parameters."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from small import code

from course_utils.catalog import prepare_dataset
from tools.editions import solved
from tools.lint_notebooks import rule_clean_outputs
from tools.notebooks import (
    NOTEBOOKS,
    THREAD_VARIABLES,
    headline,
    read_answers,
    set_parameters,
    tagged_cells,
    tiny_parameters,
)
from tools.pages import write_notebook
from tools.run import Run, run_all

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def printed(nb, kind):
    """What the cells of a kind printed, by the name of their exercise or prediction."""
    cells = tagged_cells(nb, kind)
    return {name: "".join(out.text for out in cell.outputs) for name, cell in cells.items()}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory and an output folder that have nothing to do with the repository."""
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")  # two tests run at a time
    monkeypatch.setenv("PYTHONUTF8", "1")
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "what it writes"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(path, nb=None, **values):
    """Run a notebook with tiny parameters; return the executed one."""
    nb = nb or nbformat.read(path, as_version=4)
    tiny = set_parameters(nb, tiny_parameters(nb) | values)
    run_all([result := Run(path, tiny)], lambda run: None)
    assert result.error == ""
    assert headline(tiny)
    return tiny


# Collects the variables whose type changes from one cell to another.
WATCH = """
def _watch(result, kinds={}, rebound=set()):
    import numbers
    for name, value in get_ipython().user_ns.items():
        kind = numbers.Number if isinstance(value, numbers.Number) else type(value)
        if not (value is None or name.startswith("_") or name in ("In", "Out", "axes")):
            if kinds.setdefault(name, kind) is not kind:
                rebound.add(name)
get_ipython().events.register("post_run_cell", _watch)
"""


def watched(nb):
    """A notebook that ends with a list of the variables whose type changed."""
    last = code("print(sorted(_watch.__defaults__[1]))")
    nb.cells = [code(WATCH), *nb.cells, last]
    return nb


FOLDER = "own photographs"
OWN_IMAGES = {
    "00_pytorch_in_an_hour": {},
    "01_data_exploration": {},
    "02_cnn_from_scratch": {
        "binary_data": FOLDER,
        "binary_classes": '["große Vögel", "Autos & more"]',
        "image_size": "40",
    },
    "03_transfer_learning": {},
    "04_training_curves": {"image_size": "20"},
    "05_confusion_matrices": {"imbalanced_data": FOLDER, "image_size": "40"},
    "06_tensorboard": {"image_size": "40"},
    "07_making_it_fast": {"image_size": "20"},
    "08_looking_inside": {},
    "09_from_notebook_to_use": {},
    "10_solar_cells": {},
    "11_vision_transformer": {"image_size": "40", "sizes": "[4, 12]"},
}

# Where the tiny parameters are larger than what makes sense.
SMALLEST = {
    "00_pytorch_in_an_hour": {"steps": 1, "epochs": 1, "image_size": 8, "batch_size": 2},
    "01_data_exploration": {"max_images": 2, "image_size": 8, "batch_size": 1},
    "02_cnn_from_scratch": {"max_images": 8, "image_size": 14, "batch_size": 2},
    "03_transfer_learning": {"images_per_class": "[1]", "max_images": 8, "batch_size": 2},
    "04_training_curves": {"epochs": 1, "few": 1, "image_size": 9, "max_images": 4},
    "05_confusion_matrices": {"max_images": 1, "image_size": 8, "batch_size": 1, "resamples": 2},
    "06_tensorboard": {"epochs": 1, "max_images": 2, "image_size": 8, "width": 1},
    "07_making_it_fast": {"max_images": 40, "image_size": 16, "batch_size": 4, "photos": 2},
    "08_looking_inside": {"max_images": 1, "cnn_size": 8, "integration_steps": 1},
    "09_from_notebook_to_use": {"max_images": 1, "image_size": 32, "repeats": 1, "windows": 1},
    "10_solar_cells": {"image_size": 32, "full_size": 32, "repeats": 1, "cracks": 1},
    "11_vision_transformer": {"image_size": 16, "batch_size": 2, "dim": 4, "depth": 1},
}


# Cells of notebook 07 that start other processes; the test with tiny parameters has them.
ONLY_ONCE = ("epochs-of-photos", "worker-start", "equivalence")


def write_photographs(folder, classes):
    """Write two classes of 8 photographs, or many classes of 10, with names of all kinds."""
    names = ["große Vögel", "Autos & more", *(f"kind {number}" for number in range(2, classes))]
    if classes == 2:
        for name, old in zip(names, ("birds", "vehicles"), strict=True):
            shutil.copytree(PHOTOS / old, folder / name)
        return
    photographs = sorted(prepare_dataset("cutouts").rglob("*.webp"))
    for index, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for path in photographs[index * 10 : index * 10 + 10]:
            shutil.copy(path, folder / name)


def test_every_notebook_is_tried_on_a_folder_of_images():
    assert list(OWN_IMAGES) == [path.stem for path in PATHS]


@pytest.mark.long
@pytest.mark.parametrize("name", OWN_IMAGES)
def test_it_runs_with_tiny_parameters_on_twelve_classes(name, elsewhere):
    write_photographs(elsewhere / FOLDER, classes=12)
    path = NOTEBOOKS / f"{name}.ipynb"
    nb = watched(nbformat.read(path, as_version=4))
    nb = run(path, nb, data=FOLDER, **OWN_IMAGES[name])
    write_notebook(nb, elsewhere / "page.html")
    rebound = nb.cells.pop().outputs[0].text
    assert rebound == "[]\n", "names that get another meaning"
    assert not list(rule_clean_outputs(nb, name))  # no warnings
    checks, feedback = printed(nb, "check"), printed(nb, "feedback")
    assert checks and all(": not tried yet" in said for said in checks.values())
    assert feedback and all(": no prediction yet." in said for said in feedback.values())


@pytest.mark.thorough
@pytest.mark.parametrize("name", OWN_IMAGES)
def test_solved_it_runs_with_the_smallest_parameters_on_two_classes(name, elsewhere):
    """With all solutions, every check passes."""
    write_photographs(elsewhere / FOLDER, classes=2)
    answers = read_answers(NOTEBOOKS.parent / "solutions" / f"{name}.py")
    path = NOTEBOOKS / f"{name}.ipynb"
    nb = solved(nbformat.read(path, as_version=4), answers)
    nb.cells = [cell for cell in nb.cells if cell.id not in ONLY_ONCE]
    for cell in nb.cells:  # without the packages of `deploy`
        if cell.id == "export":
            cell.source = cell.source.replace('"onnxscript"', '"not_installed"')
    values = {"data": FOLDER} | OWN_IMAGES[name] | SMALLEST[name]
    executed = run(path, nb, **values)
    checks = printed(executed, "check")
    assert checks == {exercise: f"{exercise}: passed\n" for exercise in checks} != {}
    assert not any("no prediction" in said for said in printed(executed, "feedback").values())


def test_a_changed_output_is_found(course, elsewhere):
    executed = elsewhere / "91.ipynb"
    text = nbformat.writes(run(course(), epochs=3)).replace("epochs 3", "epochs 4")
    executed.write_text(text, "utf-8")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    options = ["--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider", "--color=no"]
    again = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", ".", executed.name],
        cwd=executed.parent,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert again.returncode == 1
    assert re.search(r"1 failed, \d+ passed", again.stdout), again.stdout[-3000:]
