"""The checks of notebook 03: names of weights, batch norm, warm-up, reports on other images."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from scipy.stats import binomtest
from torch import nn
from torch.nn.functional import cross_entropy

from course_exercises.checks import Hint, NotTried, call, close, exercise, kind, rounded, short
from course_exercises.reports import is_count, is_number, report_of, require_fraction, require_word
from course_utils.evaluation import accuracy_interval

# 03.1: the names that a file lacks


@exercise("03.1")
def check_missing_names(answer: Any) -> None:
    """Some names in common, none, all; the file with more; the same names in another order."""
    for own, given in [
        ({"a": 1, "b": 2, "c": 3}, {"b": 5, "d": 6}),
        ({"x.weight": 1, "x.bias": 2}, {"_x.weight": 1, "_x.bias": 2}),
        ({"a": 1, "b": 2}, {"b": 1, "a": 2, "z": 3}),
        ({"a": 1, "b": 2}, {}),
        ({}, {"a": 1}),
    ]:
        case = f"a network with {_listed(own)} and a file with {_listed(given)}"
        _require_names(call(answer, dict(own), dict(given), show=case), own, given, case)


def _require_names(found: Any, own: dict, given: dict, case: str) -> None:
    missing, unexpected = own.keys() - given.keys(), given.keys() - own.keys()
    if type(found) in (list, tuple) and sorted(map(str, found)) == sorted(missing):
        raise Hint(f"These are the right names, but as a {kind(found)}: make it a set.")
    if type(found) is not set or not all(type(name) is str for name in found):
        raise Hint(f"For {case} the result should be a set of names, not {short(found)}.")
    if found == missing:
        return
    reason = f"it should be {_listed(missing)}."
    if found == unexpected:
        reason = "that is in the file and not in the network: these are *unexpected*."
    elif found == missing | unexpected:
        reason = "some of it is only in the file; the network does not miss that."
    elif found and found == own.keys() & given.keys():
        reason = "that is in both, so it can be loaded. What can not?"
    raise Hint(f"For {case} you return {_listed(found)}; {reason}")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"


# 03.2: an epoch for the head, with a backbone that must not change


@exercise("03.2")
def check_head_epoch(answer: Any) -> None:
    """Backbone frozen and in eval mode, statistics unchanged; head in train mode, and changed."""
    show = "a network, two batches of images and labels, an optimizer for the head"
    before = _epoch(lambda net, *_: net)[0].state_dict()
    unsolved = _epoch(_unsolved_epoch)[0].state_dict()
    net, result, modes = _epoch(lambda *args: call(answer, *args, show=show))
    after = net.state_dict()
    if all(torch.equal(after[name], value) for name, value in unsolved.items()) and all(
        modes["batch norm"]
    ):
        raise NotTried("the weights of the backbone stay, its batch norm's running mean moves")
    if result is not net:
        raise Hint("The function should return the network that it got.")
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    if any(parameter.requires_grad for parameter in net.backbone.parameters()):
        raise Hint(
            "Parameters of the backbone have requires_grad = True: this optimizer leaves them "
            "alone, the next one may not."
        )
    if not {"head.1.weight", "head.1.bias"} <= changed:
        raise Hint("After the epoch the head has the same weights as before: nothing was learned.")
    if moved := sorted(name for name in changed if name.startswith("backbone")):
        raise Hint(f"The epoch has changed {moved[0]}: something in the backbone still moves.")
    if any(modes["batch norm"]) or not modes["batch norm"]:
        raise Hint(
            "Afterwards the backbone is as before, but during the epoch its batch norm was in "
            "train mode: it used the statistics of the batch, so the head saw other features."
        )
    if not all(modes["dropout"]) or not modes["dropout"]:
        raise Hint(
            "The backbone is unchanged now. But the head ran in eval mode as well, that is, "
            "without its dropout. Which part should be in which mode?"
        )


def _epoch(function: Callable) -> tuple[nn.Module, Any, dict[str, list[bool]]]:
    """Run an epoch; return the network, the result, and the modes in which its layers ran."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
        body = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        head = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
        net = nn.Sequential(OrderedDict(backbone=body, head=head)).eval()
        batches = [(torch.rand(4, 3, 6, 6), torch.tensor([0, 1, 2, 1])) for _ in range(2)]
        modes: dict[str, list[bool]] = {"batch norm": [], "dropout": []}
        for name, layer in zip(modes, (body[1], head[0]), strict=True):
            layer.register_forward_pre_hook(
                lambda module, _, seen=modes[name]: seen.append(module.training)
            )
        result = function(net, batches, torch.optim.SGD(head.parameters(), lr=0.1))
    return net, result, modes


def _unsolved_epoch(net: nn.Module, batches: list, optimizer: torch.optim.Optimizer) -> nn.Module:
    net.backbone.requires_grad_(False)
    net.train()
    for images, labels in batches:
        loss = cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# 03.3: the learning rate of a step


@exercise("03.3")
def check_warm_up(answer: Any) -> None:
    """The first steps, the last of the warm-up and those after; a warm-up of one step, too."""
    for peak, warmup in [(0.4, 4), (0.02, 10), (3.0, 2), (0.5, 1)]:
        wanted = [peak * min(step + 1, warmup) / warmup for step in range(warmup + 3)]
        rates = [call(answer, step, peak, warmup) for step in range(warmup + 3)]
        case = f"With peak {peak} and warmup {warmup}"
        if odd := [rate for rate in rates if not close(rate, 0, tolerance=1e300)]:
            raise Hint(f"{case} there is a rate that is not a number but a {kind(odd[0])}.")
        rates = [float(rate) for rate in rates]
        if not close(rates, wanted):
            raise Hint(f"{case} the rates are {rounded(rates, 4)}{_why(rates, wanted, warmup)}")


def _why(rates: list[float], wanted: list[float], warmup: int) -> str:
    peak = wanted[-1]
    if rates[0] == 0:
        return ": the first rate is 0, so the first step moves nothing. Count from 1."
    if close(rates[:warmup], wanted[:warmup]):
        return f": right until step {warmup - 1}, but then they should stay at {peak}."
    if close(rates[0], peak):
        return ": the peak comes at once, there is no warm-up."
    if close(rates[warmup:], wanted[warmup:]) and rates[warmup - 1] < peak:
        return (
            f": the peak should be reached in step {warmup - 1}, yours comes later. How many steps "
            "are there from 0 to this one?"
        )
    return f"; they should be {rounded(wanted, 4)}."


# 03.4: does fine-tuning pay off on other images?

COUNTS = ("images", "only frozen right", "only fine-tuned right")
FASHION_KEYS = (*COUNTS, "frozen features", "fine-tuned", "pays off")
CUTOUTS = (187, 2, 7, 0.893, 0.920, "cannot tell")


@exercise("03.4")
def check_fashion_report(answer: Any) -> None:
    """The form, numbers that fit each other, and a conclusion that fits the numbers."""
    report = report_of(answer, *FASHION_KEYS)
    images, only_frozen, only_tuned, frozen, tuned, _ = (report[key] for key in FASHION_KEYS)
    for key in COUNTS:
        if not is_count(report[key]):
            raise Hint(f'"{key}" should be an integer, not {short(report[key])}.')
    if tuple(report[key] for key in FASHION_KEYS) == CUTOUTS:
        raise Hint("These are the numbers of cutouts, from the example. Use fashion-mini.")
    if images < 60 or images % 10:
        raise Hint(f'"images" is {images}: the ten classes have equally many. See section 1.')
    for key in ("frozen features", "fine-tuned"):
        require_fraction(report[key], f'The accuracy of "{key}"')
    if frozen < 0.3:
        raise Hint(f'"frozen features" is {frozen}, near chance level. Is it that of section 10?')
    if abs((tuned - frozen) * images - (only_tuned - only_frozen)) > 0.0011 * images:
        raise Hint(
            f"The accuracies differ by {tuned - frozen:+.3f}, which is "
            f"{(tuned - frozen) * images:+.1f} of {images} images, but the disagreements by "
            f"{only_tuned - only_frozen:+d}: these numbers are not of the same run, or mixed up."
        )
    differ = only_frozen + only_tuned
    if differ > images:
        raise Hint(f"The two disagree on {differ} of {images} images?")
    p_value = binomtest(only_tuned, differ).pvalue if differ else 1.0
    better = "yes" if only_tuned > only_frozen else "no"
    because = f"a split of {only_frozen} to {only_tuned}, or a more uneven one, has a probability "
    because += f"of {p_value:.2g} between equally good methods"
    expected = better if p_value < 0.05 else "cannot tell"
    require_word(report, "pays off", ("yes", "no", "cannot tell"), expected, because)


# 03.5: your own photographs: are they enough?

EXAMPLE = {"mugs": 21, "plates": 20}
FEWEST = 10
WORDS = ("yes", "cannot tell")


@exercise("03.5")
def check_photo_report(answer: Any) -> None:
    """The form, the interval against the baseline, and the end of the learning curve."""
    keys = ("counts", "frozen features", "beats baseline", "curve", "more photographs")
    report = report_of(answer, *keys)
    counts, accuracy, curve = (report[key] for key in ("counts", "frozen features", "curve"))
    _require_counts(counts)
    require_fraction(accuracy, 'The accuracy of "frozen features"')
    total = sum(counts.values())
    baseline = max(counts.values()) / total
    low, _ = accuracy_interval(round(accuracy * total), total)
    because = f"the majority-class baseline has an accuracy of {baseline:.3f}; the interval of "
    because += f"{accuracy} with {total} images starts at {low:.3f}"
    require_word(report, "beats baseline", WORDS, WORDS[low <= baseline], because)
    _require_curve(curve, min(counts.values()))
    (before, std), (after, other_std) = (curve[number] for number in sorted(curve))
    gain, noise = round(after - before, 6), max(std, other_std) / 2
    because = f"the last step of your curve is {gain:+.3f}, half of the larger std is {noise:.3f}"
    require_word(report, "more photographs", WORDS, WORDS[gain <= noise], because)


def _require_counts(counts: Any) -> None:
    if type(counts) is not dict or len(counts) < 2 or not all(map(is_count, counts.values())):
        raise Hint('"counts" should be a dict from two class names or more to integers.')
    if counts == EXAMPLE:
        raise Hint("These are the mugs and plates of the example; what are your own classes?")
    name = min(counts, key=counts.get)
    if counts[name] < FEWEST:
        raise Hint(
            f"There are only {counts[name]} photographs of {name!r}. With fewer than {FEWEST} per "
            "class the folds are too small to say anything."
        )


def _require_curve(curve: Any, smallest: int) -> None:
    form = '"curve" should have two points, such as {8: (0.71, 0.12), 12: (0.74, 0.09)}'
    if type(curve) is not dict or len(curve) != 2:
        raise Hint(f"{form}.")
    for number, point in curve.items():
        pair = type(point) in (tuple, list) and len(point) == 2
        if not is_number(number, 1) or not pair or not all(is_number(x, 0, 1) for x in point):
            raise Hint(f"{form}: a number of images, then mean and std of the accuracy.")
    if max(curve) >= smallest:
        raise Hint(
            f'"curve" has a point at {max(curve)} images per class, but your smallest class has '
            f"{smallest}, and a part of them is held out."
        )
