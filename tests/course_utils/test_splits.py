"""Divisions of a dataset: stratified, complete, disjoint, and the same every time."""

import pytest

from course_utils.datasets import stratified_split
from course_utils.errors import DataError

TARGETS = [0] * 100 + [1] * 50 + [2] * 10
FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}


def mix(indices):
    return [sum(TARGETS[index] == label for index in indices) for label in range(3)]


def test_every_part_has_the_same_mix():
    parts = stratified_split(TARGETS, FRACTIONS)
    assert {name: mix(indices) for name, indices in parts.items()} == {
        "train": [60, 30, 6],
        "val": [20, 10, 2],
        "test": [20, 10, 2],
    }


def test_every_image_is_in_exactly_one_part():
    parts = stratified_split(TARGETS, FRACTIONS)
    everything = [index for indices in parts.values() for index in indices]
    assert sorted(everything) == list(range(160))
    assert all(indices == sorted(indices) for indices in parts.values())


def test_the_seed_decides():
    assert stratified_split(TARGETS, FRACTIONS, 3) == stratified_split(TARGETS, FRACTIONS, 3)
    assert stratified_split(TARGETS, FRACTIONS, 3) != stratified_split(TARGETS, FRACTIONS, 4)


@pytest.mark.parametrize("names", [[0, 1], ["cat", "dog"]])
def test_the_parts_are_the_same_on_every_machine(names):
    # The stored outputs of the notebooks depend on it.
    targets = [names[0]] * 8 + [names[1]] * 6
    assert stratified_split(targets, {"train": 0.6, "test": 0.4}) == {
        "train": [2, 3, 4, 5, 6, 9, 10, 12, 13],
        "test": [0, 1, 7, 8, 11],
    }


@pytest.mark.parametrize("count", [3, 4, 5, 7])
def test_a_small_class_is_in_every_part(count):
    parts = stratified_split([0] * count, {"train": 0.98, "val": 0.01, "test": 0.01})
    sizes = [len(indices) for indices in parts.values()]
    assert sizes == [count - 2, 1, 1]
    reverse = stratified_split([0] * count, {"a": 0.01, "b": 0.01, "c": 0.98})
    assert [len(indices) for indices in reverse.values()] == [1, 1, count - 2]


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 1.0, "val": 0},
        {"train": 1.5, "val": -0.5},
        {"train": float("nan"), "val": 0.5},
        {"train": 1e9, "val": float("inf")},
        {"train": 0.5, "val": 0.500002},
        {"train": 0.7, "test": 0.2},
        {},
    ],
)
def test_fractions_that_do_not_add_up_are_refused(fractions):
    with pytest.raises(DataError, match="must be positive and add up to 1, not {"):
        stratified_split(TARGETS, fractions)


def test_rounded_fractions_are_accepted_and_keep_their_order():
    fractions = {"c": 0.3333333, "b": 0.3333333, "a": 0.3333333}
    parts = stratified_split([0] * 9, fractions)
    assert [(name, len(part)) for name, part in parts.items()] == [("c", 3), ("b", 3), ("a", 3)]


def test_a_class_with_too_few_images_is_named():
    with pytest.raises(DataError, match="Class dog has 1 images, too few for 2 parts"):
        stratified_split(["cat"] * 3 + ["dog"], {"train": 0.5, "test": 0.5})
