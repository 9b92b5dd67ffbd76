"""The checks of notebook 09: grouped splits, pixels from elsewhere, abstention, drift, costs."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_exercises.checks import Hint, NotTried, call, close, exercise, kind, plain, same
from course_exercises.reports import is_count, report_of

# 09.1: all shots of a photo together


@exercise("09.1")
def check_grouped_split(answer: Any) -> None:
    """Groups of unequal size, mixed up, and so few that a share rounds to none or to all."""
    ten = [number % 10 for number in range(37)]
    cases = [
        (ten, 0.2, 2),
        (["rex", "bello", "rex", "lassie", "bello", "rex"], 0.01, 1),
        (["a"] * 20 + ["b", "c"], 0.99, 2),
    ]

    def split(groups: list, share: float, seed: int) -> Any:
        show = f"{len(groups)} images, share={share}, seed={seed}"
        return plain(call(answer, list(groups), share, seed=seed, show=show))

    found = [split(groups, share, 3) for groups, share, _ in cases]
    if all(same(indices, []) for indices in found):
        raise NotTried
    for (groups, share, wanted), indices in zip(cases, found, strict=True):
        _require_split(groups, share, wanted, indices)
    draws = [split(ten, 0.2, seed) for seed in range(9)]
    if all(draw == draws[0] for draw in draws):
        raise Hint("Nine seeds give the same groups: is the seed used?")
    if split(ten, 0.2, 0) != draws[0]:
        raise Hint("The same seed gives other groups the second time.")


def _require_split(groups: list, share: float, wanted: int, indices: Any) -> None:
    if not isinstance(indices, list | tuple) or not all(map(is_count, indices)):
        raise Hint(f"A list of indices is expected, not a {kind(indices)}.")
    if any(i >= len(groups) for i in indices) or len(set(indices)) < len(indices):
        raise Hint(f"Of {len(groups)} images, {indices} are not indices, each once.")
    test = {groups[i] for i in indices}
    rest = {group for i, group in enumerate(groups) if i not in indices}
    count = f"With share={share}, {len(test)} of {len(set(groups))} groups are in the test"
    if both := test & rest:
        raise Hint(f"Images of {min(both, key=str)!r} are on both sides: draw groups instead.")
    if not test:
        raise Hint(f"{count}; there should be at least one.")
    if not rest:
        raise Hint(f"{count}, and no group is left for training.")
    if len(test) != wanted:
        raise Hint(f"{count}; {wanted} would be nearer. The share is one of groups, not of images.")
    if list(indices) != sorted(indices):
        raise Hint("The indices should be in ascending order.")


# 09.2: pixels from another program


@exercise("09.2")
def check_to_batch(answer: Any) -> None:
    """A picture in which no two values are equal."""
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    kept = pixels.copy()
    found = call(answer, pixels, show="a picture of 4 x 5 pixels")
    wanted = torch.from_numpy(kept).permute(2, 0, 1)[None]
    if not np.array_equal(pixels, kept):
        raise Hint("The picture that is given is changed.")
    if not isinstance(found, Tensor):
        raise Hint(f"A tensor is expected, not a {kind(found)}.")
    if found.shape != wanted.shape:
        raise Hint(f"The shape should be {tuple(wanted.shape)}, not {tuple(found.shape)}.")
    if same(found.flatten(), kept.flatten().tolist()):
        raise NotTried("the values keep their order, so the channels are mixed up")
    if torch.equal(found, wanted.flip(1)):
        raise Hint("Red and blue are swapped; these pictures are red, green, blue already.")
    if found.dtype != torch.uint8:
        raise Hint(f"uint8 is expected, not {found.dtype}: the classifier normalizes by itself.")
    if not torch.equal(found, wanted):
        raise Hint(
            f"The first pixel is {kept[0, 0].tolist()} in the picture and "
            f"{found[0, :, 0, 0].tolist()} in the batch. Which function moves axes, instead of "
            "reading the values in order?"
        )


# 09.3: not sure


@exercise("09.3")
def check_answers(answer: Any) -> None:
    """Above the threshold, below it, and exactly at it."""
    probabilities = torch.tensor([[0.75, 0.25], [0.375, 0.625], [0.5, 0.5], [0.125, 0.875]])
    cases = [
        (0.5, ["cat", "dog", "cat", "dog"]),
        (0.75, ["cat", "not sure", "not sure", "dog"]),
        (1.0, ["not sure"] * 4),
    ]
    found = [
        call(answer, probabilities, ["cat", "dog"], threshold, show=f"probabilities, {threshold}")
        for threshold, _ in cases
    ]
    if all(same(one, cases[0][1]) for one in found):
        raise NotTried
    for (threshold, wanted), given in zip(cases, found, strict=True):
        if not isinstance(given, list | tuple) or len(given) != 4:
            raise Hint("A list with one entry for each image is expected.")
        for row, one, other in zip(probabilities.tolist(), given, wanted, strict=True):
            if same(one, other):
                continue
            if max(row) == threshold and one == "not sure":
                raise Hint(f"{row} is not below {threshold}, so there is a prediction.")
            raise Hint(f"For {row} and threshold {threshold}: {other!r}, not {one!r}.")


# 09.4: has the mix of predictions changed?


@exercise("09.4")
def check_shift(answer: Any) -> None:
    """Lists of unequal length, and classes that occur in one of them only."""
    cases = [
        (["a", "b"], ["b", "a"], 0.0),
        (["a"] * 3 + ["b"], ["a", "b", "b", "b"], 0.5),
        (["a", "a"], ["b"], 1.0),
        (["a", "b", "c", "c"], ["a", "c", "d", "d", "d", "d", "d", "d"], 0.75),
        (["x"] * 10, ["x"] * 9 + ["y"], 0.1),
    ]
    found = [call(answer, list(before), list(now)) for before, now, _ in cases]
    if all(close(value, 0) for value in found):
        raise NotTried
    for (before, now, wanted), value in zip(cases, found, strict=True):
        if close(value, wanted):
            continue
        case = f"For {before} and {now}"
        if close(value, 2 * wanted):
            raise Hint(f"{case} this is the sum of the differences; half of it is expected.")
        if isinstance(value, int | float) and value > 1:
            raise Hint(f"{case} you return {value:g}: shares are expected, not counts.")
        raise Hint(
            f"{case} it should be {wanted:g}, not {value}. Count all classes, also new ones."
        )


# 09.5: what a wrong parcel costs

TABLE = {0.0: (1000, 80), 0.5: (940, 50), 0.7: (850, 24), 0.9: (600, 6)}
PRICE = 9  # of a wrong parcel, in €


@exercise("09.5")
def check_decision(answer: Any) -> None:
    """Do the numbers follow from the table?"""
    keys = ("threshold", "cost", "cost without", "0.9 from")
    threshold, cost, without, price = map(report_of(answer, *keys).get, keys)
    costs = {line: 1000 - answered + PRICE * wrong for line, (answered, wrong) in TABLE.items()}
    if not close(without, costs[0.0]):
        raise Hint(f"Without a threshold 80 are wrong and nobody looks at any: not {without} €.")
    best = min(costs, key=costs.get)
    if threshold not in TABLE:
        raise Hint(f"{threshold} is not a threshold of the table.")
    if threshold != best:
        raise Hint(
            f"With {threshold} a day costs {costs[threshold]} €; another threshold is cheaper. "
            "Parcels without a prediction cost 1 € each."
        )
    if not close(cost, costs[best]):
        raise Hint(f"With {best} a day does not cost {cost} €: count both kinds of costs.")
    # 0.9 beats another threshold where the parcels it saves pay for those a human looks at.
    answered, wrong = TABLE[0.9]
    limits = [(a - answered) / (w - wrong) for line, (a, w) in TABLE.items() if line != 0.9]
    if not close(price, max(limits), 0.06):
        raise Hint(
            f"0.9 is not the best from {price} € on. Compare it with each of the others: how many "
            "more parcels does a human see, and how many wrong ones does it save?"
        )
