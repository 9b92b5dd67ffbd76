"""The checks of notebook 03: names of weights, batch norm, warm-up, class means, a report."""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_exercises.checks import (
    Hint,
    NotTried,
    call,
    close,
    exercise,
    explain,
    kind,
    plain,
    rounded,
    short,
)
from course_exercises.reports import is_count, report_of, require_fraction, require_word

# 03.1: the names that are missing in a file


@exercise("03.1")
def check_missing_names(answer: Any) -> None:
    """Test some, none and all names in common, an empty file, and an empty network."""
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
        raise Hint(f"The names are right, but the result is a {kind(found)}: make it a set.")
    if type(found) is not set or not all(type(name) is str for name in found):
        raise Hint(f"For {case}, the result should be a set of names, not {short(found)}.")
    if found == missing:
        return
    reason = f"it should be {_listed(missing)}."
    if found == unexpected:
        reason = "what is in the file and not in the network is unexpected, not missing."
    elif found == missing | unexpected:
        reason = "some of these names are only in the file, so they are not missing."
    elif found and found == own.keys() & given.keys():
        reason = "these names are in both, so they can be loaded. Which cannot?"
    raise Hint(f"For {case}, you return {_listed(found)}; {reason}")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"


# 03.2: an epoch for the head, with a backbone that must not change


@exercise("03.2")
def check_head_epoch(answer: Any) -> None:
    """Require an unchanged backbone in eval mode and a head that is trained in train mode."""
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
        raise Hint("The function should return the network that it was given.")
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    if any(parameter.requires_grad for parameter in net.backbone.parameters()):
        raise Hint(
            "Parameters of the backbone have requires_grad = True: this optimizer does not have "
            "them, but another one may."
        )
    if not {"head.1.weight", "head.1.bias"} <= changed:
        raise Hint("After the epoch, the head has the same weights as before: it was not trained.")
    if moved := sorted(name for name in changed if name.startswith("backbone")):
        raise Hint(f"The epoch changes {moved[0]}, but the backbone should stay as it was.")
    if any(modes["batch norm"]) or not modes["batch norm"]:
        raise Hint(
            "After the epoch, the backbone is as before, but during the epoch, batch norm was in "
            "train mode: it used the statistics of the batch, so the head got other features."
        )
    if not all(modes["dropout"]) or not modes["dropout"]:
        raise Hint(
            "The backbone is unchanged now, but the head was in eval mode, too, that is, without "
            "its dropout. Which part should be in which mode?"
        )
    trained = _epoch(partial(_unsolved_epoch, backbone_trains=False))[0].state_dict()
    if not close(after["head.1.weight"], trained["head.1.weight"], 1e-5):
        raise Hint(
            "All modes are right, but the head does not have the weights of one step per batch, "
            "each with the gradients of this batch alone. Apart from the modes, change nothing."
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


def _unsolved_epoch(
    net: nn.Module,
    batches: list,
    optimizer: torch.optim.Optimizer,
    backbone_trains: bool = True,
) -> nn.Module:
    net.backbone.requires_grad_(False)
    net.train()
    net.backbone.train(backbone_trains)
    for images, labels in batches:
        loss = cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# 03.3: the learning rate of a step


@exercise("03.3")
def check_warm_up(answer: Any) -> None:
    """Test all steps of the warm-up and three after it, also for a warm-up of one step."""
    for peak, warmup in [(0.4, 4), (0.02, 10), (3.0, 2), (0.5, 1)]:
        wanted = [peak * min(step + 1, warmup) / warmup for step in range(warmup + 3)]
        rates = [call(answer, step, peak, warmup) for step in range(warmup + 3)]
        case = f"With peak={peak} and warmup={warmup},"
        if odd := [rate for rate in rates if not close(rate, 0, tolerance=1e300)]:
            raise Hint(f"{case} one of the rates is not a number but a {kind(odd[0])}.")
        rates = [float(rate) for rate in rates]
        if not close(rates, wanted):
            raise Hint(f"{case} the rates are {rounded(rates, 4)}{_why(rates, wanted, warmup)}")


def _why(rates: list[float], wanted: list[float], warmup: int) -> str:
    peak = wanted[-1]
    if rates[0] == 0:
        return ": the first rate is 0, so the first step changes nothing. Step 0 counts, too."
    if close(rates[:warmup], wanted[:warmup]):
        return f": they are right until step {warmup - 1}, but then they should stay at {peak}."
    if close(rates[0], peak):
        return ": step 0 has the peak already, so there is no warm-up."
    if close(rates[warmup:], wanted[warmup:]) and rates[warmup - 1] < peak:
        return (
            f": the peak should be reached in step {warmup - 1}, not later. How many steps are "
            "there from 0 to this one?"
        )
    return f"; they should be {rounded(wanted, 4)}."


# 03.4: the class whose mean feature vector is nearest


@exercise("03.4")
def check_nearest_mean(answer: Any) -> None:
    """Test classes of equal and unequal sizes, also of one image, with shuffled labels."""
    generator = torch.Generator().manual_seed(4)
    for counts in [(3, 3), (1, 1, 1), (2, 7, 4)]:
        labels = torch.cat([torch.full((n,), k) for k, n in enumerate(counts)])
        labels = labels[torch.randperm(len(labels), generator=generator)]
        centers = 4 * torch.randn(len(counts), 5, generator=generator)
        noise = 3 * torch.randn(len(labels), 5, generator=generator)
        features = centers[labels] + noise
        new = 4 * torch.randn(40, 5, generator=generator)
        show = f"features of {len(labels)} images in {len(counts)} classes, 40 new ones"
        found = call(answer, features.clone(), labels.clone(), new.clone(), show=show)
        _require_labels(found, features, labels, new)


def _require_labels(found: Any, features: Tensor, labels: Tensor, new: Tensor) -> None:
    classes = range(int(labels.max()) + 1)
    means = torch.stack([features[labels == k].mean(dim=0) for k in classes])
    sums = torch.stack([features[labels == k].sum(dim=0) for k in classes])
    distances = torch.cdist(new, means)
    start = f"For {len(labels)} images with labels {labels.tolist()},"
    if not hasattr(found, "shape") and type(found) not in (list, tuple):
        raise Hint(f"The function should return a tensor of labels, not a {kind(found)}.")
    if close(found, distances):
        raise Hint("These are the distances to the means. Which class has the smallest one?")
    if close(found, distances.amin(dim=1)):
        raise Hint("These are the smallest distances; the index of the class is expected.")
    shape = np.shape(plain(found))
    if shape != (len(new),):
        raise Hint(f"{start} the result should have one label per new image, not shape {shape}.")
    mistakes = [
        (distances.argmax(dim=1), "you predict the class whose mean is farthest."),
        (labels[torch.cdist(new, features).argmin(dim=1)], "you use the nearest single image."),
        (torch.cdist(new, sums).argmin(dim=1), "you use the sum of each class, not its mean."),
        ((new @ means.T).argmax(dim=1), "you use the largest dot product, not the distance."),
        (torch.cdist(new, features).argmin(dim=1), "you return indices of images, not labels."),
    ]
    wanted = distances.argmin(dim=1)
    if not close(found, wanted):
        explain(found, start, mistakes, "some labels are not those of the nearest mean.")


# 03.5: does fine-tuning pay off on other images?

COUNTS = ("images", "only frozen right", "only fine-tuned right")
FASHION_KEYS = (*COUNTS, "frozen features", "fine-tuned", "pays off")
CUTOUTS = (187, 5, 3, 0.914, 0.904, "cannot tell")


@exercise("03.5")
def check_fashion_report(answer: Any) -> None:
    """Check the form, whether the numbers are consistent, and the conclusion."""
    report = report_of(answer, *FASHION_KEYS)
    images, only_frozen, only_tuned, frozen, tuned, _ = (report[key] for key in FASHION_KEYS)
    for key in COUNTS:
        if not is_count(report[key]):
            raise Hint(f'"{key}" should be an integer, not {short(report[key])}.')
    if tuple(report[key] for key in FASHION_KEYS) == CUTOUTS:
        raise Hint("These are the example's numbers, from cutouts. Use fashion-mini.")
    if images < 60 or images % 10:
        raise Hint(
            f'"images" is {images}, but all ten classes have the same size. See the first output.'
        )
    for key in ("frozen features", "fine-tuned"):
        require_fraction(report[key], f'The accuracy of "{key}"')
    if frozen < 0.3:
        raise Hint(f'"frozen features" is {frozen}, near chance level. Is it the one of section 8?')
    if abs((tuned - frozen) * images - (only_tuned - only_frozen)) > 0.0011 * images:
        raise Hint(
            f"The accuracies differ by {tuned - frozen:+.3f}, which is "
            f"{(tuned - frozen) * images:+.1f} of {images} images, but the disagreements differ by "
            f"{only_tuned - only_frozen:+d}: the numbers are from different runs, or mixed up."
        )
    differ = only_frozen + only_tuned
    if differ > images:
        raise Hint(f"The two cannot disagree on {differ} of {images} images.")
    p_value = binomtest(only_tuned, differ).pvalue if differ else 1.0
    better = "yes" if only_tuned > only_frozen else "no"
    because = f"if both methods were equally good, a split at least as uneven as {only_frozen} to "
    because += f"{only_tuned} would have a probability of {p_value:.2g}"
    expected = better if p_value < 0.05 else "cannot tell"
    require_word(report, "pays off", ("yes", "no", "cannot tell"), expected, because)
