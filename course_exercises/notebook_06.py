"""The checks of notebook 06: one writer, measuring without side effects, an alarm, evidence."""

from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from course_exercises.checks import (
    Hint,
    NotTried,
    call,
    close,
    exercise,
    first_line,
    kind,
    rounded,
    same,
    short,
)
from course_exercises.reports import is_count, is_number, report_of
from course_utils.errors import CourseError
from course_utils.tensorboard import read_logs
from course_utils.training import Callback

# 06.1: one writer for all batches

LOSSES = (0.5, 0.25, 1.5, 0.125, 2.0)  # exact in float32


@exercise("06.1")
def check_batch_logger(answer: Any) -> None:
    """Test two epochs, one of three batches and one of two."""
    if not (isinstance(answer, type) and issubclass(answer, Callback)):
        raise Hint(f"The class BatchLogger (a Callback) is expected, not a {kind(answer)}.")
    with TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name) / "logs"
        flush = SummaryWriter.flush
        with patch.object(SummaryWriter, "flush", autospec=True, side_effect=flush) as flushed:
            logger = _log_two_epochs(answer, folder)
        files = list(folder.rglob("*tfevents*"))
        try:
            frame = read_logs(folder)
        except CourseError:
            raise Hint("There is no file in the folder: is the writer closed at the end?") from None
        finally:
            writers = [value for value in vars(logger).values() if isinstance(value, SummaryWriter)]
            is_open = any(writer.all_writers for writer in writers)
            for writer in writers:
                writer.close()  # before its folder disappears
    steps, values = frame["step"].tolist(), frame["value"].tolist()
    if len(files) == len(LOSSES) and not any(steps):
        raise NotTried
    if len(files) > 1:
        raise Hint(
            f"Two epochs with {len(LOSSES)} batches left {len(files)} event files instead of one: "
            "create the writer once, before the first batch."
        )
    if not values or (is_open and not flushed.called):
        raise Hint(
            "After the training run, values may be missing: is the writer closed at the end?"
        )
    if set(frame["tag"]) != {"loss"} or set(frame["run"]) != {"."}:
        raise Hint(f"The tag should be 'loss', in the folder itself; found {set(frame['tag'])}.")
    if steps == [1, 2, 3, 1, 2]:
        raise Hint("The steps start again in the second epoch: count the batches of all epochs.")
    if steps != [1, 2, 3, 4, 5]:
        raise Hint(f"The five batches are logged at the steps {steps}, not at 1 to 5.")
    if values != list(LOSSES):
        raise Hint(f"The losses were {list(LOSSES)}, but {rounded(values)} were logged.")


def _log_two_epochs(answer: type, folder: Path) -> Callback:
    """Create a callback, call it as `fit` does, and return it."""
    state = SimpleNamespace(history=[], train_loader=[0, 0, 0], epochs=2)
    try:
        logger = answer(folder)
        logger.on_train_begin(state)
        for losses in (LOSSES[:3], LOSSES[3:]):
            for loss in losses:
                logger.on_batch_end(state, loss)
            state.history.append({})
            logger.on_epoch_end(state)
        logger.on_train_end(state)
    except Exception as error:
        raise Hint(f"In a training run of two epochs, it raises {first_line(error)}") from None
    return logger


# 06.2: a measurement that changes what it measures


@exercise("06.2")
def check_measure_accuracy(answer: Any) -> None:
    """Test a network with batch norm, first in train mode, then in eval mode."""
    for training in (True, False):
        with torch.random.fork_rng(devices=[]):
            net = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2, bias=False)).train(training)
        net[1].weight.data = torch.tensor([[-1.0], [1.0]])  # in eval mode, 1 for positive inputs
        before = net[0].running_mean.clone()
        case = f"a network in {'train' if training else 'eval'} mode, four images, their labels"
        images = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        accuracy = call(answer, net, images, torch.tensor([1, 1, 1, 0]), show=case)
        if not torch.equal(net[0].running_mean, before):
            raise Hint(
                "The network predicts in train mode: batch norm uses the statistics of these "
                "images and updates its running mean."
            )
        if not close(accuracy, 0.75):
            raise Hint(f"For ({case}), the accuracy should be 0.75, not {accuracy}.")
        if all(part.training == training for part in net.modules()):
            continue
        if net.training == training:
            raise Hint(
                "net.training is as it was, but the layers inside are still in the wrong mode. "
                "Which method of the network sets the mode of all layers?"
            )
        if training:
            raise NotTried("the accuracy is right, but a net in train mode is left in eval mode")
        raise Hint("A network in eval mode is left in train mode: what was its mode before?")


# 06.3: parameters that have a gradient, and no step

NAMES = ("moved", "forgotten", "frozen", "dead", "nudged", "partly")
REASONS = {
    "moved": "'moved' has new values.",
    "frozen": "'frozen' has no gradient (None): it was frozen on purpose.",
    "dead": "all values of the gradient of 'dead' are zero, so nothing had to change.",
    "nudged": "'nudged' changed by a millionth, so it does not have exactly its old values.",
    "partly": "only some values of 'partly' are the old ones; all must be.",
}


@exercise("06.3")
def check_not_updated(answer: Any) -> None:
    """Test six parameters after a step that should have changed one more of them."""
    net = nn.ParameterDict({name: torch.tensor([1.0, -1.0, 1.0]) for name in NAMES})
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    steps = {"moved": [0.1] * 3, "nudged": [1e-6] * 3, "partly": [0.0, 0.1, 0.1]}
    with torch.no_grad():
        for name, parameter in net.items():
            parameter += torch.tensor(steps.get(name, [0.0] * 3))
            parameter.grad = torch.tensor([0.0, 2.0, -2.0] if name != "dead" else [0.0] * 3)
    net["frozen"].grad = None
    case = "a network with the parameters " + ", ".join(NAMES)
    found = call(answer, net, deepcopy(before), show=case)
    if not isinstance(found, list | tuple | set) or not all(type(name) is str for name in found):
        raise Hint(f"A list of names is expected, not {short(found)}.")
    for name in REASONS:
        if name in found:
            raise Hint(f"{name!r} should not be reported: {REASONS[name]}")
    if list(found) != ["forgotten"]:
        raise Hint(
            "'forgotten' has the gradient [0, 2, -2] and its old values: report it. "
            f"Your result is {short(found)}."
        )


# 06.4: the best of many runs

# Each typical mistake finds a different run.
RUNS = [
    ("huge/train", "accuracy", (0.9, 1.0)),
    ("huge/val", "accuracy", (0.3, 0.4)),
    ("interval", "accuracy", (0.97, 0.98)),
    ("large/val", "accuracy", (0.78, 0.8)),
    ("medium/val", "accuracy", (0.5, 0.5)),
    ("medium/val", "loss", (7.0, 9.0)),
    ("small/val", "accuracy", (0.9, 0.6)),
    ("small/val", "loss", (2.0, 3.0)),
]
SWEEP = [("sweep/a/val", "accuracy", (0.1, 0.2)), ("sweep/b/val", "accuracy", (0.1, 0.3))]
WHY_NOT = {
    "small/val": "The run is right, but not its name: remove the '/val'.",
    "sm": "rstrip removes letters, of 'small/val' all but 'sm'. Which method removes a word?",
    "huge": "'huge' has the highest training accuracy. Which has the highest validation accuracy?",
    "interval": "The run 'interval' ends in 'val', but not in '/val': it is not a validation run.",
    "large": "'large' is best in the last epoch and on average. Which is best in any epoch?",
    "medium": "'medium' has the highest loss. Use only one of the tags.",
}


@exercise("06.4")
def check_best_run(answer: Any) -> None:
    """Test runs that are best in a different sense, then runs in a subfolder."""
    for runs, wanted in [(RUNS, "small"), (SWEEP, "sweep/b")]:
        rows = [
            (run, tag, step, 1e9 + step, value)
            for run, tag, values in runs
            for step, value in enumerate(values, start=1)
        ]
        frame = pd.DataFrame(rows, columns=["run", "tag", "step", "wall_time", "value"])
        case = "a frame with the runs " + ", ".join(dict.fromkeys(run for run, _, _ in runs))
        found = call(answer, frame, show=case)
        if same(found, wanted):
            continue
        if not isinstance(found, str):
            raise Hint(f"The name of a run (a string) is expected, not a {kind(found)}.")
        known = WHY_NOT.get(found) or WHY_NOT.get(found.removesuffix("/val").removesuffix("/train"))
        raise Hint(known or f"For {case}, you return {found!r}: remove only the end of the name.")


# 06.5: evidence for the learner's bug

EVIDENCE = ("bug", "tag", "healthy", "broken", "epoch")
EXAMPLE = ([1.35, 0.9, 0.8], [1.3, 2.3, 2.3])


@exercise("06.5")
def check_evidence(answer: Any) -> None:
    """Check the form, and that the epoch fits the numbers."""
    report = report_of(answer, *EVIDENCE)
    healthy, broken, epoch = report["healthy"], report["broken"], report["epoch"]
    for key in ("bug", "tag"):
        if type(report[key]) is not str or len(report[key].strip()) < 3:
            raise Hint(f'"{key}" should say in words what it is, not {short(report[key])}.')
    for key in ("healthy", "broken"):
        values = report[key]
        if not isinstance(values, list | tuple) or len(values) < 2 or not all(map(_is_log, values)):
            raise Hint(f'"{key}" should be a list of numbers, one per epoch (two or more).')
    if len(healthy) != len(broken):
        raise Hint(
            f'"healthy" has {len(healthy)} epochs, "broken" {len(broken)}: log the same number.'
        )
    if (list(healthy), list(broken)) == EXAMPLE:
        raise Hint("These are the numbers of the example; use those of your own logs.")
    if not is_count(epoch) or not 1 <= epoch <= len(healthy):
        raise Hint(f'"epoch" should be an integer from 1 to {len(healthy)}, not {short(epoch)}.')
    visible = [_is_apart(healthy[start:], broken[start:]) for start in range(len(healthy))]
    if not visible[epoch - 1]:
        raise Hint(
            f"From epoch {epoch} on, the healthy values are {rounded(healthy[epoch - 1 :])} and "
            f"the broken ones {rounded(broken[epoch - 1 :])}: they overlap, so the bug is not "
            "visible. Choose a later epoch, or another quantity."
        )
    if (first := visible.index(True) + 1) < epoch:
        raise Hint(f"The bug is visible earlier: from epoch {first} on, the values do not overlap.")


def _is_log(value: Any) -> bool:
    """Return whether a value is a number; a loss may also be NaN or infinite."""
    return is_number(value) or type(value) is float


def _is_apart(healthy: list[float], broken: list[float]) -> bool:
    """Return whether all broken values are above, or all below, the healthy ones, or NaN."""
    if not np.isfinite(healthy).all():
        return False
    rest = [value for value in broken if not np.isnan(value)]
    return not rest or min(rest) > max(healthy) or max(rest) < min(healthy)
