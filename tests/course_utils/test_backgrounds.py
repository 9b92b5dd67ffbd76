"""Objects land on backgrounds, where the mask says, and the same seed paints the same pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.backgrounds import TEXTURES, composite, paint_texture, place_on_backgrounds
from course_utils.datasets import image_folder, load_splits
from course_utils.errors import DataError


@pytest.fixture
def disc():
    """A red disc, cut out."""
    rows, columns = np.mgrid[:40, :40]
    inside = (rows - 19.5) ** 2 + (columns - 19.5) ** 2 < 19**2
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[inside] = (255, 0, 0, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", TEXTURES)
def test_a_background_lies_between_its_colors(name):
    picture = np.asarray(paint_texture(name, 48, np.random.default_rng(0))).astype(int)
    low, high = np.sort(TEXTURES[name][:2], axis=0)
    assert picture.shape == (48, 48, 3)
    assert (picture >= low).all() and (picture <= high).all()
    assert picture.std() > 5
    other = np.asarray(paint_texture(name, 48, np.random.default_rng(1)))
    assert (other != picture).any()


def test_an_object_is_where_the_mask_says(disc):
    background = Image.new("RGB", (50, 60), (0, 0, 255))
    picture, mask = composite(disc, background)
    pixels = torch.from_numpy(np.asarray(picture).copy())
    assert picture.size == (50, 60) and mask.shape == (60, 50) and mask.dtype == torch.bool
    # A disc over four fifths of the shorter side: 20 pixels of radius, except for the rim.
    assert abs(int(mask.sum()) - np.pi * 19**2) < 60
    assert mask[30, 25] and not mask[:9].any() and not mask[-9:].any()
    assert (pixels[mask][:, 0] >= 127).all() and (pixels[~mask][:, 2] >= 127).all()
    assert pixels[0, 0].tolist() == [0, 0, 255]


@pytest.fixture
def folder(tmp_path, disc):
    for name, color in (("red", 0), ("green", 1)):
        (tmp_path / name).mkdir()
        bands = list(disc.split())
        bands[0], bands[color] = bands[color], bands[0]
        Image.merge("RGBA", bands).save(tmp_path / name / "disc.png")
    return image_folder(tmp_path, mode="RGB")


def test_copies_have_backgrounds_of_their_own(folder):
    memory, masks = place_on_backgrounds(folder, ["sky", None], 32, copies=3, seed=5)
    assert memory.images.shape == (6, 3, 32, 32) and masks.shape == (6, 32, 32)
    assert memory.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert memory.classes == ["green", "red"]
    assert len(torch.unique(memory.images, dim=0)) == 6
    again, _ = place_on_backgrounds(folder, ["sky", None], 32, copies=3, seed=5)
    other, _ = place_on_backgrounds(folder, ["sky", None], 32, copies=3, seed=6)
    assert torch.equal(again.images, memory.images)
    assert not torch.equal(other.images, memory.images)


def test_mistakes_are_named(folder, tmp_path):
    with pytest.raises(KeyError, match="moon"):
        place_on_backgrounds(folder, ["moon", "sky"], 32)
    with pytest.raises(ValueError, match="zip"):
        place_on_backgrounds(folder, ["sky"], 32)
    Image.new("RGB", (9, 9)).save(tmp_path / "red" / "a photo.png")
    with pytest.raises(DataError, match="a photo.png has no transparent pixels"):
        place_on_backgrounds(image_folder(tmp_path, mode="RGB"), ["sky"] * 3, 32)


def test_every_object_of_the_course_is_cut_out():
    for part in load_splits("cutouts").values():
        memory, masks = place_on_backgrounds(part, [None] * len(part), 32)
        assert len(memory) == len(part)
        covered = masks.float().mean(dim=(1, 2))
        assert covered.min() > 0.02 and covered.max() < 0.66
