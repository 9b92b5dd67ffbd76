"""Objects land on backgrounds, and the same seed paints the same pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.backgrounds import TEXTURES, composite, paint_texture, place_on_background
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


def test_an_object_is_centered_on_its_background(disc):
    picture = composite(disc, Image.new("RGB", (50, 60), (0, 0, 255)))
    pixels = torch.from_numpy(np.asarray(picture).copy())
    assert picture.size == (50, 60) and picture.mode == "RGB"
    is_red = pixels[:, :, 0] >= 127
    # A disc over four fifths of the shorter side: 20 pixels of radius, except for the rim.
    assert abs(int(is_red.sum()) - np.pi * 19**2) < 60
    assert is_red[30, 25] and not is_red[:9].any() and not is_red[-9:].any()
    assert pixels[0, 0].tolist() == [0, 0, 255]


@pytest.fixture
def folder(tmp_path, disc):
    for name, color in (("red", 0), ("green", 1)):
        (tmp_path / name).mkdir()
        bands = list(disc.split())
        bands[0], bands[color] = bands[color], bands[0]
        Image.merge("RGBA", bands).save(tmp_path / name / "disc.png")
    return image_folder(tmp_path, mode="RGB")


def test_each_cutout_is_placed_on_a_background(folder):
    memory = place_on_background(folder, "sky", 32, seed=5)
    assert memory.images.shape == (2, 3, 32, 32)
    assert memory.targets.tolist() == [0, 1]
    assert memory.classes == ["green", "red"]
    assert (memory.images[0, :, 0] != memory.images[1, :, 0]).any()  # of the backgrounds
    again = place_on_background(folder, "sky", 32, seed=5)
    other = place_on_background(folder, "sky", 32, seed=6)
    assert torch.equal(again.images, memory.images)
    assert not torch.equal(other.images, memory.images)


def test_mistakes_are_named(folder, tmp_path):
    with pytest.raises(KeyError, match="moon"):
        place_on_background(folder, "moon", 32)
    Image.new("RGB", (9, 9)).save(tmp_path / "red" / "a photo.png")
    with pytest.raises(DataError, match="a photo.png has no transparent pixels"):
        place_on_background(image_folder(tmp_path, mode="RGB"), "sky", 32)


def test_every_object_of_the_course_is_cut_out():
    for part in load_splits("cutouts").values():
        images = place_on_background(part, "sky", 32).images
        generator = np.random.default_rng(0)
        sky = [np.array(paint_texture("sky", 32, generator)) for _ in part.samples]
        covered = (images != torch.tensor(np.stack(sky)).permute(0, 3, 1, 2)).any(dim=1)
        shares = covered.float().mean(dim=(1, 2))
        assert shares.min() > 0.02 and shares.max() < 0.66
