"""The checks of notebook 08: looking inside a network."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_exercises import Hint, NotTried, call, close, exercise, same

# 08.1: which images make a channel answer most


@exercise("08.1")
def check_strongest(answer: Any) -> None:
    """Maps in which mean, maximum and sum over all channels point to different images."""
    maps = torch.zeros(5, 3, 4, 4)
    maps[:, 1] = torch.tensor([0.2, 0.9, 0.1, 0.6, 0.4]).view(5, 1, 1)
    maps[2, 1, 0, 0] = 5.0  # the largest single number, in an image of a small mean
    maps[:, 0] = torch.tensor([9.0, 1.0, 2.0, 3.0, 8.0]).view(5, 1, 1)
    means = maps[:, 1].mean(dim=(1, 2))
    wanted = means.argsort(descending=True).tolist()
    for count in (4, 2):
        found = _indices(call(answer, maps, 1, count, show=f"maps of 5 images, 1, {count}"))
        if found == wanted[:count]:
            continue
        if len(found) != count:
            raise Hint(f"With count={count} there are {len(found)} indices.")
        if found == means.argsort().tolist()[:count]:
            raise Hint(f"{found}: the smallest means come first; the largest are wanted.")
        if found[0] == 2:
            raise Hint(
                "Image 2 has one single large number, but a small mean: average over rows and "
                "columns instead of taking the maximum."
            )
        if found[0] in (0, 4):
            raise Hint("Other channels are counted as well; only the channel that is given is.")
        raise Hint(f"The means are {means.tolist()}; your indices are {found}, not {wanted}.")


def _indices(found: Any) -> list:
    """Give indices as a list, whatever holds them."""
    values = found.tolist() if hasattr(found, "tolist") else found
    if not isinstance(values, list | tuple):
        raise Hint(f"Indices are wanted, as a list or a tensor, not a {type(found).__name__}.")
    return list(values)


# 08.2: the hottest places


@exercise("08.2")
def check_hottest(answer: Any) -> None:
    """Maps of odd shapes, with equal and with negative heats."""
    heat = torch.rand(10, 10, generator=torch.Generator().manual_seed(0))
    ties = torch.zeros(4, 6)
    ties[0] = 1.0
    cases = [(heat, 0.25), (heat, 0.1), (heat.reshape(5, 20) - 3, 0.5), (ties, 0.5)]
    for number, (given, share) in enumerate(cases):
        size = tuple(given.shape)
        mask = call(answer, given.clone(), share, show=f"a map of shape {size}, {share}")
        if not isinstance(mask, Tensor) or mask.shape != given.shape:
            what = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
            raise Hint(f"For a map of shape {size} a tensor of that shape is wanted, not {what}.")
        if mask.dtype != torch.bool:
            raise Hint(f"A bool tensor is wanted, not {mask.dtype}.")
        count, wanted = int(mask.sum()), round(share * given.numel())
        if number == 3 and count != wanted:
            raise Hint(
                f"Where many heats are equal, {count} of {given.numel()} places are True instead "
                f"of {wanted}: a threshold takes all or none of them. Sort the places instead."
            )
        if count != wanted:
            raise Hint(
                f"With share={share}, {count} of {given.numel()} places are True instead of "
                f"{wanted}. The share is one of places, not of the largest heat."
            )
        if given[mask].min() < given[~mask].max():
            raise Hint("Some place that is False is hotter than one that is True.")


# 08.3: the worst group


@exercise("08.3")
def check_worst_group(answer: Any) -> None:
    """Groups of different sizes, among them one without a mistake and one without a hit."""
    cases = [
        ([True, True, False, True, False, False], ["a", "a", "a", "a", "b", "b"], ("b", 0.0)),
        ([True, False, True, True, True], ["x", "x", "y", "y", "y"], ("x", 0.5)),
        ([False] * 3 + [True] * 7 + [False, True], ["big"] * 10 + ["small"] * 2, ("small", 0.5)),
    ]
    found = [
        call(answer, list(correct), list(groups), show=f"{correct}, {groups}")
        for correct, groups, _ in cases
    ]
    if all(same(one, ("", 1.0)) for one in found):
        raise NotTried
    for (correct, groups, (name, share)), pair in zip(cases, found, strict=True):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise Hint("A pair is wanted: the name of a group and its accuracy.")
        if pair[0] == name and close(pair[1], share):
            continue
        case = f"For {correct} and {groups}"
        if pair[0] == name:
            raise Hint(f"{case} the group is right, but its accuracy is {share}, not {pair[1]}.")
        if name == "small":
            raise Hint(
                f"{case} you say {pair[0]!r}: it has the most mistakes, but the lowest *share* of "
                f"right ones is what counts. How many images has each group?"
            )
        raise Hint(f"{case} the worst group is {name!r} ({share}), not {pair[0]!r}.")


# 08.4: a search that always finds itself


@exercise("08.4")
def check_most_similar(answer: Any) -> None:
    """Features of very different lengths, so that directions and dot products disagree."""
    generator = torch.Generator().manual_seed(6)
    features = torch.randn(12, 6, generator=generator)
    features[3] = 40.0 * (0.3 * features[0] + 0.3 * features[5] + features[3])  # long
    features[7] = 0.02 * features[0] + 0.001 * torch.randn(6, generator=generator)
    kept = features.clone()
    directions = F.normalize(features, dim=1)
    for query, count in [(0, 3), (5, 4)]:
        scores = directions @ directions[query]
        scores[query] = -2
        wanted = scores.topk(count).indices.tolist()
        found = _indices(call(answer, features, query, count, show=f"features, {query}, {count}"))
        if not torch.equal(features, kept):
            raise Hint("The features that are given are changed; the next search needs them.")
        if found == wanted:
            continue
        if found == (features @ features[query]).topk(count).indices.tolist():
            raise NotTried("a dot product, which favors long features")
        if query in found:
            raise Hint(f"Asked for what is like image {query}, the search finds {query} itself.")
        if len(found) != count:
            raise Hint(f"With count={count} there are {len(found)} indices.")
        if 3 in found and 3 not in wanted:
            raise Hint(
                "Image 3 is found because its features are long, not because they point the same "
                "way. Bring all features to the same length first."
            )
        distances = torch.cdist(features[[query]], features)[0]
        distances[query] = float("inf")
        if found == distances.topk(count, largest=False).indices.tolist():
            raise Hint("By distance, long and short features of one direction are far apart.")
        raise Hint(f"For image {query} the most similar ones are {wanted}, not {found}.")


# 08.5: a diagnosis

LOOKS = {"A": "background", "B": "animal", "C": "nothing", "D": "both"}
COLUMNS = ("validation", "swapped", "animal painted over", "heat on the animal")
WHY = {
    "A": "without the animal it is as good as with it (0.96)",
    "B": "without the animal it guesses (0.51), and swapped backgrounds do not disturb it (0.89)",
    "C": "it guesses wherever it is asked",
    "D": "swapped backgrounds cost it much (0.71), and without the animal it is better than chance",
}


@exercise("08.5")
def check_diagnosis(answer: Any) -> None:
    """Does every part of the diagnosis follow from the table?"""
    if not isinstance(answer, Mapping):
        raise Hint(f"A dict is wanted, not a {type(answer).__name__}.")
    if missing := [key for key in (*LOOKS, "use", "misleading") if key not in answer]:
        raise Hint(f"The diagnosis lacks {missing[0]!r}.")
    for name, wanted in LOOKS.items():
        if answer[name] not in LOOKS.values():
            raise Hint(f"Network {name}: {answer[name]!r} is none of the four answers.")
        if not same(answer[name], wanted):
            raise Hint(f"Network {name} does not look at {answer[name]!r}: {WHY[name]}.")
    if answer["use"] != "B":
        raise Hint(
            f"You would use {answer['use']!r}. Which one keeps its accuracy when the animals stand "
            "where they have never stood before?"
        )
    if answer["misleading"] not in COLUMNS:
        raise Hint(f"{answer['misleading']!r} is no column; there are {', '.join(COLUMNS)}.")
    if answer["misleading"] != "validation":
        raise Hint(
            f"By {answer['misleading']!r} alone, would A have been your choice? One column puts "
            "the worst network at the top."
        )
