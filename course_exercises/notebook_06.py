"""The checks of notebook 06: charts and runs, a measuring instrument, smoothing, costs."""

import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_exercises import Hint, NotTried, call, close, exercise, same
from course_utils.tensorboard import LogError, read_logs

# 06.1: two lines in one chart


@exercise("06.1")
def check_one_chart(answer: Any) -> None:
    """The first epoch and a later one, with losses that 32 bits hold exactly."""
    for epoch, train_loss, val_loss in [(1, 0.25, 0.5), (7, 1.5, 0.125)]:
        case = f"folder, {epoch}, {train_loss}, {val_loss}"
        points = _logged(answer, epoch, train_loss, val_loss, show=case)
        train = ("train", "loss", epoch, train_loss)
        if points == [train]:
            raise NotTried
        if train not in points:
            raise Hint(f"For ({case}) the training loss is no longer in the log as it was before.")
        others = [point for point in points if point != train]
        if len(others) == 1:
            _require_val(others[0], ("val", "loss", epoch, val_loss), case)
            continue
        raise Hint(f"For ({case}) there should be two values in the log; there are {len(points)}.")


def _logged(answer: Any, *values: float, show: str) -> list[tuple]:
    """Give (run, tag, step, value) of all that a function writes into an empty folder."""

    def write(folder: Path) -> bool:
        answer(folder, *values)
        return True

    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        call(write if callable(answer) else answer, Path(folder), show=show)
        try:
            frame = read_logs(folder)
        except LogError:
            raise Hint(f"For ({show}) your function writes no log below the folder.") from None
    return list(frame[["run", "tag", "step", "value"]].itertuples(index=False, name=None))


def _require_val(point: tuple, wanted: tuple, case: str) -> None:
    run, tag, step, value = point
    if run.startswith("val/"):
        raise Hint(f"The loss is in a run called {run!r}: add_scalars made it. Is it needed?")
    if run != wanted[0]:
        raise Hint(f"Both values are in the run {run!r}: which writer is open here?")
    if tag != wanted[1]:
        raise Hint(f"The tags 'loss' and {tag!r} make two charts: a tag is a chart.")
    if step != wanted[2]:
        raise Hint(f"For ({case}) the validation loss stands at step {step}, not at {wanted[2]}.")
    if value != wanted[3]:
        raise Hint(f"For ({case}) the line of val holds {value}, not {wanted[3]}.")


# 06.2: a measurement that changes what it measures


@exercise("06.2")
def check_measure_accuracy(answer: Any) -> None:
    """A network in train mode and one in eval mode, with batch norm, which works differently."""
    for training in (True, False):
        net, images = _small_net().train(training), torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        before = net[0].running_mean.clone()
        mode = "train" if training else "eval"
        case = f"a net in {mode} mode, four images, their labels"
        share = call(answer, net, images, torch.tensor([1, 1, 1, 0]), show=case)
        if not torch.equal(net[0].running_mean, before):
            raise Hint(
                "The network predicts in train mode: batch norm takes the statistics of these "
                "images, and its running mean has moved."
            )
        if not close(share, 0.75):
            raise Hint(f"For ({case}) three of four are right; your function gives {share}.")
        if any(part.training != training for part in net.modules()):
            if net.training == training:
                raise Hint(
                    "net.training is as it was, but the layers inside are still in another mode: "
                    "a method of the net sets all of them."
                )
            if training:
                raise NotTried("it measures right, and leaves a net in eval mode that was training")
            raise Hint("A net in eval mode is in train mode afterwards: what was it before?")


def _small_net() -> nn.Module:
    """In eval mode it answers 1 for positive numbers."""
    with torch.random.fork_rng(devices=[]):
        net = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 2, bias=False))
    net[1].weight.data = torch.tensor([[-1.0], [1.0]])
    return net


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
        if not isinstance(found, Sequence | np.ndarray | pd.Series) or isinstance(found, str):
            raise Hint(f"For ({case}) a list is wanted; your function gives {_kind(found)}.")
        if len(found) != len(values):
            raise Hint(f"{len(found)} values came out of {len(values)}: one for each step, please.")
        if not close(found, _smoothed(values, weight)):
            raise Hint(_why_not_smooth(found, values, weight))


def _smoothed(values: Sequence[float], weight: float) -> list[float]:
    return _averages(values, weight) / (1 - weight ** np.arange(1, len(values) + 1))


def _averages(values: Sequence[float], weight: float, start: float = 0) -> np.ndarray:
    averages = [start]
    for value in values:
        averages.append(weight * averages[-1] + (1 - weight) * value)
    return np.array(averages[1:])


def _why_not_smooth(found: Any, values: Sequence[float], weight: float) -> str:
    again, shown = 0.0, []
    for n, value in enumerate(values, start=1):
        again = (weight * again + (1 - weight) * value) / (1 - weight**n)
        shown.append(again)
    reasons = [
        (_averages(values, weight), "The first values are too small: they still feel the 0."),
        (_averages(values, weight, values[0]), "The average starts at 0, not at the first value."),
        (shown, "What is shown and what is carried on are two things: only the one is divided."),
        (_smoothed(values, 1 - weight), "The old average has the weight, the new value the rest."),
        (_smoothed(values, 0.6), f"This is right for a weight of 0.6, but here it is {weight}."),
    ]
    for wrong, reason in reasons:
        if close(found, wrong):
            return reason
    wanted = np.round(_smoothed(values, weight), 3).tolist()
    return f"For ({values}, weight={weight}) the first two should be {wanted[:2]}; see the formula."


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
WHY_NOT = {
    "small/val": "The run is right, its name is not: cut off the '/val'.",
    "sm": "rstrip cuts off letters, of 'small/val' all but 'sm'; another method cuts off a word.",
    "huge": "That is a training accuracy: 'huge/train'. Validation is asked for.",
    "interval": "The run 'interval' ends in 'val', but not in '/val': it is no validation.",
    "large": "'large' is best in its last epoch, and on average. Which single epoch is best?",
    "medium": "'medium' has the highest loss. Look at one tag only.",
}


@exercise("06.4")
def check_best_run(answer: Any) -> None:
    """Runs that are best in some other way, then one in a folder of its own."""
    for runs, wanted in [
        (RUNS, "small"),
        (
            [("sweep/a/val", "accuracy", (0.1, 0.2)), ("sweep/b/val", "accuracy", (0.1, 0.3))],
            "sweep/b",
        ),
    ]:
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
            raise Hint(f"The name of a run is wanted, a string; you give {_kind(found)}.")
        known = WHY_NOT.get(found) or WHY_NOT.get(found.removesuffix("/val").removesuffix("/train"))
        raise Hint(known or f"For {case} you give {found!r}: cut off only the end.")


# 06.5: a plan for the logging of a long training

KINDS = ("scalar", "histogram", "matrix")
LIMITS = {"seconds": 100, "megabytes": 100}
# Loss and accuracy of two sets in each of 50 epochs; weights and gradients of 60 tensors, twice;
# two matrices.
LEAST = {"scalar": 200, "histogram": 240, "matrix": 2}
AT_A_TIME = {"scalar": 1, "histogram": 120, "matrix": 1}


@exercise("06.5")
def check_logging_plan(answer: Any) -> None:
    """The form, the costs of once, how often, the sums, the limits, and the conclusion."""
    if not isinstance(answer, dict):
        raise Hint(f"The plan is a dict; this is {_kind(answer)}.")
    entries = ("milliseconds", "kilobytes", "times", "seconds", "megabytes", "scarce")
    missing = [key for key in entries if key not in answer]
    if missing:
        raise Hint(f"The plan lacks {missing[0]!r}.")
    for key in ("milliseconds", "kilobytes", "times"):
        _require_numbers(answer[key], key)
    _require_plausible(answer["milliseconds"], answer["kilobytes"])
    _require_times(answer["times"])
    parts = _require_sums(answer)
    if answer["scarce"] not in ("time", "disk"):
        raise Hint("Under 'scarce' write 'time' or 'disk'.")
    scarce = "time" if parts["seconds"] > parts["megabytes"] else "disk"
    if not same(answer["scarce"], scarce):
        raise Hint(
            f"Your plan takes {parts['seconds']:.0%} of the time allowed and "
            f"{parts['megabytes']:.0%} of the disk: which of them will run out first?"
        )


def _require_numbers(numbers: Any, key: str) -> None:
    if not isinstance(numbers, dict) or sorted(map(str, numbers)) != sorted(KINDS):
        raise Hint(f"{key!r} must be a dict with one number each for {', '.join(KINDS)}.")
    for kind, number in numbers.items():
        if not _is_positive(number):
            raise Hint(f"{key!r} of {kind} must be a number over 0, not {number!r}.")


def _require_plausible(milliseconds: dict, kilobytes: dict) -> None:
    if not milliseconds["scalar"] < milliseconds["histogram"] < milliseconds["matrix"]:
        raise Hint("In section 9 a scalar was the quickest, a matrix the slowest; not so here.")
    if not 0.02 <= kilobytes["scalar"] <= 0.2:
        raise Hint(
            f"A scalar of {kilobytes['scalar']} kB? It is a number, a step, a time and a tag: some "
            "dozens of bytes. Mind the unit."
        )
    if kilobytes["histogram"] < 5 * kilobytes["scalar"]:
        raise Hint("A histogram has hundreds of bars; on disk it cannot be as small as that.")


def _require_times(times: dict) -> None:
    for kind in KINDS:
        if times[kind] < LEAST[kind]:
            raise Hint(f"{times[kind]} × {kind} is too few: the least is {LEAST[kind]}.")
        if times[kind] != int(times[kind]) or times[kind] % AT_A_TIME[kind]:
            raise Hint(f"{times[kind]} × {kind} is no multiple of {AT_A_TIME[kind]}.")


def _require_sums(answer: dict) -> dict[str, float]:
    """Require sums that agree with the parts and keep the limits; give the used share of each."""
    shares = {}
    for key, unit in (("seconds", "milliseconds"), ("megabytes", "kilobytes")):
        total = sum(answer[unit][kind] * answer["times"][kind] for kind in KINDS) / 1000
        given = answer[key]
        if not _is_positive(given):
            raise Hint(f"{key!r} must be a number over 0, not {given!r}.")
        if close(given, total * 1000, total * 50):
            raise Hint(f"{key!r} is a thousand times too large: mind the unit.")
        if not close(given, total, 0.02 * total + 0.05):
            raise Hint(f"Your costs times your numbers make {total:.1f} {key}, not {given}.")
        if given > LIMITS[key] or total > LIMITS[key]:
            dearest = max(KINDS, key=lambda k: answer[unit][k] * answer["times"][k])
            raise Hint(
                f"{total:.1f} {key} are over the limit of {LIMITS[key]}; most goes to: {dearest}."
            )
        shares[key] = total / LIMITS[key]
    return shares


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
