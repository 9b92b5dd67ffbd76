"""Whole datasets in memory: the same images as on disk, all of one size, normalized alike."""

from pathlib import Path

import pytest
import torch

from course_utils.datasets import InMemoryDataset, first_of_each_class, load_in_memory, load_splits
from course_utils.errors import DataError
from course_utils.transforms import resize_to_square

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"


def test_the_images_are_those_of_the_splits():
    parts, memory = load_splits(PHOTOS, seed=3), load_in_memory(PHOTOS, 24, seed=3)
    assert list(memory) == ["train", "val", "test"]
    for name, part in parts.items():
        expected = InMemoryDataset.decode(part, resize_to_square(24))
        assert torch.equal(memory[name].images, expected.images)
        assert memory[name].targets.tolist() == part.targets
        assert memory[name].classes == part.classes


def test_all_parts_are_normalized_by_the_training_images():
    memory = load_in_memory(PHOTOS, 24)
    train = memory["train"].batch_transform(memory["train"].images)
    torch.testing.assert_close(train.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    variance = train.var(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(variance, torch.ones(3), atol=1e-4, rtol=0)
    image = memory["train"].images[:1]
    assert all(torch.equal(part.batch_transform(image), train[:1]) for part in memory.values())
    assert all(part.transform is None for part in memory.values())


def test_a_given_transform_replaces_normalization():
    memory = load_in_memory(PHOTOS, 24, mode="L", transform=lambda batch: batch.float())
    images, _ = memory["val"][0]
    assert images.shape == (1, 24, 24) and torch.equal(images, memory["val"].images[0].float())


def test_the_first_of_each_class_are_kept():
    whole = load_splits(PHOTOS)["train"]  # at least four images of each class
    few = first_of_each_class(whole, max_images=9)
    assert few.targets == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for label in range(3):
        of_class = [sample for sample in whole.samples if sample[1] == label]
        assert [sample for sample in few.samples if sample[1] == label] == of_class[:3]
    assert first_of_each_class(whole, max_images=1).targets == [0, 0, 1, 1, 2, 2]
    assert first_of_each_class(whole, max_images=1000).samples == whole.samples
    assert len(load_in_memory(PHOTOS, 8, max_images=9)["train"]) == 9


def test_a_missing_folder_gets_a_sentence(tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        load_in_memory(tmp_path / "nowhere", 24)
