"""Many notebooks on one machine, a long training, and the package without its repository."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import psutil
import pytest
import torch
from test_training import loaders, network

from course_utils.tensorboard import TensorBoardLogger
from course_utils.training import Callback, fit
from tools.notebooks import THREAD_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")


def said(path):
    """All that the cells of an executed notebook printed, of each cell that is compared."""
    nb = nbformat.read(path, as_version=4)
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    cells = [c for c in cells if "nbval-ignore-output" not in c.metadata.get("tags", ())]
    return ["".join(out.get("text", "") for out in cell.outputs) for cell in cells]


@pytest.mark.thorough
def test_ten_learners_run_the_same_notebook_at_once(tmp_path):
    command = [sys.executable, "-m", "course_utils", "run", "--only", "06", "--tiny"]
    learners = {}
    for number in range(10):
        folder = tmp_path / f"learner {number}"
        folder.mkdir()
        environment = os.environ | ONE_THREAD | {"COURSE_OUTPUT": str(folder)}
        with open(folder / "log.txt", "w") as log:
            learners[folder] = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log
            )
    failed = [
        (folder / "log.txt").read_text("utf-8")
        for folder, process in learners.items()
        if process.wait(timeout=900) != 0
    ]
    assert not failed, "\n".join(failed)
    outputs = [said(path) for path in tmp_path.glob("*/executed/06_tensorboard.ipynb")]
    assert outputs == outputs[:1] * 10


@pytest.mark.thorough
def test_fifty_epochs_with_every_figure_need_no_more_memory_than_ten(tmp_path):
    class Measure(Callback):
        def __init__(self):
            self.mebibytes = []

        def on_epoch_end(self, run):
            gc.collect()  # what merely waits for it is no leak
            self.mebibytes.append(psutil.Process().memory_info().rss / 2**20)

    train_loader, val_loader = loaders()
    logger = TensorBoardLogger(tmp_path, {"val": val_loader}, every=1)
    model, measure = network(), Measure()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, train_loader, val_loader, optimizer, 50, callbacks=[logger, measure])
    assert measure.mebibytes[-1] < measure.mebibytes[9] + 20, measure.mebibytes
    assert plt.get_fignums() == []
