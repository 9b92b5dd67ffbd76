"""The checks of notebook 07: throughput, Amdahl's law, augmentation of batches, shards, a plan."""

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from course_exercises.checks import Hint, NotTried, call, close, exercise, explain, plain, same
from course_exercises.reports import report_of

# 07.1: images per second


@exercise("07.1")
def check_throughput(answer: Any) -> None:
    """Test batches of unequal time and size, and different warm-ups."""
    for counts, seconds, warm_up in [
        ([32, 32, 32, 32], [9.0, 0.1, 0.1, 0.6], 1),
        ([10, 10, 10, 5], [1.0, 1.0, 0.5, 0.5], 2),
        ([8, 8, 4], [0.5, 0.25, 0.25], 0),
    ]:
        case = f"{counts}, {seconds}, warm_up={warm_up}"
        found = call(answer, list(counts), list(seconds), warm_up=warm_up, show=case)
        images, time = sum(counts[warm_up:]), sum(seconds[warm_up:])
        if close(found, images / time):
            continue
        speeds = [a / b for a, b in zip(counts[warm_up:], seconds[warm_up:], strict=True)]
        mistakes = [
            (
                sum(speeds) / len(speeds),
                "this is the mean of the speeds: add up first, divide last.",
            ),
            (sum(counts) / sum(seconds), f"the warm-up ({warm_up} batches) should not count."),
            (sum(counts) / time, "the images of the warm-up are counted, but not its seconds."),
            (
                sum(counts[1:]) / sum(seconds[1:]),
                f"only the first batch is left out: warm_up is {warm_up}.",
            ),
            (time / images, "these are seconds per image; images per second are expected."),
        ]
        otherwise = f"it should be {images / time:g} images per second, not {found}."
        explain(found, f"For ({case}),", mistakes, otherwise)


# 07.2: Amdahl's law


@exercise("07.2")
def check_speedup(answer: Any) -> None:
    """Test shares from 0 to 1, and factors above and below 1."""
    cases = [(0.5, 2), (1.0, 8), (0.0, 8), (0.8, 10), (0.9, 1), (0.5, 0.5)]
    found = [call(answer, *case) for case in cases]
    if all(close(value, 1) for value in found):
        raise NotTried
    for (share, factor), value in zip(cases, found, strict=True):
        left = 1 - share + share / factor
        if close(value, 1 / left):
            continue
        mistakes = [
            (
                left,
                "this is the share of the time that remains. How many times as fast is that?",
            ),
            (
                1 - share + share * factor,
                "the part's time is multiplied. How long does it take if it is twice as fast?",
            ),
            (factor, "this holds if everything becomes faster; the rest takes as long as before."),
        ]
        start = f"speedup({share}, {factor}) returns {value}:"
        explain(value, start, mistakes, f"it should be {1 / left:.3g}.")


# 07.3: a random factor for each image


@exercise("07.3")
def check_change_brightness(answer: Any) -> None:
    """Divide the result by random images, which shows the factors."""
    images = 0.2 + 0.6 * torch.rand(256, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    kept = images.clone()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = call(answer, images, show="a batch of 256 images")
        again = call(answer, images, show="a batch of 256 images")
        narrow = call(answer, images[:100], low=2.0, high=2.5, show="100 images, 2.0, 2.5")
    if not torch.equal(images, kept):
        raise Hint("Your function changes the images it was given; the dataset needs them again.")
    if not isinstance(found, Tensor) or found.shape != images.shape:
        what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise Hint(f"A tensor of shape {tuple(images.shape)} is expected, not {what}.")
    factors = (found / images).flatten(1)
    if factors.max() - factors.min() < 1e-5:
        raise NotTried("the function does what it did before")
    added = (found - images).flatten(1)
    if close(added, added[:, :1].expand_as(added), 1e-5):
        raise Hint("A number is added to each image; its pixels should be multiplied by one.")
    different = len(torch.unique(factors[:, 0]))
    if not close(factors, factors[:, :1].expand_as(factors), 1e-5):
        raise Hint(
            "Within one image, pixels or channels have different factors. How many random numbers "
            "does a batch of 256 need, and which shape gives each image its own number?"
        )
    if different < 200:
        raise Hint("Several of the 256 images have the same factor: each should have its own.")
    if torch.equal(found, again):
        raise Hint("Two calls give the same factors: does the function set a seed?")
    for values, low, high in [
        (factors, 0.7, 1.3),
        ((narrow / images[:100]).flatten(1), 2.0, 2.5),
    ]:
        smallest, largest, margin = values.min(), values.max(), 0.1 * (high - low)
        extent = f"With low={low} and high={high}, the factors are {smallest:.2f} to {largest:.2f}"
        if smallest < low - 1e-5 or largest > high + 1e-5:
            raise Hint(f"{extent}: they should stay between low and high.")
        if smallest > low + margin or largest < high - margin:
            raise Hint(f"{extent} only: they should cover the whole range.")


# 07.4: the part of each process


@exercise("07.4")
def check_shard(answer: Any) -> None:
    """Test even and uneven divisions, one process, and more processes than indices."""
    cases = [(list(range(10)), 2), ([5, 3, 9, 1, 7, 0, 2], 3), ([4, 8], 1), ([6], 2)]
    found = [
        [
            plain(call(answer, list(indices), rank, world, show=f"{indices}, {rank}, {world}"))
            for rank in range(world)
        ]
        for indices, world in cases
    ]
    if all(same(parts, [case[0]] * case[1]) for case, parts in zip(cases, found, strict=True)):
        raise NotTried
    for (indices, world), parts in zip(cases, found, strict=True):
        for rank, part in enumerate(parts):
            case = f"For ({indices}, {rank}, {world})"
            if not isinstance(part, list | tuple):
                raise Hint(f"{case}, a list is expected, not {part!r:.40}.")
            if not same(part, indices[rank::world]):
                raise Hint(f"{case} {_why_not_a_shard(indices, rank, world, parts)}")


def _why_not_a_shard(indices: list, rank: int, world: int, parts: list) -> str:
    together = [index for part in parts for index in part]
    if missing := [index for index in indices if index not in together]:
        return f"and the other ranks, no process gets index {missing[0]}."
    if sorted(together) != sorted(indices):
        return f"and the other ranks, some indices occur twice: {together}."
    sizes = [len(part) for part in parts]
    if max(sizes) - min(sizes) > 1:
        return (
            f"and the other ranks, the parts have {sizes} indices: they may differ by one at most."
        )
    return (
        "and the other ranks, each index occurs once, but the first batches together are not "
        f"the beginning of the list: rank {rank} gets {parts[rank]}, not {indices[rank::world]}."
    )


# 07.5: a plan

BEFORE = {"waiting": 180, "forward": 30, "backward": 60, "update": 10, "evaluation": 20}
CHANGES = {
    "memory": {"waiting": 10},
    "amp": {"forward": 2, "backward": 2, "evaluation": 2},
    "optimizer": {"update": 5},
    "every third": {"evaluation": 3},
}


@exercise("07.5")
def check_plan(answer: Any) -> None:
    """Check that the numbers are consistent and that no other pair is better."""
    plan = report_of(answer, "changes", "seconds", "epoch", "times as fast", "limit")
    changes = plan["changes"]
    if type(changes) not in (list, tuple) or len(set(changes)) != 2:
        raise Hint(f"A tuple of two different changes is expected, not {changes!r}.")
    if unknown := [name for name in changes if name not in CHANGES]:
        raise Hint(f"There is no change {unknown[0]!r}; there are {', '.join(CHANGES)}.")
    wanted = _seconds_after(changes)
    given = report_of(plan["seconds"], *wanted, name="seconds")
    for part, seconds in wanted.items():
        if not close(given[part], seconds, 0.5):
            raise Hint(
                f"With {' and '.join(changes)}, {part} does not take {given[part]} s: it was "
                f"{BEFORE[part]} s. Which of the changes affect it?"
            )
    before, epoch = sum(BEFORE.values()), sum(wanted.values())
    if not close(plan["epoch"], epoch, 0.5):
        raise Hint(f'Your five parts add up to {epoch:g} s, but "epoch" is {plan["epoch"]}.')
    if not close(plan["times as fast"], before / epoch, 0.06):
        raise Hint(
            f"{epoch:g} s instead of {before} s is not {plan['times as fast']} times as fast."
        )
    limit = plan["limit"]
    if limit != max(wanted, key=wanted.get):
        raise Hint(f"What takes longest afterwards? {limit!r} takes {wanted.get(limit, 'no')} s.")
    if epoch > min(sum(_seconds_after(pair).values()) for pair in combinations(CHANGES, 2)):
        raise Hint(f"Another pair takes less than {epoch:g} s. Which parts take longest?")


def _seconds_after(changes: tuple[str, ...]) -> dict[str, float]:
    """Return the seconds of each part of the epoch after some changes."""
    after = {part: float(seconds) for part, seconds in BEFORE.items()}
    for change in changes:
        for part, factor in CHANGES[change].items():
            after[part] /= factor
    return after
