"""Divide images into training, validation and test sets."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import SubsetRandomSampler

from course_utils.data import DataError


def stratified_split(
    targets: Sequence[int], fractions: Mapping[str, float], seed: int = 0
) -> dict[str, list[int]]:
    """Divide indices at random so that every part has the same mix of classes.

    Each class is shuffled and cut on its own. A class with as many images as there are parts, or
    more, is in every part.

    Args:
        targets: The class index of each image.
        fractions: The share of each part; together 1.
        seed: Of the shuffling.

    Returns:
        The indices of each part in ascending order. Every index is in exactly one part.

    Raises:
        DataError: A fraction is not more than 0, or they do not add up to 1, or there are no
            images, or a class has fewer of them than there are parts.

    Example:
        >>> parts = stratified_split([0, 0, 0, 1, 1, 1], {"train": 0.67, "test": 0.33})
        >>> [len(indices) for indices in parts.values()]
        [4, 2]
    """
    for name, fraction in fractions.items():
        if not fraction > 0:  # NaN neither
            raise DataError(f"The fraction of {name!r} must be more than 0, not {fraction:g}.")
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise DataError(f"The fractions add up to {sum(fractions.values()):.7g}, not to 1.")
    if len(targets) == 0:
        raise DataError("There are no images to divide: is the data set empty?")
    generator = np.random.default_rng(seed)
    targets = np.asarray(targets)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for label in np.unique(targets):
        indices = generator.permutation(np.flatnonzero(targets == label))
        if len(indices) < len(parts):
            raise DataError(
                f"Class {label} has {len(indices)} images, too few for {len(parts)} parts; add "
                f"images or leave the class out."
            )
        for name, chosen in zip(
            parts, np.split(indices, _cuts(len(indices), fractions)), strict=True
        ):
            parts[name].extend(chosen.tolist())
    return {name: sorted(indices) for name, indices in parts.items()}


def _cuts(count: int, fractions: Mapping[str, float]) -> list[int]:
    """Place the cuts so that each part has at least one of `count` items."""
    shares = np.cumsum(list(fractions.values()))[:-1]
    cuts = np.round(shares * count).astype(int)
    for number in range(len(cuts)):
        at_least = (cuts[number - 1] if number else 0) + 1
        at_most = count - (len(cuts) - number)
        cuts[number] = min(max(cuts[number], at_least), at_most)
    return cuts.tolist()


def split_samplers(
    targets: Sequence[int], val_fraction: float = 0.2, seed: int = 0
) -> tuple[SubsetRandomSampler, SubsetRandomSampler]:
    """Make samplers that draw training and validation images from the same data set.

    Give each to a loader with a data set object of its own: the same files, but the one for
    validation without augmentation.

    Args:
        targets: The class index of each image.
        val_fraction: The share of the validation set.
        seed: Of the split and of both samplers' order.

    Returns:
        The sampler for training and the one for validation.
    """
    fractions = {"train": 1 - val_fraction, "val": val_fraction}
    parts = stratified_split(targets, fractions, seed)
    return tuple(
        SubsetRandomSampler(parts[name], generator=torch.Generator().manual_seed(seed))
        for name in ("train", "val")
    )
