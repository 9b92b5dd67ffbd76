"""The checks of notebook 03: names of weights, batch norm, warm-up, and reports on other images."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_exercises import Hint, NotTried, call, close, exercise
from course_utils.evaluation import accuracy_interval

# 03.1: one line that says which names a file lacks


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
        raise Hint(f"These are the right names, but as a {type(found).__name__}: make it a set.")
    if type(found) is not set or not all(type(name) is str for name in found):
        raise Hint(f"For {case} the result is no set of names but a {type(found).__name__}.")
    if found == missing:
        return
    got = f"For {case} you give {_listed(found)}"
    if found == unexpected:
        raise Hint(f"{got}. That is in the file and not in the network: these are *unexpected*.")
    if found == missing | unexpected:
        raise Hint(f"{got}. Some of it stands only in the file; the network does not miss that.")
    if found and found == own.keys() & given.keys():
        raise Hint(f"{got}. That is in both, so it can be loaded. What can not?")
    raise Hint(f"{got}; it should be {_listed(missing)}.")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"


# 03.2: an epoch for the head, with a body that must not move


def _small_net() -> nn.Sequential:
    """Build a body with batch norm and a head with dropout, and no care of their own."""
    body = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head = [nn.Dropout(0.5), nn.Linear(4, 3)]
    return nn.Sequential(OrderedDict(backbone=nn.Sequential(*body), head=nn.Sequential(*head)))


@exercise("03.2")
def check_head_epoch(answer: Any) -> None:
    """Body frozen and in eval mode, statistics untouched; head in train mode, and changed."""
    show = "a network, two batches of images and labels, an optimizer for the head"
    before = _epoch(lambda net, *_: net)[0].state_dict()
    unsolved = _epoch(_unsolved_epoch)[0].state_dict()
    net, result, modes = _epoch(lambda *args: call(answer, *args, show=show))
    after = net.state_dict()
    if all(torch.equal(after[name], value) for name, value in unsolved.items()) and all(
        modes["batch norm"]
    ):
        raise NotTried("the weights of the body stay, its batch norm's running mean moves")
    if result is not net:
        raise Hint("The function should give back the network that it got.")
    _require_head_only(net, before, modes)


def _require_head_only(net: nn.Module, before: dict[str, Tensor], modes: dict[str, list]) -> None:
    after = net.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    if any(parameter.requires_grad for parameter in net.backbone.parameters()):
        raise Hint(
            "Parameters of the body still have requires_grad = True: this optimizer leaves them "
            "alone, the next one may not. The body should be frozen."
        )
    if not {"head.1.weight", "head.1.bias"} <= changed:
        raise Hint("After the epoch the head has the same weights as before: nothing was learned.")
    if moved := sorted(name for name in changed if name.startswith("backbone")):
        raise Hint(f"After the epoch {moved[0]} is another: something in the body still moves.")
    if any(modes["batch norm"]) or not modes["batch norm"]:
        raise Hint(
            "Afterwards the body is as before, but during the epoch its batch norm was in train "
            "mode: it used the statistics of the batch, so the head saw other features."
        )
    if not all(modes["dropout"]) or not modes["dropout"]:
        raise Hint(
            "The body is at rest now. But the head ran in eval mode as well, that is, without its "
            "dropout. Which part should be in which mode?"
        )


def _epoch(function: Callable) -> tuple[nn.Module, Any, dict[str, list[bool]]]:
    """Run an epoch; give the network, the result, and the modes in which the layers ran."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = _small_net().eval()
        batches = [(torch.rand(4, 3, 6, 6), torch.tensor([0, 1, 2, 1])) for _ in range(2)]
        modes: dict[str, list[bool]] = {"batch norm": [], "dropout": []}
        for name, layer in zip(modes, (net.backbone[1], net.head[0]), strict=True):
            layer.register_forward_pre_hook(
                lambda module, _, seen=modes[name]: seen.append(module.training)
            )
        result = function(net, batches, torch.optim.SGD(net.head.parameters(), lr=0.1))
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
        if not all(close(rate, value) for rate, value in zip(rates, wanted, strict=True)):
            _explain(rates, wanted, peak, warmup)


def _explain(rates: list, wanted: list[float], peak: float, warmup: int) -> None:
    case = f"With peak {peak} and warmup {warmup}"
    if odd := [rate for rate in rates if not close(rate, 0, tolerance=1e300)]:
        raise Hint(f"{case} there is a rate that is no number but a {type(odd[0]).__name__}.")
    rates = [float(rate) for rate in rates]
    shown = f"the rates are {_rounded(rates)}"
    if rates[0] == 0:
        raise Hint(f"{case} the first rate is 0, so the first step moves nothing. Count from 1.")
    if close(rates[:warmup], wanted[:warmup]):
        raise Hint(
            f"{case} {shown}: right until step {warmup - 1}, but then they should stay at {peak}."
        )
    if close(rates[0], peak):
        raise Hint(f"{case} {shown}: the peak comes at once, there is no warm-up.")
    if close(rates[warmup:], wanted[warmup:]) and rates[warmup - 1] < peak:
        raise Hint(
            f"{case} {shown}: the peak should be reached in step {warmup - 1}, yours comes later. "
            "How many steps are there from 0 to this one?"
        )
    raise Hint(f"{case} {shown}; they should be {_rounded(wanted)}.")


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


# 03.4: does fine-tuning pay off on other images?

FASHION_KEYS = (
    "images", "frozen features", "fine-tuned", "only frozen right", "only fine-tuned right",
    "pays off",
)  # fmt: skip
CUTOUTS = (187, 0.893, 0.920, 2, 7, "cannot tell")


@exercise("03.4")
def check_fashion_report(answer: Any) -> None:
    """The form, numbers that fit each other, and a conclusion that fits the numbers."""
    _require_keys(answer, FASHION_KEYS)
    images, frozen, tuned, only_frozen, only_tuned, word = (answer[key] for key in FASHION_KEYS)
    for key in ("images", "only frozen right", "only fine-tuned right"):
        if type(answer[key]) is not int or answer[key] < 0:
            raise Hint(f'"{key}" should be a whole number, not {answer[key]!r:.20}.')
    if tuple(answer[key] for key in FASHION_KEYS) == CUTOUTS:
        raise Hint(
            "These are the numbers of cutouts, from the example. What does fashion-mini say?"
        )
    if images < 60 or images % 10:
        raise Hint(
            f'"images" is {images}; fashion-mini has ten classes, and the notebook takes equally '
            "many images of each. Section 1 prints their number."
        )
    for key in ("frozen features", "fine-tuned"):
        _require_share(answer, key)
    if frozen < 0.3:
        raise Hint(
            f'"frozen features" is {frozen}, hardly better than guessing among ten classes: is it '
            'the accuracy of "frozen features" in section 10?'
        )
    if abs((tuned - frozen) * images - (only_tuned - only_frozen)) > 0.0011 * images:
        raise Hint(
            f"The accuracies differ by {tuned - frozen:+.3f}, which is "
            f"{(tuned - frozen) * images:+.1f} of {images} images, but the disagreements by "
            f"{only_tuned - only_frozen:+d}: these numbers are not of the same run, or mixed up."
        )
    if only_tuned + only_frozen > images:
        raise Hint(f"The two disagree on {only_tuned + only_frozen} of {images} images?")
    _require_conclusion(word, only_frozen, only_tuned)


def _require_conclusion(word: Any, only_frozen: int, only_tuned: int) -> None:
    differ = only_frozen + only_tuned
    chance = binomtest(only_tuned, differ).pvalue if differ else 1.0
    better = "yes" if only_tuned > only_frozen else "no"
    _require_word(
        word,
        better if chance < 0.05 else "cannot tell",
        ("yes", "no", "cannot tell"),
        "pays off",
        f"a split of {only_frozen} to {only_tuned}, or a more uneven one, has a probability of "
        f"{chance:.2g} between equally good methods",
    )


# 03.5: photographs of one's own: are they enough?

PHOTO_KEYS = ("counts", "frozen features", "beats baseline", "curve", "more photographs")
EXAMPLE = {"mugs": 21, "plates": 20}
FEWEST = 10


@exercise("03.5")
def check_photo_report(answer: Any) -> None:
    """The form, the interval against the baseline, and the end of the learning curve."""
    _require_keys(answer, PHOTO_KEYS)
    counts, accuracy, curve = (answer[key] for key in ("counts", "frozen features", "curve"))
    _require_counts(counts)
    _require_share(answer, "frozen features")
    total = sum(counts.values())
    baseline = max(counts.values()) / total
    low, _ = accuracy_interval(round(accuracy * total), total)
    _require_word(
        answer["beats baseline"],
        "yes" if low > baseline else "cannot tell",
        ("yes", "cannot tell"),
        "beats baseline",
        f"always the most frequent class is right for {baseline:.3f}; the interval of {accuracy} "
        f"with {total} images starts at {low:.3f}",
    )
    _require_curve(curve, min(counts.values()))
    (before, spread), (after, other) = (curve[number] for number in sorted(curve))
    gain, noise = round(after - before, 6), max(spread, other) / 2
    _require_word(
        answer["more photographs"],
        "yes" if gain > noise else "cannot tell",
        ("yes", "cannot tell"),
        "more photographs",
        f"the last step of your curve is {gain:+.3f}, half of the larger spread is {noise:.3f}",
    )


def _require_counts(counts: Any) -> None:
    if type(counts) is not dict or len(counts) < 2:
        raise Hint(
            '"counts" should be a dict with the number of photographs of two classes or more.'
        )
    if not all(type(name) is str and type(count) is int for name, count in counts.items()):
        raise Hint('"counts" should map names of classes to whole numbers.')
    if counts == EXAMPLE:
        raise Hint("These are the mugs and plates of the example; what are your own classes?")
    name, count = min(counts.items(), key=lambda item: item[1])
    if count < FEWEST:
        raise Hint(
            f"There are only {count} photographs of {name!r}. From fewer than {FEWEST} of a class "
            "the folds are too small to say anything."
        )


def _require_curve(curve: Any, smallest: int) -> None:
    form = '"curve" should have two points, such as {8: (0.71, 0.12), 12: (0.74, 0.09)}'
    if type(curve) is not dict or len(curve) != 2:
        raise Hint(f"{form}.")
    for number, point in curve.items():
        pair = type(point) in (tuple, list) and len(point) == 2
        if type(number) is not int or number < 1 or not pair or not all(map(_is_share, point)):
            raise Hint(f"{form}: a number of images, then mean and std of the accuracy.")
    if max(curve) >= smallest:
        raise Hint(
            f'"curve" has a point at {max(curve)} images a class, but your smallest class has '
            f"{smallest}, and a part of them is held out."
        )


# What the two reports have in common


def _require_keys(answer: Any, keys: tuple[str, ...]) -> None:
    if type(answer) is not dict:
        raise Hint(f"This is a {type(answer).__name__}; asked for is a dict, as in the example.")
    if set(answer) != set(keys):
        odd = sorted(set(keys) ^ set(answer), key=str)[0]
        raise Hint(f"The keys should be exactly those of the example; look at {odd!r}.")
    if any(value is None or value is ... for value in answer.values()):
        raise NotTried("some values are still missing")


def _require_share(answer: dict, key: str) -> None:
    if not _is_share(answer[key]):
        raise Hint(f"The accuracy of {key!r} should be between 0 and 1, not {answer[key]!r:.20}.")


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _require_word(word: Any, wanted: str, words: tuple[str, ...], key: str, because: str) -> None:
    if type(word) is not str or word not in words:
        raise Hint(f'"{key}" should be one of: {", ".join(words)}; not {word!r:.20}.')
    if word != wanted:
        raise Hint(f'"{key}" is {word!r}, which does not fit: {because}.')
