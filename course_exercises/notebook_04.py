"""The checks of notebook 04: gaps, a loop with a bug, early stopping, a diagnosis, a study."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F

from course_exercises.checks import Hint, NotTried, call, close, exercise, rounded, same, short
from course_exercises.reports import is_number, report_of

# 04.1: correcting the half-epoch shift

LOSSES = [
    ([2.0, 1.0, 0.6], [1.6, 0.9, 0.7]),
    ([2.1, 1.3, 0.9, 0.7, 0.6, 0.55], [1.6, 1.1, 0.9, 0.85, 0.8, 0.9]),
    ([3, 1], [2, 4]),
    ([1.5], [1.2]),
]
MISTAKES = {
    "You use the training loss of the next epoch, which is half an epoch too late; that of the "
    "epoch itself is half an epoch too early.": lambda a, b: b,
    "The sum of two losses is about twice the value between them.": lambda a, b: a + b,
    "You use half of the loss. Half an epoch is a distance on the x axis, not half of the "
    "loss.": lambda a, b: a / 2,
}


@exercise("04.1")
def check_gaps_at_epoch_end(answer: Any) -> None:
    """Test curves of several lengths, down to a single epoch."""
    results = [call(answer, list(train), list(val)) for train, val in LOSSES]
    unsolved = [_gaps(*losses, lambda a, b: a) for losses in LOSSES]
    if all(map(close, results, unsolved)):
        raise NotTried("the training loss is still the one from the middle of the epoch")
    for losses, gaps in zip(LOSSES, results, strict=True):
        wanted = _gaps(*losses, lambda a, b: (a + b) / 2)
        if close(gaps, wanted):
            continue
        for hint, at_the_end in MISTAKES.items():
            if close(gaps, _gaps(*losses, at_the_end)):
                raise Hint(f"For {losses}: {hint}")
        if close(gaps, -wanted):
            raise Hint("The sign is reversed: a gap is validation loss minus training loss.")
        shape, n = np.shape(gaps) if isinstance(gaps, np.ndarray | list) else (), len(losses[0])
        if shape != (n - 1,):
            raise Hint(
                f"For {n} epochs, the shape should be {(n - 1,)}, not {shape}: leave out the last."
            )
        raise Hint(f"For {losses} the gaps should be {rounded(wanted)}, not {rounded(gaps)}.")


def _gaps(train: list, val: list, at_the_end: Callable) -> np.ndarray:
    during = np.array(train, dtype=float)
    return np.array(val, dtype=float)[:-1] - at_the_end(during[:-1], during[1:])


# 04.2: train() before every epoch

EPOCHS = 3


@exercise("04.2")
def check_train_and_measure(answer: Any) -> None:
    """Check the mode in every batch, for a network given in either mode, and the losses."""
    modes, losses = _watch(answer, starts_in_training=True)
    unsolved_modes, unsolved_losses = _watch(_unsolved, starts_in_training=True)
    unsolved = modes == unsolved_modes
    if unsolved and close(losses, unsolved_losses, 1e-4):
        raise NotTried("in 3 epochs of 4 batches, batch norm counted 4 batches, not 12")
    if len(modes) != EPOCHS * 6:
        raise Hint(f"The network should be called {EPOCHS * 6} times, not {len(modes)} times.")
    _require_modes(modes, unsolved)
    modes, _ = _watch(answer, starts_in_training=False)
    if not all(modes[:4]):
        raise Hint(
            "If the network is given in eval mode, it is trained in eval mode in epoch 1: the loop "
            "must not rely on the mode in which it gets the network."
        )
    wanted = _watch(_solved, starts_in_training=True)[1]
    if not isinstance(losses, list) or len(losses) != EPOCHS:
        raise Hint(f"The modes are right now. Return a list of {EPOCHS} losses, one per epoch.")
    if not close(losses, wanted, 1e-4):
        raise Hint(
            f"The modes are right, but the validation losses should be {rounded(wanted)}, not "
            f"{rounded(losses)}. Apart from the mode, leave the loop as it was."
        )


def _require_modes(modes: list[bool], unsolved: bool) -> None:
    in_training, in_validation = np.split(np.array(modes).reshape(EPOCHS, 6), [4], axis=1)
    if unsolved:
        raise Hint(
            "The bug is still there: from epoch 2 on, the network is trained in eval mode. Go "
            "through two rounds of the loop and write down the mode after each line."
        )
    if not in_training.any() and in_validation.all():
        raise Hint("The two modes are swapped: the network is trained in eval mode.")
    if in_validation.any():
        raise Hint(
            "The network is trained in train mode now, but it is also validated in train mode: "
            "batch norm would use the validation images, and dropout would be on."
        )
    if not in_training.all():
        late = int(np.argmin(in_training.all(axis=1))) + 1
        raise Hint(f"In epoch {late}, batches are trained in eval mode. Which line sets it?")


def _watch(function: Any, starts_in_training: bool) -> tuple[list[bool], Any]:
    """Return the mode of every batch, and what the function returns."""
    generator = torch.Generator().manual_seed(4)
    points = torch.randn(30, 3, generator=generator)
    targets = (points[:, 0] > 0).long()
    train = [(points[i : i + 6], targets[i : i + 6]) for i in range(0, 24, 6)]
    val = [(points[24:28], targets[24:28]), (points[28:], targets[28:])]
    modes: list[bool] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).train(starts_in_training)
        net[0].register_forward_pre_hook(lambda layer, _: modes.append(layer.training))
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        show = "a small network, 4 training and 2 validation batches, its optimizer, 3 epochs"
        losses = call(function, net, train, val, optimizer, EPOCHS, show=show)
    return modes, losses


def _solved(net: nn.Module, *arguments: Any) -> list[float]:
    return _unsolved(net, *arguments, before_epoch=net.train)


def _unsolved(
    net: nn.Module,
    train: list,
    val: list,
    optimizer: Any,
    epochs: int,
    before_epoch: Callable = lambda: None,
) -> list[float]:
    net.train()
    losses = []
    for _ in range(epochs):
        before_epoch()
        for points, targets in train:
            optimizer.zero_grad()
            F.cross_entropy(net(points), targets).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            total = sum(F.cross_entropy(net(x), y).item() * len(y) for x, y in val)
        losses.append(total / sum(len(y) for _, y in val))
    return losses


# 04.3: early stopping

EQUAL = "A loss that only equals the lowest one is not lower: it is no progress."
IN_A_ROW = "A new lowest loss resets the count: the epochs must be in a row."
PREVIOUS = "A loss below the previous one is not enough: it must be below the lowest so far."
AFTER = "Losses after the stop must not be used: those epochs never happen."
PATIENCE = [  # losses, patience, result, and the results of typical mistakes
    ([3.0, 2.0, 2.5, 2.6, 2.7, 2.8, 1.0], 3, (2, 5), {(7, 5): AFTER, (7, 7): AFTER}),
    ([3.0, 2.0, 2.5, 2.4, 2.3, 1.0], 3, (2, 5), {(6, 6): PREVIOUS}),
    ([3.0, 2.0, 1.0], 2, (3, 3), {(3, 5): "There are only 3 epochs, so 3 is the last."}),
    ([1.0, 1.0, 1.0, 1.0], 2, (1, 3), {(4, 4): EQUAL, (1, 4): EQUAL}),
    ([3.0, 2.0, 2.5, 1.0, 1.5, 1.6, 0.5], 2, (4, 6), {(4, 5): IN_A_ROW, (7, 6): AFTER}),
    ([2.0, 1.0, 1.0, 1.5, 0.5], 2, (2, 4), {(3, 5): EQUAL, (5, 5): EQUAL}),
    ([2.0, 2.5, 1.0, 1.1, 0.9, 3.0], 1, (1, 2), {(3, 2): AFTER, (5, 2): AFTER}),
    ([0.7], 4, (1, 1), {}),
]


@exercise("04.3")
def check_stop_early(answer: Any) -> None:
    """Test runs that stop and that do not, equal losses, and a single epoch."""
    for losses, patience, wanted, mistakes in PATIENCE:
        given = list(losses)
        result = call(answer, given, patience)
        if given != losses:
            raise Hint("Your function changes the list that it was given.")
        if same(result, wanted):
            continue
        kept, last = wanted
        known = mistakes | {
            (last, kept): "The two are swapped: the epoch that is kept comes first.",
            (kept - 1, last - 1): "Python counts from 0, but epochs are counted from 1.",
            (kept - 1, last): "Both epochs are counted from 1, also the one that is kept.",
            (kept, last + 1): "It stops one epoch too late: count the epochs without progress.",
        }
        reasons = [hint for mistake, hint in known.items() if same(result, mistake)]
        reasons.append("Return two integers: the epoch kept, and the last one trained.")
        case = f"For {losses} and a patience of {patience}"
        raise Hint(f"{case}, the result should be {wanted}, not {short(result)}. {reasons[0]}")


# 04.4: a diagnosis

WORDS = ("overfitting", "underfitting", "too slow", "healthy")
NUDGES = {
    "overfitting": "Its validation loss has a minimum: how far above it does the curve end?",
    "underfitting": "How high is the last training loss, compared with half of chance level? And "
    "how much did it fall in the last epochs, compared with all before?",
    "too slow": "Its training loss is high, as in underfitting, but still falling at the end.",
    "healthy": "Its training loss ends below half of chance level; validation does not rise.",
}


@exercise("04.4")
def check_diagnose(answer: Any) -> None:
    """Test four kinds of curves for three numbers of classes, without and with noise."""
    for noise in (0.0, 0.01):
        for classes in (10, 2, 100):
            for name, train, val in _curves(classes, noise):
                show = f"a curve that shows {name!r}, with {classes} classes"
                word = call(answer, train, val, classes, show=show)
                if not any(same(word, known) for known in WORDS):
                    raise Hint(f"{short(word)} is not one of the words {', '.join(WORDS)}.")
                if word != name:
                    end = f"last losses: training {train[-1]:.2f}, validation {val[-1]:.2f}"
                    found = f"A curve that shows {name!r}, with {classes} classes ({end}), was "
                    raise Hint(f"{found}called {word!r}. {_nudge(name, classes, noise)}")


def _nudge(name: str, classes: int, noise: float) -> str:
    if noise:
        return (
            "Without noise, all diagnoses are right. With noise, the last loss is hardly ever the "
            "lowest, and a single epoch says little: compare means of several epochs, and allow "
            "for a margin."
        )
    if classes != 10:
        return (
            "With 10 classes, all diagnoses are right. A uniform prediction has the loss "
            f"{np.log(classes):.2f} here, so no fixed loss is low or high for all tasks."
        )
    return NUDGES[name]


def _curves(classes: int, noise: float) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield kind, training and validation losses; the noise is relative to chance level."""
    rng = np.random.default_rng(classes)
    for name, epochs in zip(WORDS, (40, 20, 20, 24), strict=True):
        epoch = np.arange(1, epochs + 1)
        fast = 0.85 * np.exp(-epoch / 3)
        for higher in (0.0, 0.15):
            train, val = {
                "overfitting": (0.01 + fast, 0.3 + fast + 0.01 * np.maximum(epoch - 8, 0)),
                "underfitting": (0.58 + higher + 0.3 * fast, 0.6 + higher + 0.3 * fast),
                "too slow": (1.0 - 0.014 * epoch, 1.005 - 0.014 * epoch),
                "healthy": (0.14 + higher + fast, 0.24 + higher + fast),
            }[name]
            noisy = (part + rng.normal(0, noise, epochs) for part in (train, val))
            yield name, *(np.log(classes) * np.maximum(part, 0.002) for part in noisy)


# 04.5: your own study

EXAMPLE = ([0.71, 0.72, 0.73, 0.74, 0.75], [0.70, 0.72, 0.74, 0.76, 0.78])
VERDICTS = ("better", "worse", "not decided")


@exercise("04.5")
def check_my_study(answer: Any) -> None:
    """Check the form, the accuracies, and that the verdict follows from the paired interval."""
    study = report_of(answer, "change", "baseline", "changed", "verdict")
    if not isinstance(study["change"], str) or len(study["change"].strip()) < 5:
        raise Hint("'change' should say in a few words what you changed.")
    baseline, changed = (_accuracies(key, study[key]) for key in ("baseline", "changed"))
    if len(baseline) != len(changed):
        raise Hint(
            f"The lists have {len(baseline)} and {len(changed)} accuracies: pairs need the same "
            "seeds, in the same order, in both lists."
        )
    if (baseline, changed) == EXAMPLE:
        raise Hint("These are the numbers of the example; use those of your own runs.")
    if sorted(baseline) == sorted(changed):
        raise Hint("Both lists contain the same values: was the change applied at all?")
    if not any(same(study["verdict"], word) for word in VERDICTS):
        raise Hint(
            f"The verdict is {short(study['verdict'])}; it should be one of {', '.join(VERDICTS)}. "
            "If the runs show no difference, equality is not proven."
        )
    low, high = _interval(changed, baseline)
    right, verdict = _verdict(low, high), study["verdict"]
    if verdict == right:
        return
    unpaired = stats.ttest_ind(changed, baseline, equal_var=False).confidence_interval(0.95)
    reason = "Look at the sign: the verdict is about the change, not the baseline."
    if verdict == _verdict(unpaired.low, unpaired.high):
        reason = (
            f"Your verdict fits the unpaired interval, {unpaired.low:+.4f} to "
            f"{unpaired.high:+.4f}. Both lists share their seeds: analyze the differences."
        )
    elif right == "not decided":
        reason = (
            "Zero is inside this interval, so the means may differ by chance alone: the numbers "
            f"do not show {verdict!r}."
        )
    elif verdict == "not decided":
        reason = "Zero is outside this interval, so the runs show a difference."
    raise Hint(
        f"The paired interval of changed minus baseline is {low:+.4f} to {high:+.4f}. {reason}"
    )


def _interval(changed: list[float], baseline: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of the paired differences; a point if all are equal."""
    differences = np.subtract(changed, baseline)
    if np.ptp(differences) < 1e-9:
        return differences[0], differences[0]
    interval = stats.ttest_rel(changed, baseline).confidence_interval(0.95)
    return interval.low, interval.high


def _verdict(low: float, high: float) -> str:
    return "better" if low > 0 else "worse" if high < 0 else "not decided"


def _accuracies(key: str, values: Any) -> list[float]:
    if type(values) not in (list, tuple) or not all(map(is_number, values)):
        raise Hint(f"{key!r} should be a list of numbers, one accuracy per seed.")
    if len(values) < 5:
        raise Hint(f"{key!r} has {len(values)} seeds; at least five are needed.")
    if not all(0 <= value <= 1 for value in values):
        raise Hint(f"The accuracies in {key!r} should be between 0 and 1. Are they in percent?")
    if len(set(values)) == 1:
        raise Hint(f"All values in {key!r} are equal: did every run have its own seed?")
    return list(values)
