"""The catalog's datasets: complete, as their data cards say, and never half-written."""

import hashlib
import io
import os
import re
import zipfile

import numpy as np
import pytest
import torchvision
from copies import served
from PIL import Image

from course_utils import catalog
from course_utils.datasets import load_splits
from course_utils.errors import DataError
from course_utils.image_io import image_files

FASHION = {"train": [500] * 10, "val": [100] * 10, "test": [100] * 10}
CUTOUTS = {  # birds, flowers, fruit, mammals, vegetables, vehicles
    "train": [20, 14, 16, 39, 14, 10],
    "val": [7, 5, 5, 13, 4, 3],
    "test": [7, 5, 5, 13, 4, 3],
}


def counts(folder):
    """The number of images of each class, by split."""
    return {
        split.name: [len(image_files(path)) for path in sorted(split.iterdir())]
        for split in folder.iterdir()
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    return {name: catalog.prepare_dataset(name, root) for name in ("fashion-mini", "cutouts")}


@pytest.mark.parametrize(("name", "expected"), [("fashion-mini", FASHION), ("cutouts", CUTOUTS)])
def test_a_bundled_dataset_is_complete_without_duplicates(name, expected, prepared):
    folder = prepared[name]
    assert counts(folder) == expected
    assert sorted(os.listdir(folder.parent)) == ["cutouts", "fashion-mini"]  # nothing temporary
    contents = {open(path, "rb").read() for path in image_files(folder)}
    assert len(contents) == sum(map(sum, expected.values()))
    assert catalog.prepare_dataset(name, folder.parent) == folder


def test_the_data_cards_say_what_the_archives_hold(prepared):
    cutouts = load_splits(prepared["cutouts"])
    total = {
        name: sum(dataset.targets.count(label) for dataset in cutouts.values())
        for label, name in enumerate(cutouts["train"].classes)
    }
    card = (catalog.ARCHIVES / "cutouts.md").read_text("utf-8")
    assert ", ".join(f"{name} ({count})" for name, count in total.items()) in card
    sizes = [len(cutouts[split]) for split in ("train", "val", "test")]
    assert "{} train, {} val and {} test".format(*sizes) in card
    assert "{} train / {} val / {} test".format(*sizes) in catalog.CATALOG["cutouts"]["description"]
    assert f"{sum(sizes)} color photographs" in card

    fashion = load_splits(prepared["fashion-mini"])
    card = (catalog.ARCHIVES / "fashion-mini.md").read_text("utf-8")
    for name in fashion["train"].classes:
        assert name in card
    sizes = [len(fashion[split]) // 10 for split in ("train", "val", "test")]
    assert "{} train, {} val and {} test images of each class".format(*sizes) in card
    assert f"{sum(sizes) * 10:,} gray images" in card


def test_solar_cells_come_from_their_package(tmp_path):
    pytest.importorskip("elpv_dataset", reason="left out for commercial use")
    folder = catalog.prepare_dataset("solar-cells", tmp_path)
    assert {part.name: len(image_files(part)) for part in folder.iterdir()} == {
        "defective": 106 + 715,
        "functional": 295 + 1508,
    }
    assert pixels(folder / "defective" / "cell0001_mono_100.png").shape == (300, 300)


def test_without_its_package_solar_cells_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="elpv-dataset is missing. Run `python -m pip install"):
        catalog.prepare_dataset("solar-cells", tmp_path)
    assert os.listdir(tmp_path) == []


def test_the_images_of_fashion_mini_are_in_the_order_of_the_original(prepared):
    first = pixels(prepared["fashion-mini"] / "test" / "Ankle boot" / "00000.png")
    # The first test image of Fashion-MNIST is an ankle boot; these are the sum of its pixels and
    # the brightest one, as read from the original file.
    assert first.shape == (28, 28)
    assert (int(first.sum()), int(first.max())) == (33456, 255)


def test_the_slower_of_two_processes_takes_the_folder_of_the_faster(tmp_path, monkeypatch):
    build = catalog._build

    def build_twice(name, scratch):
        (tmp_path / "cutouts" / "train" / "birds").mkdir(parents=True)  # the other is done
        return build(name, scratch)

    monkeypatch.setattr(catalog, "_build", build_twice)
    assert catalog.prepare_dataset("cutouts", tmp_path) == tmp_path / "cutouts"
    assert os.listdir(tmp_path) == ["cutouts"]


def test_an_error_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    def save(images, folder):
        assert not (tmp_path / "fashion-mini").exists()  # another process would take it
        folder.mkdir(parents=True)
        if folder.name == "Coat":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(catalog, "_save_images", save)
    with pytest.raises(DataError, match="fashion-mini could not be prepared: .* No space left"):
        catalog.prepare_dataset("fashion-mini", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_damaged_installation_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "ARCHIVES", tmp_path)
    (tmp_path / "cutouts.zip").write_bytes(b"not the archive")
    with pytest.raises(DataError, match="cutouts.zip is damaged; install course_utils again"):
        catalog.prepare_dataset("cutouts", tmp_path / "out")


def test_find_takes_a_name_or_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalog, "prepare_dataset", lambda name: f"prepared {name}")
    (tmp_path / "photos").mkdir()
    (tmp_path / "cutouts").mkdir()
    assert catalog.find_dataset("photos").samefile(tmp_path / "photos")
    assert catalog.find_dataset("./cutouts").samefile(tmp_path / "cutouts")
    assert catalog.find_dataset("cutouts") == "prepared cutouts"
    with pytest.raises(DataError, match="no folder fotos. The course's datasets: fashion-mini, cu"):
        catalog.find_dataset("fotos")


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(DataError, match="no dataset 'imagenet'. Choose from fashion-mini, cut"):
        catalog.prepare_dataset("imagenet", tmp_path)


@pytest.fixture
def hotdog(tmp_path, monkeypatch):
    """An archive on a server on this machine, instead of the one of the dataset hotdog."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("hotdog/train/hotdog/1.png", "hotdog/test/other/2.png"):
            archive.writestr(name, name)
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "hotdog.zip").write_bytes(buffer.getvalue())
    checksum = f"sha1:{hashlib.sha1(buffer.getvalue()).hexdigest()}"
    with served(tmp_path / "web") as address:
        monkeypatch.setitem(catalog.CATALOG["hotdog"], "url", f"{address}/hotdog.zip")
        monkeypatch.setitem(catalog.CATALOG["hotdog"], "checksum", checksum)
        yield tmp_path / "web" / "hotdog.zip"


def test_an_archive_is_downloaded_once(hotdog, tmp_path):
    folder = catalog.prepare_dataset("hotdog", tmp_path / "data")
    assert counts(folder) == {"train": [1], "test": [1]}
    assert os.listdir(tmp_path / "data") == ["hotdog"]
    hotdog.unlink()
    assert catalog.prepare_dataset("hotdog", tmp_path / "data") == folder


def test_an_archive_that_differs_or_is_missing_is_refused(hotdog, tmp_path, monkeypatch):
    hotdog.write_bytes(b"<html>Sign in to the network</html>")
    with pytest.raises(DataError, match="hotdog could not be prepared: SHA1 hash .* does not mat"):
        catalog.prepare_dataset("hotdog", tmp_path)
    hotdog.unlink()
    with pytest.raises(DataError, match="hotdog could not be prepared: 404 Client Error"):
        catalog.prepare_dataset("hotdog", tmp_path)
    monkeypatch.setitem(catalog.CATALOG["hotdog"], "url", "http://127.0.0.1:9/hotdog.zip")
    with pytest.raises(DataError, match="hotdog could not be prepared: .*refused"):
        catalog.prepare_dataset("hotdog", tmp_path)
    assert os.listdir(tmp_path) == ["web"]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
def test_a_dataset_of_torchvision(name, tmp_path, monkeypatch):
    shape = (28, 28) if name == "fashion-mnist" else (32, 32, 3)
    images = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)

    class Downloaded:
        classes = ["T-shirt/top", "Trouser"]

        def __init__(self, root, train, download):
            assert download and root.parent == tmp_path
            self.data = images if train else images[:4]
            self.targets = [number % 2 for number in range(len(self.data))]

    monkeypatch.setattr(torchvision.datasets, catalog.CATALOG[name]["torchvision"], Downloaded)
    folder = catalog.prepare_dataset(name, tmp_path)
    assert counts(folder) == {"train": [10, 10], "test": [2, 2]}
    assert (folder / "train" / "T-shirt-top").is_dir()
    np.testing.assert_array_equal(pixels(folder / "train" / "Trouser" / "00003.png"), images[7])


def test_a_failed_download_of_torchvision_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("Error downloading train-images:\nTried http://nowhere, got:\nno route")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fail)
    with pytest.raises(DataError, match="cifar10 could not be prepared: Error .* got: no route"):
        catalog.prepare_dataset("cifar10", tmp_path)
    assert os.listdir(tmp_path) == []


def test_every_archive_has_a_checksum_and_every_class_of_torchvision_exists():
    network = {name: entry["network"] for name, entry in catalog.CATALOG.items()}
    assert network.pop("solar-cells") == "not needed with the package elpv-dataset"
    for name in network:
        entry = catalog.CATALOG[name]
        if "torchvision" in entry:
            assert hasattr(torchvision.datasets, entry["torchvision"])
        else:
            assert re.fullmatch(r"sha256:\w{64}|sha1:\w{40}", entry["checksum"])
        assert network[name] == ("not needed" if "archive" in entry else "once")
