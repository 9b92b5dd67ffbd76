"""The checks of notebook 07: throughput, Amdahl's law, augmentation of batches, shards, a plan."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from course_exercises import Hint, NotTried, call, close, exercise, same

# 07.1: images per second


@exercise("07.1")
def check_throughput(answer: Any) -> None:
    """Batches of unequal time and size, and other numbers of batches that do not count."""
    for counts, seconds, warm_up in [
        ([32, 32, 32, 32], [9.0, 0.1, 0.1, 0.6], 1),
        ([10, 10, 10, 5], [1.0, 1.0, 0.5, 0.5], 2),
        ([8, 8, 4], [0.5, 0.25, 0.25], 0),
    ]:
        case = f"{counts}, {seconds}, warm_up={warm_up}"
        found = call(answer, list(counts), list(seconds), warm_up=warm_up, show=case)
        wanted = sum(counts[warm_up:]) / sum(seconds[warm_up:])
        if close(found, wanted):
            continue
        pairs = list(zip(counts, seconds, strict=True))
        speeds = [count / time for count, time in pairs[warm_up:]]
        if close(found, sum(speeds) / len(speeds)):
            raise Hint(f"For ({case}) this is the mean of the speeds: add up first, divide last.")
        if warm_up and close(found, sum(counts) / sum(seconds)):
            raise Hint(f"For ({case}) the first {warm_up} of the batches should not count.")
        if warm_up and close(found, sum(counts) / sum(seconds[warm_up:])):
            raise Hint(f"For ({case}) the images of the warm-up are counted, but not its seconds.")
        if warm_up > 1 and close(found, sum(counts[1:]) / sum(seconds[1:])):
            raise Hint(f"For ({case}) only the first batch is left out: warm_up is {warm_up}.")
        if close(found, 1 / wanted):
            raise Hint(f"For ({case}) these are seconds per image; images per second are wanted.")
        raise Hint(f"For ({case}) it should be {wanted:g} images per second, not {found}.")


# 07.2: Amdahl's law


@exercise("07.2")
def check_speedup(answer: Any) -> None:
    """Nothing, everything, and what lies between, faster and slower."""
    cases = [(0.5, 2), (1.0, 8), (0.0, 8), (0.8, 10), (0.9, 1), (0.5, 0.5)]
    found = [call(answer, *case) for case in cases]
    if all(close(value, 1) for value in found):
        raise NotTried
    for (share, factor), value in zip(cases, found, strict=True):
        wanted = 1 / (1 - share + share / factor)
        if close(value, wanted):
            continue
        if close(value, 1 / wanted):
            raise Hint(
                f"speedup({share}, {factor}) gives {value:g}: the share of the time that is left. "
                "How many times as fast is that?"
            )
        if close(value, 1 - share + share * factor):
            raise Hint(
                f"speedup({share}, {factor}) gives {value:g}, as if the work grew: what becomes of "
                "the seconds of a part that is twice as fast?"
            )
        if close(value, factor):
            raise Hint(f"speedup({share}, {factor}) gives {value:g}, but a part stays as it was.")
        raise Hint(f"speedup({share}, {factor}) should be {wanted:.3g}; it is {value}.")


# 07.3: one draw for all


@exercise("07.3")
def check_change_brightness(answer: Any) -> None:
    """Ones of a batch, so that the factors can be read off the result."""
    images = torch.ones(256, 3, 4, 4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = call(answer, images, show="a batch of 256 white images")
        again = call(answer, images, show="a batch of 256 white images")
        narrow = call(answer, images, low=2.0, high=2.5, show="256 white images, 2.0, 2.5")
    if not torch.equal(images, torch.ones_like(images)):
        raise Hint("The images that are given are changed; the dataset needs them again.")
    if not isinstance(found, Tensor) or found.shape != images.shape:
        what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise Hint(f"A batch of shape {tuple(images.shape)} goes in, but {what} comes out.")
    factors = found.flatten(1)
    if len(torch.unique(factors[:, 0])) == 1 and len(torch.unique(factors)) == 1:
        raise NotTried("the function does what it did before")
    if not torch.equal(factors, factors[:, :1].expand_as(factors)):
        raise Hint(
            "Within one image, pixels or channels have different factors. How many numbers should "
            "be drawn for a batch of 256, and which shape multiplies each image by its own?"
        )
    if len(torch.unique(factors[:, 0])) < 200:
        raise Hint("Several of the 256 images share a factor: each should draw its own.")
    if torch.equal(found, again):
        raise Hint("Two calls give the same factors: is there a seed in the function?")
    for values, low, high in [(factors, 0.7, 1.3), (narrow.flatten(1), 2.0, 2.5)]:
        if values.min() < low or values.max() > high:
            raise Hint(
                f"With low={low} and high={high} there are factors from {values.min():.2f} to "
                f"{values.max():.2f}."
            )
        if values.min() > low + 0.1 * (high - low) or values.max() < high - 0.1 * (high - low):
            raise Hint(
                f"With low={low} and high={high} the factors lie between {values.min():.2f} and "
                f"{values.max():.2f} only: they should fill the range."
            )


# 07.4: the part of each process


@exercise("07.4")
def check_shard(answer: Any) -> None:
    """Lists that divide evenly and lists that do not, one process and more than images."""
    cases = [(list(range(10)), 2), ([5, 3, 9, 1, 7, 0, 2], 3), ([4, 8], 1), ([6], 2)]
    found = [
        [
            call(answer, list(indices), rank, world, show=f"{indices}, {rank}, {world}")
            for rank in range(world)
        ]
        for indices, world in cases
    ]
    if all(
        same(part, indices)
        for (indices, _), parts in zip(cases, found, strict=True)
        for part in parts
    ):
        raise NotTried
    for (indices, world), parts in zip(cases, found, strict=True):
        for rank, part in enumerate(parts):
            if not isinstance(part, list | tuple):
                kind = type(part).__name__
                raise Hint(f"For ({indices}, {rank}, {world}) a list is wanted, not a {kind}.")
            if same(part, indices[rank::world]):
                continue
            raise Hint(_why_not_a_shard(indices, rank, world, parts))


def _why_not_a_shard(indices: list, rank: int, world: int, parts: list) -> str:
    case = f"({indices}, {rank}, {world})"
    together = [index for part in parts for index in part]
    if sorted(together) == sorted(indices):
        if max(map(len, parts)) - min(map(len, parts)) > 1:
            sizes = " and ".join(str(len(part)) for part in parts)
            return f"For {case} the parts have {sizes} indices; they should differ by one at most."
        return (
            f"For {case} the parts are right by themselves, but the first batch of all processes "
            f"is not the beginning of the list: {rank} gets {list(parts[rank])}, not "
            f"{indices[rank::world]}."
        )
    missing = [index for index in indices if index not in together]
    if missing:
        return f"For {world} processes and {indices} nobody works on {missing[0]}."
    return f"For {world} processes and {indices} some indices are worked on twice: {together}."


# 07.5: a plan

BEFORE = {"waiting": 180, "forward": 30, "backward": 60, "update": 10, "measuring": 20}
CHANGES = {
    "memory": {"waiting": 10},
    "amp": {"forward": 2, "backward": 2, "measuring": 2},
    "optimizer": {"update": 5},
    "every third": {"measuring": 3},
}
KEYS = {"changes", "seconds", "epoch", "times as fast", "limit"}


@exercise("07.5")
def check_plan(answer: Any) -> None:
    """Do the numbers fit together, and is no other pair better?"""
    if not isinstance(answer, Mapping):
        raise Hint(f"A dict is wanted, not a {type(answer).__name__}.")
    if missing := sorted(KEYS - set(answer)):
        raise Hint(f"The plan lacks {missing[0]!r}.")
    changes = answer["changes"]
    if isinstance(changes, str) or not hasattr(changes, "__len__") or len(set(changes)) != 2:
        raise Hint(f"Two different changes are wanted, in brackets, not {changes!r}.")
    if unknown := [name for name in changes if name not in CHANGES]:
        raise Hint(f"There is no change {unknown[0]!r}; there are {', '.join(CHANGES)}.")
    wanted = seconds_after(changes)
    _require_seconds(answer["seconds"], wanted, changes)
    epoch = sum(wanted.values())
    if not close(answer["epoch"], epoch, 0.5):
        raise Hint(f"Your five parts add up to {epoch:g} s; the epoch has {answer['epoch']}.")
    if not close(answer["times as fast"], sum(BEFORE.values()) / epoch, 0.06):
        raise Hint(
            f"An epoch took {sum(BEFORE.values())} s and takes {epoch:g} s: that is not "
            f"{answer['times as fast']} times as fast."
        )
    slowest = max(wanted, key=wanted.get)
    if answer["limit"] != slowest:
        raise Hint(
            f"What takes longest afterwards? {answer['limit']!r} has "
            f"{wanted.get(answer['limit'], 'no')} s."
        )
    best = min(combinations(CHANGES, 2), key=lambda pair: sum(seconds_after(pair).values()))
    if set(changes) != set(best):
        raise Hint(
            f"The numbers fit together, but another pair brings the epoch below {epoch:g} s. Which "
            "parts are the longest?"
        )


def seconds_after(changes: tuple[str, ...]) -> dict[str, float]:
    """Give the seconds of each part of the epoch of exercise 07.5 after some changes.

    Args:
        changes: Names of changes.
    """
    after = {part: float(seconds) for part, seconds in BEFORE.items()}
    for change in changes:
        for part, factor in CHANGES[change].items():
            after[part] /= factor
    return after


def _require_seconds(given: Any, wanted: dict[str, float], changes: tuple[str, ...]) -> None:
    if not isinstance(given, Mapping) or set(given) != set(wanted):
        raise Hint(f"'seconds' should be a dict with the keys {', '.join(wanted)}.")
    for part, seconds in wanted.items():
        if not close(given[part], seconds, 0.5):
            raise Hint(
                f"With {' and '.join(changes)}, {part} does not take {given[part]} s: it was "
                f"{BEFORE[part]} s. Which of the changes touch it?"
            )
