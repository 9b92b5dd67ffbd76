"""Decoded images that are kept in a file: right, complete, and never out of date."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from course_utils import datasets
from course_utils.datasets import InMemoryDataset, image_folder, make_loader
from course_utils.errors import DataError
from course_utils.image_io import load_image
from course_utils.transforms import resize_to_square


@pytest.fixture
def photos(tmp_path):
    """Six JPEG files of 320 x 240 pixels, smooth as photographs are."""
    rng = np.random.default_rng(0)
    for number in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        path = tmp_path / "photos" / f"class {number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=95)
    return tmp_path / "photos"


def decode(photos, cache=None, resize=None, **options):
    files = image_folder(photos, mode="RGB")
    return InMemoryDataset.decode(files, resize or resize_to_square(32), cache=cache, **options)


def test_the_second_time_nothing_is_decoded(photos, tmp_path, monkeypatch):
    plain = decode(photos)
    first = decode(photos, tmp_path / "cache")
    monkeypatch.setattr(datasets, "load_image", None)
    second = decode(photos, tmp_path / "cache")
    assert torch.equal(first.images, plain.images)
    assert torch.equal(second.images, plain.images)
    assert second.targets.tolist() == first.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def another_pixel(photos):
    path = photos / "class 1" / "3.jpg"
    status = path.stat()
    image = load_image(path)
    image.putpixel((5, 5), (255, 0, 255))
    image.save(path, quality=90)
    os.utime(path, (status.st_mtime, status.st_mtime + 1))


def another_file(photos):
    Image.new("RGB", (9, 9)).save(photos / "class 0" / "9.jpg")


def one_file_less(photos):
    (photos / "class 0" / "0.jpg").unlink()


def another_name(photos):
    (photos / "class 0" / "0.jpg").rename(photos / "class 0" / "7.jpg")


@pytest.mark.parametrize("change", [another_pixel, another_file, one_file_less, another_name])
def test_changed_files_are_decoded_again(change, photos, tmp_path):
    decode(photos, tmp_path / "cache")
    change(photos)
    assert torch.equal(decode(photos, tmp_path / "cache").images, decode(photos).images)


@pytest.mark.parametrize(
    "options",
    [
        {"resize": resize_to_square(33)},
        {"resize": resize_to_square(32, "squash")},
        {"resize": v2.Compose([resize_to_square(32), v2.functional.vertical_flip])},
        {"draft": 32},
    ],
    ids=["size", "mode", "function", "draft"],
)
def test_another_way_of_decoding_is_another_file(options, photos, tmp_path):
    decode(photos, tmp_path / "cache")
    kept = decode(photos, tmp_path / "cache", **options)
    assert torch.equal(kept.images, decode(photos, **options).images)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_gray_and_colored_images_are_different_files(photos, tmp_path):
    for mode, channels in (("RGB", 3), ("L", 1), ("RGB", 3)):
        dataset = image_folder(photos, mode=mode)
        kept = InMemoryDataset.decode(dataset, resize_to_square(32), cache=tmp_path / "cache")
        assert kept.images.shape[1] == channels


def test_writing_to_the_images_does_not_change_the_file(photos, tmp_path):
    first = decode(photos, tmp_path / "cache")
    before = first.images.clone()
    first.images.zero_()
    assert torch.equal(decode(photos, tmp_path / "cache").images, before)


@pytest.mark.filterwarnings("error")
def test_mapped_images_are_loaded_in_batches(photos, tmp_path):
    kept = decode(photos, tmp_path / "cache")
    [(images, targets)] = make_loader(kept, 6, shuffle=True)
    assert images.shape == (6, 3, 32, 32)
    assert sorted(targets.tolist()) == [0, 0, 0, 1, 1, 1]


def test_a_damaged_photograph_leaves_no_cache(photos, tmp_path):
    (photos / "class 1" / "5.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"5\.jpg is not an image"):
        decode(photos, tmp_path / "cache")
    files = image_folder(photos)
    (photos / "class 1" / "5.jpg").unlink()
    with pytest.raises(DataError, match=r"no file .*5\.jpg"):
        InMemoryDataset.decode(files, resize_to_square(32), cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_leaves_no_cache(photos, tmp_path):
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"cache could not be written \(File too large\)\."):
            decode(photos, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(decode(photos, tmp_path / "cache")) == 6


def test_a_cache_that_is_a_file_is_refused(photos, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(DataError, match="cache could not be written"):
        decode(photos, tmp_path / "cache")


def test_images_one_pixel_high(tmp_path, photos):
    resize = v2.Resize((1, 8))
    assert torch.equal(
        decode(photos, tmp_path / "cache", resize).images, decode(photos, None, resize).images
    )


@pytest.mark.parametrize(
    ("draft", "size"), [(None, 320), (30, 40), (31, 80), (60, 80), (120, 160), (121, 320)]
)
def test_a_draft_is_never_smaller_than_asked_for(draft, size, photos):
    path = photos / "class 0" / "0.jpg"
    image = load_image(path, draft=draft)
    assert image.size == (size, size * 3 // 4)
    full = np.asarray(load_image(path).resize(image.size, Image.Resampling.BOX), dtype=float)
    assert np.abs(np.asarray(image) - full).mean() < 2


@pytest.mark.parametrize("mode", ["pad", "crop", "squash"])
def test_a_draft_is_resized_as_pillow_does_it_up_to_rounding(mode, photos):
    whole = resize_to_square(64, mode)
    # A plain function may not accept tensors, so it is given the PIL image.
    by_pillow = decode(photos, resize=lambda image: whole(image), draft=1000).images
    by_torch = decode(photos, resize=whole, draft=1000).images
    difference = (by_torch.int() - by_pillow.int()).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.1
    assert torch.equal(by_pillow, decode(photos, resize=whole).images)


def test_a_draft_of_anything_but_jpeg_is_the_whole(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", "L", draft=16).size == (256, 256)


def test_a_draft_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (320, 160)).save(tmp_path / "a.jpg", exif=exif)
    assert load_image(tmp_path / "a.jpg", draft=80).size == (80, 160)
