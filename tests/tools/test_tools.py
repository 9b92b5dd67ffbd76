"""The builders of the bundled data write what the repository holds."""

import io
import zipfile
from pathlib import Path

import pytest
import typer
from PIL import Image, ImageChops, ImageStat

from course_utils.datasets import image_folder
from course_utils.image_io import load_image
from tools import build_cutouts, build_fashion_mini, build_fixtures
from tools.archive import ARCHIVES, write_archive

FIXTURES = Path(__file__).parents[1] / "fixtures" / "photos"
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
STAMPS = Path("/usr/share/tuxpaint/stamps")  # Debian's tuxpaint-stamps-default


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_the_sheets_of_fashion_mini_are_built_pixel_by_pixel():
    """Their bytes depend on the version of libwebp."""
    images = build_fashion_mini.read_idx(FASHION / "t10k-images-idx3-ubyte.gz")
    labels = build_fashion_mini.read_idx(FASHION / "t10k-labels-idx1-ubyte.gz")
    with zipfile.ZipFile(ARCHIVES / "fashion-mini.zip") as archive:
        for label, name in ((0, "T-shirt-top"), (9, "Ankle boot")):  # all take two minutes
            sheet = build_fashion_mini.sheet(images[labels == label][: build_fashion_mini.TEST])
            stored = archive.read(f"test/{name}.webp")
            built, expected = (Image.open(io.BytesIO(data)) for data in (sheet, stored))
            assert built.tobytes() == expected.tobytes()


@pytest.mark.skipif(not STAMPS.is_dir(), reason="needs Debian's tuxpaint-stamps-default")
def test_one_class_of_cutouts_is_built_byte_for_byte(tmp_path, monkeypatch):
    flowers = {"flowers": build_cutouts.CLASSES["flowers"]}  # all six take 40 seconds
    monkeypatch.setattr(build_cutouts, "CLASSES", flowers)
    build_cutouts.main(STAMPS, tmp_path / "made.zip")
    with (
        zipfile.ZipFile(tmp_path / "made.zip") as made,
        zipfile.ZipFile(ARCHIVES / "cutouts.zip") as stored,
    ):
        expected = [name for name in stored.namelist() if "/flowers/" in name]
        assert made.namelist() == expected
        assert all(made.read(name) == stored.read(name) for name in expected)


def test_a_wrong_folder_is_named(tmp_path):
    with pytest.raises(typer.BadParameter, match="has no stamps in animals/birds"):
        build_cutouts.main(tmp_path, tmp_path / "cutouts.zip")
    assert not (tmp_path / "cutouts.zip").exists()


def test_the_archive_depends_on_its_contents_only(tmp_path, monkeypatch, capsys):
    files = {"b/2.png": b"two", "a/1.png": b"one"}
    write_archive(tmp_path / "one.zip", files)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    write_archive(tmp_path / "two.zip", dict(reversed(files.items())))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert "one.zip: 2 files" in capsys.readouterr().out


def test_the_fixtures_are_built_from_the_bundled_data(tmp_path, monkeypatch):
    monkeypatch.setattr(build_fixtures, "FOLDER", tmp_path)
    build_fixtures.main()
    stored, made = (image_folder(folder) for folder in (FIXTURES, tmp_path))
    assert len(stored) == len(made) == 24
    for (path, label), (made_path, made_label) in zip(stored.samples, made.samples, strict=True):
        assert label == made_label
        assert Path(path).name == Path(made_path).name
        # Another version of Pillow may round JPEG differently.
        difference = ImageChops.difference(load_image(path), load_image(made_path))
        assert ImageStat.Stat(difference).mean < [2, 2, 2]
