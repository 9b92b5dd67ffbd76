"""The checks of notebook 11: patches, attention, position embeddings, an ablation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_exercises.checks import Hint, NotTried, call, close, exercise, kind, short
from course_exercises.reports import is_count, is_number, report_of, require_word

# 11.1: from patches to images


def _cut(images: Tensor, size: int) -> Tensor:
    batch, channels, height, width = images.shape
    grid = images.reshape(batch, channels, height // size, size, width // size, size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * size**2)


@exercise("11.1")
def check_to_images(answer: Any) -> None:
    """Images of which every value is different, gray and in color."""
    for batch, channels, side, size in [(2, 1, 6, 3), (1, 3, 6, 2), (3, 2, 4, 4)]:
        images = torch.arange(batch * channels * side**2).view(batch, channels, side, side).float()
        case = f"patches of {tuple(images.shape)}, size={size}, channels={channels}"
        found = call(answer, _cut(images, size), size, channels, show=case)
        _require_shape(found, images, case)
        if not close(found, images):
            raise Hint(f"For {case} {_why_not_the_image(found, images, size)}")


def _require_shape(found: Any, wanted: Tensor, case: str) -> None:
    if not isinstance(found, Tensor):
        raise Hint(f"For {case} a tensor is expected, not a {kind(found)}.")
    if found.shape != wanted.shape:
        raise Hint(
            f"For {case} the result should have the shape {tuple(wanted.shape)}, "
            f"not {tuple(found.shape)}."
        )


def _why_not_the_image(found: Tensor, images: Tensor, size: int) -> str:
    if close(found, _cut(images, size).reshape(images.shape)):
        return (
            "the values are reshaped, but not moved: the values of a patch must become a square. "
            "Reshape to six dimensions, permute, reshape again."
        )
    if close(found, images.transpose(2, 3)):
        return "rows and columns of the whole image are swapped."
    if close(_cut(found, size).sort().values, _cut(images, size).sort().values):
        return "each patch is in its place, but the pixels inside it are not."
    if close(_cut(found, size), _cut(images, size).transpose(1, 2).reshape_as(_cut(images, size))):
        return "the dimensions of patches and of values are swapped."
    places = _cut(images, size)
    if any(close(_cut(found, size)[:, i], places[:, j]) for i, j in ((0, 0), (0, -1))):
        return (
            "the pixels inside the patches are right, but the patches are not in the order "
            "row by row."
        )
    return "some pixels are not where they were. Which dimension is which after your reshape?"


# 11.2: two bugs in attention


@exercise("11.2")
def check_head_attention(answer: Any) -> None:
    """Sizes that are all different, so that every dimension shows."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, 5, 7)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    found = call(answer, q, k, v, show=f"q, k, v of shape {shape}")
    wanted = F.scaled_dot_product_attention(q, k, v)
    _require_shape(found, wanted, f"q, k, v of shape {shape}")
    if close(found, wanted, 1e-5):
        return
    product = q @ k.transpose(-2, -1)
    divisors = {"d": 7**0.5, "tokens": 5**0.5, "heads": 3**0.5, "nothing": 1.0, "only d": 7.0}
    for dim, place in ((-1, "keys"), (-2, "queries"), (1, "heads"), (0, "batch")):
        for name, divisor in divisors.items():
            if close(found, (product / divisor).softmax(dim) @ v, 1e-5):
                if dim == 1 and name == "tokens":
                    raise NotTried("the function does what it did before")
                raise Hint(_why_not_attention(place, name))
    raise Hint(
        "The result is neither attention nor one of its usual bugs. Only two places of the "
        "function need a change: the divisor and the dimension of the softmax."
    )


def _why_not_attention(place: str, divisor: str) -> str:
    if place != "keys":
        fixed = "The divisor is right, but the" if divisor == "d" else "The"
        return (
            f"{fixed} weights add up to 1 over the {place}. Each query distributes its weights: "
            "over which dimension of (batch, heads, queries, keys)?"
        )
    return {
        "nothing": "The scores are not divided by anything: their variance grows with d.",
        "only d": "The scores are divided by d; it should be the square root of d.",
    }.get(
        divisor,
        f"The softmax is right, but the divisor is the root of the number of {divisor}. "
        "d is the length of a query.",
    )


# 11.3: position embeddings for another image size


@exercise("11.3")
def check_resize_positions(answer: Any) -> None:
    """A grid that grows along rows in one value, along columns in another, and is constant."""
    side, new_side = 4, 8
    row, column = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    grid = torch.stack([row, column, torch.full((side, side), 5.0)], dim=2).view(1, -1, 3)
    positions = torch.cat([torch.tensor([[[-50.0, 70.0, 90.0]]]), grid], dim=1)
    case = f"pos_embed of shape {tuple(positions.shape)}, new_side={new_side}"
    found = call(answer, positions.clone(), new_side, show=case)
    if isinstance(found, Tensor) and found.shape == positions.shape:
        raise NotTried
    _require_shape(found, torch.empty(1, 1 + new_side**2, 3), case)
    if not close(found[:, 0], positions[:, 0]):
        raise Hint(f"For {case} the first vector, that of the class token, should be unchanged.")
    resized = found[0, 1:].view(new_side, new_side, 3)
    if not close(resized[..., 2], torch.full((new_side, new_side), 5.0), 1e-4):
        raise Hint(
            "A value that is the same at all patches should stay the same. Does the class token "
            "take part in the interpolation, or is a dimension mistaken for another?"
        )
    if resized[..., 0].diff(dim=1).abs().max() > 1e-4:
        raise Hint(
            "Rows and columns are swapped or mixed: a value that grows only along the rows of the "
            "grid should not change along its columns. F.interpolate expects (1, dim, side, side)."
        )
    if resized[..., 0].diff(dim=0).min() < 1e-4 or resized[..., 1].diff(dim=1).min() < 1e-4:
        raise Hint(
            "Neighbors have equal values, or the order is reversed: a value that grows along the "
            'rows should grow in the result, too. Use mode="bicubic" or "bilinear".'
        )
    positions = positions[:, :10]  # as if from 3 x 3 patches
    again = call(answer, positions.clone(), 3, show=f"{tuple(positions.shape)}, new_side=3")
    _require_shape(again, positions, "new_side=3, the old side")
    if not close(again, positions, 1e-4):
        raise Hint("For the old side, the result should be the same position embeddings.")


# 11.4: an ablation

CHANGES = ("dim", "depth", "heads", "pos_std")
TRIED = ({"pos_std": None}, {"pos_std": 0.02}, {"depth": 1})
CONCLUSIONS = ("better", "worse", "undecided")


@exercise("11.4")
def check_my_ablation(answer: Any) -> None:
    """Is one new setting changed, and does the conclusion fit the interval?"""
    report = report_of(answer, "change", "difference", "interval", "conclusion")
    change, ends, difference = report["change"], report["interval"], report["difference"]
    if type(change) is not dict or len(change) != 1:
        raise Hint(f'"change" should be a dict with one setting, not {short(change)}.')
    if unknown := [name for name in change if name not in CHANGES]:
        raise Hint(f"The ViT has no setting {unknown[0]!r}; there are {', '.join(CHANGES)}.")
    if change in TRIED:
        raise Hint(f"Section 6 tried {change} already: change another setting.")
    [(name, value)] = change.items()
    if not is_number(value, 0) or value == 0 or (name != "pos_std" and not is_count(value)):
        raise Hint(f'"{name}" should be a positive number, not {short(value)}.')
    setting = {"dim": 48, "heads": 4, "depth": 4} | change  # the default parameters
    if setting["dim"] % setting["heads"] or (name == "depth" and value <= 4):
        raise Hint(f"{change} does not fit: dim is a multiple of heads, depth is larger than 4.")
    if type(ends) not in (tuple, list) or len(ends) != 2 or not all(map(is_number, ends)):
        raise Hint(f'"interval" should be two numbers, its ends, not {short(ends)}.')
    low, high = ends
    if low > high:
        raise Hint(f"The interval starts with its lower end; {low} is above {high}.")
    if low == high:
        raise Hint(f"The interval has the width 0: does {change} change anything?")
    if not is_number(difference, -1, 1):
        raise Hint(f'"difference" should be a number from -1 to 1, not {short(difference)}.')
    if not close(difference, (low + high) / 2, 0.0021):
        raise Hint(
            f"The difference {difference} is not in the middle of the interval from "
            f"{low} to {high}: they come from different runs."
        )
    expected = "better" if low > 0 else "worse" if high < 0 else "undecided"
    because = f"the interval from {low} to {high} " + (
        "contains 0" if expected == "undecided" else "does not contain 0"
    )
    require_word(report, "conclusion", CONCLUSIONS, expected, because)
