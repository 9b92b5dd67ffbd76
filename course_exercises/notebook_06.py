"""The checks of notebook 06: charts and runs, measuring without side effects, smoothing, costs."""

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_exercises.checks import Hint, NotTried, call, close, exercise, explain, kind, same
from course_exercises.reports import is_number, report_of, require_word
from course_utils.errors import CourseError
from course_utils.tensorboard import read_logs

# 06.1: two lines in one chart


@exercise("06.1")
def check_one_chart(answer: Any) -> None:
    """The first epoch and a later one, with losses that 32 bits hold exactly."""
    for epoch, train_loss, val_loss in [(1, 0.25, 0.5), (7, 1.5, 0.125)]:
        case = f"For (folder, {epoch}, {train_loss}, {val_loss})"
        points = _logged(answer, epoch, train_loss, val_loss)
        train = ("train", "loss", epoch, train_loss)
        if points == [train]:
            raise NotTried
        if train not in points:
            raise Hint(f"{case} the training loss is no longer in the log as it was before.")
        if len(points) != 2:
            raise Hint(f"{case} there should be two values in the log; there are {len(points)}.")
        [(run, tag, step, value)] = [point for point in points if point != train]
        if run.startswith("val/"):
            raise Hint(f"The loss is in a run called {run!r}: add_scalars made it. Is it needed?")
        if run != "val":
            raise Hint(f"Both values are in the run {run!r}: which writer is open here?")
        if tag != "loss":
            raise Hint(f"The tags 'loss' and {tag!r} make two charts: a tag is a chart.")
        if step != epoch:
            raise Hint(f"{case} the validation loss is at step {step}, not at {epoch}.")
        if value != val_loss:
            raise Hint(f"{case} the line of val holds {value}, not {val_loss}.")


def _logged(answer: Any, *values: float) -> list[tuple]:
    """Return (run, tag, step, value) of all that a function writes into an empty folder."""
    show = ", ".join(["folder", *map(str, values)])

    def write(folder: Path) -> bool:
        answer(folder, *values)
        return True

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        call(write if callable(answer) else answer, Path(folder), show=show)
        try:
            frame = read_logs(folder)
        except CourseError:
            raise Hint(f"For ({show}) your function writes no log below the folder.") from None
    return list(frame[["run", "tag", "step", "value"]].itertuples(index=False, name=None))


# 06.2: a measurement that changes what it measures


@exercise("06.2")
def check_measure_accuracy(answer: Any) -> None:
    """A network in train mode and one in eval mode, with batch norm, which works differently."""
    for training in (True, False):
        with torch.random.fork_rng(devices=[]):
            net = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2, bias=False)).train(training)
        net[1].weight.data = torch.tensor([[-1.0], [1.0]])  # in eval mode, 1 for positive inputs
        before = net[0].running_mean.clone()
        case = f"a net in {'train' if training else 'eval'} mode, four images, their labels"
        images = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        accuracy = call(answer, net, images, torch.tensor([1, 1, 1, 0]), show=case)
        if not torch.equal(net[0].running_mean, before):
            raise Hint(
                "The network predicts in train mode: batch norm takes the statistics of these "
                "images, and its running mean has moved."
            )
        if not close(accuracy, 0.75):
            raise Hint(f"For ({case}) three of four are right; your function returns {accuracy}.")
        if all(part.training == training for part in net.modules()):
            continue
        if net.training == training:
            raise Hint(
                "net.training is as it was, but the layers inside are still in another mode: a "
                "method of the net sets all of them."
            )
        if training:
            raise NotTried("it measures right, and leaves a net in eval mode that was training")
        raise Hint("A net in eval mode is in train mode afterwards: what was it before?")


# 06.3: the smoothing slider


@exercise("06.3")
def check_smooth(answer: Any) -> None:
    """Several weights, none, and a single value."""
    for values, weight in [
        ([1.0, 0.5, 0.75, 0.25, 0.3], 0.6),
        ([4.0, 2.0, 2.0, 8.0], 0.9),
        ([3.0, 1.0], 0.0),
        ([5.0], 0.5),
    ]:
        case = f"{values}, weight={weight}"
        found = call(answer, list(values), weight, show=case)
        if not isinstance(found, Sequence | np.ndarray | pd.Series):
            raise Hint(f"For ({case}) a list is expected; your function returns a {kind(found)}.")
        if len(found) != len(values):
            raise Hint(f"{len(found)} values came out of {len(values)}: one for each step, please.")
        if not close(found, _smoothed(values, weight)):
            _explain_smoothing(found, values, weight)


def _smoothed(values: Sequence[float], weight: float) -> np.ndarray:
    return _averages(values, weight) / (1 - weight ** np.arange(1, len(values) + 1))


def _averages(values: Sequence[float], weight: float, start: float = 0) -> np.ndarray:
    averages = [start]
    for value in values:
        averages.append(weight * averages[-1] + (1 - weight) * value)
    return np.array(averages[1:])


def _explain_smoothing(found: Any, values: Sequence[float], weight: float) -> None:
    again, shown = 0.0, []
    for n, value in enumerate(values, start=1):
        again = (weight * again + (1 - weight) * value) / (1 - weight**n)
        shown.append(again)
    mistakes = [
        (_averages(values, weight), "the first values are too small: they still contain the 0."),
        (_averages(values, weight, values[0]), "the average starts at 0, not at the first value."),
        (shown, "what is shown and what is carried on are two things: only the one is divided."),
        (_smoothed(values, 1 - weight), "the old average has the weight, the new value the rest."),
        (_smoothed(values, 0.6), f"this is right for a weight of 0.6, but here it is {weight}."),
    ]
    wanted = np.round(_smoothed(values, weight), 3).tolist()
    otherwise = f"the first two should be {wanted[:2]}; see the formula."
    explain(found, f"For ({values}, weight={weight})", mistakes, otherwise)


# 06.4: the best of many runs

# Each mistake finds a run of its own.
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
    "small/val": "The run is right, its name is not: cut off the '/val'.",
    "sm": "rstrip cuts off letters, of 'small/val' all but 'sm'; another method cuts off a word.",
    "huge": "That is a training accuracy: 'huge/train'. Validation is asked for.",
    "interval": "The run 'interval' ends in 'val', but not in '/val': it is not a validation run.",
    "large": "'large' is best in its last epoch, and on average. Which single epoch is best?",
    "medium": "'medium' has the highest loss. Look at one tag only.",
}


@exercise("06.4")
def check_best_run(answer: Any) -> None:
    """Runs that are best in some other way, then one in a folder of its own."""
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
            raise Hint(f"The name of a run is expected, a string; you return a {kind(found)}.")
        known = WHY_NOT.get(found) or WHY_NOT.get(found.removesuffix("/val").removesuffix("/train"))
        raise Hint(known or f"For {case} you return {found!r}: cut off only the end.")


# 06.5: a plan for the logging of a long training run

LIMITS = {"seconds": 100, "megabytes": 100}
# Loss and accuracy of two sets in each of 50 epochs; weights and gradients of 60 tensors, twice;
# two matrices.
LEAST = {"scalar": 200, "histogram": 240, "matrix": 2}
AT_A_TIME = {"scalar": 1, "histogram": 120, "matrix": 1}


@exercise("06.5")
def check_logging_plan(answer: Any) -> None:
    """The form, the costs of each kind, how often, the sums, the limits, and the conclusion."""
    plan = report_of(answer, "milliseconds", "kilobytes", "times", "seconds", "megabytes", "scarce")
    for key in ("milliseconds", "kilobytes", "times"):
        numbers = report_of(plan[key], *LEAST, name=key)
        for name in LEAST:
            _require_positive(numbers[name], f"{key!r} of {name}")
    _require_plausible(plan["milliseconds"], plan["kilobytes"])
    for name, least in LEAST.items():
        count = plan["times"][name]
        if count < least:
            raise Hint(f"{count} × {name} is too few: the least is {least}.")
        if count != int(count) or count % AT_A_TIME[name]:
            raise Hint(f"{count} × {name} is not a multiple of {AT_A_TIME[name]}.")
    used = {
        "time": _used(plan, "seconds", "milliseconds"),
        "disk": _used(plan, "megabytes", "kilobytes"),
    }
    because = f"it takes {used['time']:.0%} of the time allowed and {used['disk']:.0%} of the disk"
    because += ": which of them will run out first?"
    require_word(plan, "scarce", used, "time" if used["time"] > used["disk"] else "disk", because)


def _require_positive(number: Any, what: str) -> None:
    if not is_number(number) or number <= 0:
        raise Hint(f"{what} must be a number over 0, not {number!r}.")


def _require_plausible(milliseconds: dict, kilobytes: dict) -> None:
    if not milliseconds["scalar"] < milliseconds["histogram"] < milliseconds["matrix"]:
        raise Hint("In section 9 a scalar was the fastest, a matrix the slowest; not so here.")
    if not 0.02 <= kilobytes["scalar"] <= 0.2:
        raise Hint(f"A scalar of {kilobytes['scalar']} kB? It takes some bytes: mind the unit.")
    if kilobytes["histogram"] < 5 * kilobytes["scalar"]:
        raise Hint("A histogram has hundreds of bars; on disk it cannot be as small as that.")


def _used(plan: dict, key: str, unit: str) -> float:
    """Require a sum that agrees with its parts and keeps the limit; return the used fraction."""
    parts = {name: plan[unit][name] * plan["times"][name] / 1000 for name in LEAST}
    total, given = math.fsum(parts.values()), plan[key]
    _require_positive(given, repr(key))
    if close(given, total * 1000, total * 50):
        raise Hint(f"{key!r} is a thousand times too large: mind the unit.")
    if not close(given, total, 0.02 * total + 0.05):
        raise Hint(f"Your costs times your numbers make {total:.1f} {key}, not {given}.")
    if given > LIMITS[key] or total > LIMITS[key]:
        most = max(parts, key=parts.get)
        raise Hint(f"{total:.1f} {key} are over the limit of {LIMITS[key]}; most goes to: {most}.")
    return total / LIMITS[key]
