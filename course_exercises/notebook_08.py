"""The checks of notebook 08: looking inside a network."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_exercises.checks import Hint, NotTried, call, close, exercise, kind, plain, same
from course_exercises.reports import report_of, require_word

# 08.1: the images with the largest activations of a channel


@exercise("08.1")
def check_strongest(answer: Any) -> None:
    """Maps in which mean, maximum and sum over all channels point to different images."""
    maps = torch.zeros(5, 3, 4, 4)
    maps[:, 1] = torch.tensor([0.2, 0.9, 0.1, 0.6, 0.4]).view(5, 1, 1)
    maps[2, 1, 0, 0] = 5.0  # the largest single value, in an image of a small mean
    maps[:, 0] = torch.tensor([9.0, 1.0, 2.0, 3.0, 8.0]).view(5, 1, 1)
    means = maps[:, 1].mean(dim=(1, 2))
    wanted = means.argsort(descending=True).tolist()
    for count in (4, 2):
        found = _indices(call(answer, maps, 1, count, show=f"maps of 5 images, 1, {count}"), count)
        if found == wanted[:count]:
            continue
        if found == means.argsort().tolist()[:count]:
            raise Hint(f"{found}: the smallest means come first; the largest are expected.")
        if found[0] == 2:
            raise Hint(
                "Image 2 has one single large value, but a small mean: average over rows and "
                "columns instead of taking the maximum."
            )
        if found[0] in (0, 4):
            raise Hint("Other channels are counted as well; only the channel that is given is.")
        raise Hint(f"The means are {means.tolist()}; your indices are {found}, not {wanted}.")


def _indices(found: Any, count: int) -> list:
    """Return indices as a list, whatever holds them."""
    found = plain(found)
    if not isinstance(found, list | tuple):
        raise Hint(f"Indices are expected, as a list or a tensor, not a {kind(found)}.")
    if len(found) != count:
        raise Hint(f"With count={count} there are {len(found)} indices.")
    return list(found)


# 08.2: the hottest places


@exercise("08.2")
def check_hottest(answer: Any) -> None:
    """Maps of odd shapes, with equal and with negative heats."""
    heat = torch.rand(10, 10, generator=torch.Generator().manual_seed(0))
    ties = torch.zeros(4, 6)
    ties[0] = 1.0
    for given, share in [(heat, 0.25), (heat, 0.1), (heat.reshape(5, 20) - 3, 0.5), (ties, 0.5)]:
        size = tuple(given.shape)
        mask = call(answer, given.clone(), share, show=f"a map of shape {size}, {share}")
        if not isinstance(mask, Tensor) or mask.shape != given.shape:
            what = tuple(mask.shape) if isinstance(mask, Tensor) else kind(mask)
            raise Hint(f"For a map of shape {size} a tensor of that shape is expected, not {what}.")
        if mask.dtype != torch.bool:
            raise Hint(f"A bool tensor is expected, not {mask.dtype}.")
        count, wanted = int(mask.sum()), round(share * given.numel())
        found = f"{count} of {given.numel()} places are True instead of {wanted}"
        why = "The share is one of places, not of the largest heat."
        if given is ties:
            why = "A threshold takes all or none of equal heats. Sort the places instead."
        if count != wanted:
            raise Hint(f"With share={share}, {found}. {why}")
        if given[mask].min() < given[~mask].max():
            raise Hint("Some place that is False is hotter than one that is True.")


# 08.3: the worst group


@exercise("08.3")
def check_worst_group(answer: Any) -> None:
    """Groups of different sizes, one of them without a mistake and one without a hit."""
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
    for (correct, groups, (name, accuracy)), pair in zip(cases, found, strict=True):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise Hint("A pair is expected: the name of a group and its accuracy.")
        if pair[0] == name and close(pair[1], accuracy):
            continue
        case = f"For {correct} and {groups}"
        if pair[0] == name:
            raise Hint(f"{case} the group is right, but its accuracy is {accuracy}, not {pair[1]}.")
        if name == "small":
            raise Hint(
                f"{case} you return {pair[0]!r}: it has the most mistakes, but the lowest "
                "*accuracy* is what counts. How many images has each group?"
            )
        raise Hint(f"{case} the worst group is {name!r} ({accuracy}), not {pair[0]!r}.")


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
        found = call(answer, features, query, count, show=f"features, {query}, {count}")
        if not torch.equal(features, kept):
            raise Hint("The features that are given are changed; the next search needs them.")
        found = _indices(found, count)
        if found == wanted:
            continue
        if found == (features @ features[query]).topk(count).indices.tolist():
            raise NotTried("a dot product, which favors long features")
        if query in found:
            raise Hint(f"Asked for what is like image {query}, the search finds {query} itself.")
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

RELIES_ON = {"A": "background", "B": "animal", "C": "nothing", "D": "both"}
COLUMNS = ("validation", "swapped", "animal painted over", "heat on the animal")
WHY = {
    "A": "without the animal it is as good as with it (0.96)",
    "B": "without the animal it guesses (0.51), and swapped backgrounds do not disturb it (0.89)",
    "C": "it is at chance level in every column",
    "D": "swapped backgrounds cost it much (0.71), and without the animal it is better than chance",
}


@exercise("08.5")
def check_diagnosis(answer: Any) -> None:
    """Does every part of the diagnosis follow from the table?"""
    diagnosis = report_of(answer, *RELIES_ON, "use", "misleading")
    for name, wanted in RELIES_ON.items():
        require_word(diagnosis, name, RELIES_ON.values(), wanted, WHY[name])
    if diagnosis["use"] != "B":
        raise Hint(
            f"You would use {diagnosis['use']!r}. Which one keeps its accuracy when the animals "
            "are where they have never been before?"
        )
    because = "A is not the best by it. One column puts the worst network at the top"
    require_word(diagnosis, "misleading", COLUMNS, "validation", because)
