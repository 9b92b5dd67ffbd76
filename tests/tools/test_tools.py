"""What tools/ makes is what the repository holds, byte for byte."""

import runpy
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import ImageChops, ImageStat

from course_utils.catalog import FASHION_CLASSES, read_idx
from course_utils.datasets import image_folder
from course_utils.image_io import load_image

ROOT = Path(__file__).resolve().parents[2]
ARCHIVES = ROOT / "course_utils" / "data" / "archives"
FIXTURES = ROOT / "tests" / "fixtures" / "photos"
FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's dataset-fashion-mnist
STAMPS = Path("/usr/share/tuxpaint/stamps")  # Debian's tuxpaint-stamps-default


@pytest.fixture
def run_tool(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(ROOT / "tools" / name), run_name="__main__")

    return run


@pytest.mark.skipif(not FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not here")
def test_the_sheets_of_fashion_mini_are_built_byte_for_byte(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    from build_fashion_mini import TEST, sheet

    images = read_idx(FASHION / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(FASHION / "t10k-labels-idx1-ubyte.gz")
    with zipfile.ZipFile(ARCHIVES / "fashion-mini.zip") as archive:
        for label in (0, 9):  # all twenty sheets take two minutes
            stored = archive.read(f"test/{FASHION_CLASSES[label]}.webp")
            assert sheet(images[labels == label][:TEST]) == stored


@pytest.mark.skipif(not STAMPS.is_dir(), reason="Debian's tuxpaint-stamps-default is not here")
def test_one_class_of_cutouts_is_built_byte_for_byte(run_tool, tmp_path, monkeypatch, capsys):
    import build_cutouts

    vehicles = {"vehicles": build_cutouts.CLASSES["vehicles"]}  # all six take 40 seconds
    monkeypatch.setattr(build_cutouts, "CLASSES", vehicles)
    monkeypatch.setattr(sys, "argv", ["", str(STAMPS), "--output", str(tmp_path / "made.zip")])
    build_cutouts.main()
    with (
        zipfile.ZipFile(tmp_path / "made.zip") as made,
        zipfile.ZipFile(ARCHIVES / "cutouts.zip") as stored,
    ):
        expected = [name for name in stored.namelist() if "/vehicles/" in name]
        assert made.namelist() == expected
        for name in expected:
            assert made.read(name) == stored.read(name)
    assert f"{len(expected)} files, {(tmp_path / 'made.zip').stat().st_size:,} bytes" in (
        capsys.readouterr().out
    )


def test_a_wrong_folder_gets_a_sentence(run_tool, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_tool("build_cutouts.py", tmp_path, "--output", tmp_path / "cutouts.zip")
    assert "has no stamps in animals/birds" in capsys.readouterr().err
    assert not (tmp_path / "cutouts.zip").exists()


def test_the_archive_depends_on_its_contents_only(run_tool, tmp_path, monkeypatch):
    from archive import write_archive

    files = {"b/2.png": b"two", "a/1.png": b"one"}
    write_archive(tmp_path / "one.zip", files)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    write_archive(tmp_path / "two.zip", dict(reversed(files.items())))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_the_fixtures_are_those_that_the_tool_makes(tmp_path):
    names = runpy.run_path(str(ROOT / "tools" / "build_fixtures.py"))
    names["main"].__globals__["FOLDER"] = tmp_path
    names["main"]()
    stored, made = (image_folder(folder) for folder in (FIXTURES, tmp_path))
    assert len(stored) == len(made) == 24
    for (path, label), (made_path, made_label) in zip(stored.samples, made.samples, strict=True):
        assert label == made_label
        assert Path(path).name == Path(made_path).name
        # Another version of Pillow may round JPEG differently.
        difference = ImageChops.difference(load_image(path), load_image(made_path))
        assert ImageStat.Stat(difference).mean < [2, 2, 2]
