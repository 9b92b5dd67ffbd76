"""The checks of notebook 09: grouped splits, pixels from elsewhere, being silent, drift, costs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_exercises import Hint, NotTried, call, close, exercise, same

# 09.1: all shots of a photo together


@exercise("09.1")
def check_grouped_split(answer: Any) -> None:
    """Groups of unequal size, mixed up, and so few that a share rounds to none or to all."""
    cases = [
        ([number % 10 for number in range(37)], 0.2, 2),
        (["rex", "bello", "rex", "lassie", "bello", "rex"], 0.01, 1),
        (["a"] * 20 + ["b", "c"], 0.99, 2),
    ]
    found = [
        call(answer, list(groups), share, seed=3, show=f"{len(groups)} images, share={share}")
        for groups, share, _ in cases
    ]
    if all(same(_plain(indices), []) for indices in found):
        raise NotTried
    for (groups, share, wanted), given in zip(cases, found, strict=True):
        indices = _plain(given)
        if not isinstance(indices, list) or not all(isinstance(i, int) for i in indices):
            raise Hint(f"A list of indices is wanted, not a {type(given).__name__}.")
        if any(not 0 <= i < len(groups) for i in indices) or len(set(indices)) < len(indices):
            raise Hint(f"Of {len(groups)} images, {indices} are no indices, each once.")
        test = {groups[i] for i in indices}
        rest = {group for i, group in enumerate(groups) if i not in indices}
        if both := test & rest:
            raise Hint(f"Images of {min(both, key=str)!r} are on both sides: draw groups instead.")
        if not test or not rest:
            empty = "no group is in the test" if not test else "no group is left for training"
            raise Hint(f"With share={share} of {len(set(groups))} groups, {empty}.")
        if len(test) != wanted:
            raise Hint(
                f"With share={share}, {len(test)} of {len(set(groups))} groups are in the test; "
                f"{wanted} would be nearer. The share is one of groups, not of images."
            )
        if indices != sorted(indices):
            raise Hint("The indices should be in ascending order.")
    groups = [number % 10 for number in range(37)]
    draws = [_plain(call(answer, groups, 0.2, seed=seed, show=f"seed={seed}")) for seed in range(9)]
    if all(draw == draws[0] for draw in draws):
        raise Hint("Nine seeds give the same groups: is the seed used?")
    if _plain(call(answer, groups, 0.2, seed=0, show="seed=0")) != draws[0]:
        raise Hint("The same seed gives other groups the second time.")


def _plain(indices: Any) -> Any:
    """Give a list of Python's numbers where there is an array or a tensor."""
    if isinstance(indices, np.ndarray | Tensor):
        return indices.tolist()
    if isinstance(indices, list | tuple):
        return [int(i) if isinstance(i, np.integer) else i for i in indices]
    return indices


# 09.2: pixels from another program


@exercise("09.2")
def check_to_batch(answer: Any) -> None:
    """A picture whose every number is another one."""
    pixels = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    kept = pixels.copy()
    found = call(answer, pixels, show="a picture of 4 x 5 pixels")
    wanted = torch.from_numpy(kept.copy()).permute(2, 0, 1)[None]
    if not np.array_equal(pixels, kept):
        raise Hint("The picture that is given is changed.")
    if not isinstance(found, Tensor):
        raise Hint(f"A tensor is wanted, not a {type(found).__name__}.")
    if found.shape == (1, 3, 4, 5) and torch.equal(found, wanted.reshape(-1).view(1, 3, 4, 5)):
        if found.dtype != torch.uint8:
            raise Hint(f"uint8 is wanted, not {found.dtype}: the classifier normalizes by itself.")
        return
    if same(found.flatten().tolist(), kept.flatten().tolist()) and found.shape == (1, 3, 4, 5):
        raise NotTried("the numbers keep their order, so the channels are mixed up")
    if found.shape != (1, 3, 4, 5):
        raise Hint(f"The shape should be (1, 3, 4, 5), not {tuple(found.shape)}.")
    if torch.equal(found, wanted.flip(1)):
        raise Hint("Red and blue are swapped; these pictures are red, green, blue already.")
    if found.dtype != torch.uint8:
        raise Hint(f"uint8 is wanted, not {found.dtype}: the classifier normalizes by itself.")
    raise Hint(
        f"The first pixel is {kept[0, 0].tolist()} in the picture and {found[0, :, 0, 0].tolist()} "
        "in the batch. Which function moves axes, instead of reading numbers in a row?"
    )


# 09.3: not sure


@exercise("09.3")
def check_answers(answer: Any) -> None:
    """Sure, unsure, and exactly at the threshold."""
    probabilities = torch.tensor([[0.75, 0.25], [0.375, 0.625], [0.5, 0.5], [0.125, 0.875]])
    classes = ["cat", "dog"]
    cases = [
        (0.5, ["cat", "dog", "cat", "dog"]),
        (0.75, ["cat", "not sure", "not sure", "dog"]),
        (1.0, ["not sure"] * 4),
    ]
    found = [
        call(answer, probabilities, classes, threshold, show=f"probabilities, {threshold}")
        for threshold, _ in cases
    ]
    if all(same(list(one) if isinstance(one, tuple) else one, cases[0][1]) for one in found):
        raise NotTried
    for (threshold, wanted), given in zip(cases, found, strict=True):
        if not isinstance(given, list | tuple) or len(given) != 4:
            raise Hint("A list with one entry for each image is wanted.")
        for row, one, other in zip(probabilities.tolist(), given, wanted, strict=True):
            if same(one, other):
                continue
            if max(row) == threshold and one == "not sure":
                raise Hint(f"{row} is not below {threshold}, so there is an answer.")
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
            raise Hint(f"{case} this is the sum of the differences; half of it is wanted.")
        if isinstance(value, int | float) and value > 1:
            raise Hint(f"{case} you give {value:g}: shares are wanted, not counts.")
        raise Hint(
            f"{case} it should be {wanted:g}, not {value}. Does every class count, also new ones?"
        )


# 09.5: what a wrong parcel costs

TABLE = {0.0: (1000, 80), 0.5: (940, 50), 0.7: (850, 24), 0.9: (600, 6)}
PRICE = 9


@exercise("09.5")
def check_decision(answer: Any) -> None:
    """Do the numbers follow from the table?"""
    if not isinstance(answer, Mapping):
        raise Hint(f"A dict is wanted, not a {type(answer).__name__}.")
    for key in ("threshold", "cost", "cost without", "0.9 from"):
        if key not in answer:
            raise Hint(f"The decision lacks {key!r}.")
    costs = {t: cost_of_a_day(t, PRICE) for t in TABLE}
    if not close(answer["cost without"], costs[0.0]):
        raise Hint(
            f"Without a threshold {TABLE[0.0][1]} parcels are wrong and nobody looks at any: that "
            f"is not {answer['cost without']} €."
        )
    best = min(costs, key=costs.get)
    if answer["threshold"] not in TABLE:
        raise Hint(f"{answer['threshold']} is no threshold of the table.")
    if answer["threshold"] != best:
        raise Hint(
            f"With {answer['threshold']} a day costs {costs[answer['threshold']]} €; another "
            "threshold is cheaper. Parcels without an answer cost 1 € each."
        )
    if not close(answer["cost"], costs[best]):
        raise Hint(
            f"With {best} a day does not cost {answer['cost']} €: count both kinds of costs."
        )
    # 0.9 beats another threshold where the parcels it saves pay for those a human looks at.
    answered, wrong = TABLE[0.9]
    limits = [(a - answered) / (w - wrong) for t, (a, w) in TABLE.items() if t != 0.9]
    if not close(answer["0.9 from"], max(limits), 0.06):
        raise Hint(
            f"0.9 is not the best from {answer['0.9 from']} € on. Compare it with each of the "
            "others: how many more parcels does a human see, and how many wrong ones does it save?"
        )


def cost_of_a_day(threshold: float, price: float) -> float:
    """Give what a day of exercise 09.5 costs.

    Args:
        threshold: One of the table.
        price: Of a wrong parcel, in €.
    """
    answered, wrong = TABLE[threshold]
    return 1000 - answered + price * wrong
