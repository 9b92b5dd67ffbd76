"""Divisions of a dataset: stratified, complete, disjoint, and the same every time."""

import pytest

from course_utils.datasets import split_samplers, stratified_split
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


def test_the_parts_are_the_same_on_every_machine():
    # What notebooks store depends on it.
    targets = [0] * 8 + [1] * 6
    assert stratified_split(targets, {"train": 0.6, "test": 0.4}) == {
        "train": [2, 3, 4, 5, 6, 9, 10, 12, 13],
        "test": [0, 1, 7, 8, 11],
    }
    train, val = split_samplers(targets)
    assert list(train) == [13, 0, 5, 4, 6, 10, 3, 2, 12, 9, 8] and list(val) == [11, 1, 7]


@pytest.mark.parametrize("count", [3, 4, 5, 7])
def test_a_small_class_is_in_every_part(count):
    parts = stratified_split([0] * count, {"train": 0.98, "val": 0.01, "test": 0.01})
    sizes = [len(indices) for indices in parts.values()]
    assert sizes == [count - 2, 1, 1]
    reverse = stratified_split([0] * count, {"a": 0.01, "b": 0.01, "c": 0.98})
    assert [len(indices) for indices in reverse.values()] == [1, 1, count - 2]


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({"train": 1.0, "val": 0}, "'val' must be more than 0, not 0"),
        ({"train": 1.5, "val": -0.5}, "'val' must be more than 0, not -0.5"),
        ({"train": float("nan"), "val": 0.5}, "'train' must be more than 0, not nan"),
        ({"train": 1e9, "val": float("inf")}, "add up to inf"),
        ({"train": 0.5, "val": 0.500002}, r"add up to 1\.000002, not to 1"),
        ({}, "add up to 0"),
    ],
)
def test_fractions_that_are_none_get_a_sentence(fractions, message):
    with pytest.raises(DataError, match=message):
        stratified_split(TARGETS, fractions)


def test_rounded_fractions_are_taken():
    fractions = {"a": 0.3333333, "b": 0.3333333, "c": 0.3333333}
    assert [len(part) for part in stratified_split([0] * 9, fractions).values()] == [3, 3, 3]


def test_the_order_of_the_fractions_is_that_of_the_parts():
    parts = stratified_split(TARGETS, {"test": 0.2, "train": 0.8})
    assert [(name, len(part)) for name, part in parts.items()] == [("test", 32), ("train", 128)]


def test_mistakes_get_a_sentence():
    with pytest.raises(DataError, match="no images to divide"):
        stratified_split([], FRACTIONS)
    with pytest.raises(DataError, match="'val' must be more than 0"):
        split_samplers(TARGETS, val_fraction=0)
    with pytest.raises(DataError, match=r"add up to 0\.9, not to 1"):
        stratified_split(TARGETS, {"train": 0.7, "test": 0.2})
    with pytest.raises(DataError, match="Class 1 has 1 images, too few for 2 parts"):
        stratified_split([0, 0, 0, 1], {"train": 0.5, "test": 0.5})


def test_samplers_divide_and_shuffle():
    train, val = split_samplers(TARGETS, val_fraction=0.2)
    first, second = list(train), list(train)
    assert first != second
    assert sorted(first) == sorted(second)
    assert sorted([*first, *val]) == list(range(160))
    assert mix(list(val)) == [20, 10, 2]
    assert list(split_samplers(TARGETS)[0]) == first
