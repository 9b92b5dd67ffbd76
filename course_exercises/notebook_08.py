"""The checks of notebook 08: largest attributions, similar images, a diagnosis."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_exercises.checks import Hint, NotTried, call, exercise, kind, plain
from course_exercises.reports import report_of, require_word

# 08.1: the elements with the largest attribution


@exercise("08.1")
def check_top_elements(answer: Any) -> None:
    """Test maps that are not square, and maps with equal and with negative values."""
    attribution = torch.rand(10, 10, generator=torch.Generator().manual_seed(0))
    ties = torch.zeros(4, 6)
    ties[0] = 1.0
    for given, share in [
        (attribution, 0.25),
        (attribution, 0.1),
        (attribution.reshape(5, 20) - 3, 0.5),
        (ties, 0.5),
    ]:
        size = tuple(given.shape)
        mask = call(answer, given.clone(), share, show=f"a map of shape {size}, {share}")
        if not isinstance(mask, Tensor) or mask.shape != given.shape:
            what = tuple(mask.shape) if isinstance(mask, Tensor) else kind(mask)
            raise Hint(f"For a map of shape {size} a tensor of that shape is expected, not {what}.")
        if mask.dtype != torch.bool:
            raise Hint(f"A bool tensor is expected, not {mask.dtype}.")
        count, wanted = int(mask.sum()), round(share * given.numel())
        found = f"{count} of {given.numel()} elements are True instead of {wanted}"
        why = "The share counts elements; it is not a fraction of the largest value."
        if given is ties:
            why = "A threshold selects all equal values or none. Sort the elements instead."
        if count != wanted:
            raise Hint(f"With share={share}, {found}. {why}")
        if given[mask].min() < given[~mask].max():
            raise Hint("An element that is False has a larger value than one that is True.")


# 08.2: a search that finds the query itself


@exercise("08.2")
def check_most_similar(answer: Any) -> None:
    """Test features of very different lengths, so that cosine and dot product disagree."""
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
            raise Hint(
                "Your function changes the features it was given; the next search needs them."
            )
        found = _indices(found, count)
        if found == wanted:
            continue
        if found == (features @ features[query]).topk(count).indices.tolist():
            raise NotTried("a dot product, which favors long features")
        if query in found:
            raise Hint(f"The most similar images to {query} include {query} itself; leave it out.")
        if 3 in found and 3 not in wanted:
            raise Hint(
                "Image 3 is found because its feature vector is long, not because it points in the "
                "same direction. Normalize all vectors to the same length first."
            )
        distances = torch.cdist(features[[query]], features)[0]
        distances[query] = float("inf")
        if found == distances.topk(count, largest=False).indices.tolist():
            raise Hint("By distance, long and short vectors of the same direction are far apart.")
        raise Hint(f"For image {query}, the most similar ones are {wanted}, not {found}.")


def _indices(found: Any, count: int) -> list:
    """Return indices as a list of the right length; they may be in a tensor."""
    found = plain(found)
    if not isinstance(found, list | tuple):
        raise Hint(f"A list or tensor of indices is expected, not a {kind(found)}.")
    if len(found) != count:
        raise Hint(f"With count={count}, your function returns {len(found)} indices.")
    return list(found)


# 08.3: a diagnosis

RELIES_ON = {"A": "background", "B": "animal", "C": "nothing", "D": "both"}
COLUMNS = ("validation", "swapped", "animal painted over", "evidence on the animal")
WHY = {
    "A": "painting over the animal hardly changes its accuracy (0.96)",
    "B": "without the animal it is at chance level (0.51), and swapping changes little (0.89)",
    "C": "it is at chance level in every column",
    "D": "swapping lowers its accuracy (0.71), but without the animal it is above chance (0.74)",
}


@exercise("08.3")
def check_diagnosis(answer: Any) -> None:
    """Check that every part of the diagnosis follows from the table."""
    diagnosis = report_of(answer, *RELIES_ON, "use", "misleading")
    for name, wanted in RELIES_ON.items():
        require_word(diagnosis, name, RELIES_ON.values(), wanted, WHY[name])
    if diagnosis["use"] != "B":
        raise Hint(
            f"You would use {diagnosis['use']!r}. Which network keeps its accuracy when the "
            "animals are on other backgrounds?"
        )
    because = "one column suggests the network that fails on other backgrounds"
    require_word(diagnosis, "misleading", COLUMNS, "validation", because)
