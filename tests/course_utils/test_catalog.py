"""The catalog's datasets: complete, as their data cards say, and never half-written."""

import gzip
import hashlib
import io
import os
import pickle
import re
import socketserver
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10

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


def test_the_images_of_fashion_mini_are_in_the_order_of_the_original(prepared):
    first = pixels(prepared["fashion-mini"] / "test" / "Ankle boot" / "00000.png")
    # The first test image of Fashion-MNIST is an ankle boot; these are the sum of its pixels and
    # the brightest one, as read from the original file.
    assert first.shape == (28, 28)
    assert (int(first.sum()), int(first.max())) == (33456, 255)


def test_the_slower_of_two_processes_takes_the_folder_of_the_faster(tmp_path, monkeypatch):
    def build(files, folder):
        catalog._unpack(files, folder)
        (tmp_path / "cutouts" / "train" / "birds").mkdir(parents=True)  # the other is done

    monkeypatch.setitem(catalog.BUILDERS, "cutouts", build)
    assert catalog.prepare_dataset("cutouts", tmp_path) == tmp_path / "cutouts"
    assert os.listdir(tmp_path) == ["cutouts"]


def test_an_error_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    def save(images, folder):
        assert not (tmp_path / "fashion-mini").exists()  # another process would take it
        folder.mkdir(parents=True)
        if folder.name == "Coat":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(catalog, "_save_images", save)
    with pytest.raises(DataError, match="fashion-mini could not be written .No space left"):
        catalog.prepare_dataset("fashion-mini", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_damaged_installation_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "ARCHIVES", tmp_path)
    (tmp_path / "cutouts.zip").write_bytes(b"not the archive")
    with pytest.raises(DataError, match="cutouts.zip is missing or damaged; install course_utils"):
        catalog.prepare_dataset("cutouts", tmp_path / "out")


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(DataError, match="no dataset 'imagenet'; the names are fashion-mini, cut"):
        catalog.prepare_dataset("imagenet", tmp_path)


def test_find_takes_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "notes.txt").touch()
    assert catalog.find_dataset("photos").samefile(tmp_path / "photos")
    with pytest.raises(DataError, match="There is no folder fotos. Folders in .*: photos."):
        catalog.find_dataset("fotos")
    with pytest.raises(DataError, match="notes.txt is a file; give the folder"):
        catalog.find_dataset("notes.txt")
    with pytest.raises(DataError, match="Folders in photos: none"):
        catalog.find_dataset(tmp_path / "photos" / "cats")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serve contents from 127.0.0.1 as the files of a dataset; give its files by name."""
    (tmp_path / "web").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path / "web")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def serve(name, *contents):
            files = {}
            known = catalog.CATALOG[name]["files"]
            for address, content in zip(known, contents, strict=True):
                path = tmp_path / "web" / address.rpartition("/")[2]
                path.write_bytes(content)
                digest = hashlib.md5(content).hexdigest()
                files[f"http://127.0.0.1:{server.server_address[1]}/{path.name}"] = f"md5:{digest}"
            monkeypatch.setitem(catalog.CATALOG[name], "files", files)
            return [tmp_path / "web" / address.rpartition("/")[2] for address in files]

        yield serve
        server.shutdown()


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return buffer.getvalue()


def test_a_file_is_downloaded_once_and_without_a_trace(served, tmp_path, capsys):
    [file] = served("hotdog", zipped("hotdog/train/hotdog/1.png", "hotdog/test/other/2.png"))
    folder = catalog.prepare_dataset("hotdog", tmp_path)
    assert counts(folder) == {"train": [1], "test": [1]}
    assert os.listdir(tmp_path / "downloads") == ["hotdog.zip"]
    assert capsys.readouterr() == ("", "")
    file.unlink()
    folder.rename(tmp_path / "another name")
    assert counts(catalog.prepare_dataset("hotdog", tmp_path)) == {"train": [1], "test": [1]}


def test_a_file_that_differs_is_refused(served, tmp_path):
    [file] = served("hotdog", zipped("hotdog/train/hotdog/1.png"))
    file.write_bytes(b"<html>Sign in to the network</html>")
    with pytest.raises(DataError, match="hotdog.zip could not be downloaded .checksum mismatch"):
        catalog.prepare_dataset("hotdog", tmp_path)
    assert not (tmp_path / "hotdog").exists() and not os.listdir(tmp_path / "downloads")


def test_without_a_network_there_is_one_sentence(served, tmp_path, monkeypatch):
    [file] = served("hotdog", b"")
    file.unlink()
    with pytest.raises(DataError, match="could not be downloaded .HTTPError.; check the network"):
        catalog.prepare_dataset("hotdog", tmp_path)
    nowhere = {"http://127.0.0.1:9/hotdog.zip": "md5:" + 32 * "0"}
    monkeypatch.setitem(catalog.CATALOG["hotdog"], "files", nowhere)
    with pytest.raises(DataError, match="could not be downloaded .ConnectionError.; check the net"):
        catalog.prepare_dataset("hotdog", tmp_path)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def idx(array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.tobytes())


def test_fashion_mnist_from_its_four_files(served, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = np.arange(20, dtype=np.uint8) % 10
    served("fashion-mnist", idx(images), idx(labels), idx(images[:10]), idx(labels[:10]))
    folder = catalog.prepare_dataset("fashion-mnist", tmp_path)
    assert counts(folder) == {"train": [2] * 10, "test": [1] * 10}
    assert (folder / "train" / "T-shirt-top").is_dir()
    np.testing.assert_array_equal(pixels(folder / "train" / "Trouser" / "00001.png"), images[11])


def test_cifar10_from_its_archive(served, tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    data = {}
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        rows = generator.integers(0, 256, (2, 3072), dtype=np.uint8)
        data[name] = {"data": rows, "labels": [0, 1]}
    data["batches.meta"] = {"label_names": ["airplane", "automobile"]}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in data.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            raw = pickle.dumps(content)
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)  # knows the real files alone
    monkeypatch.setitem(CIFAR10.meta, "md5", None)
    served("cifar10", buffer.getvalue())
    folder = catalog.prepare_dataset("cifar10", tmp_path)
    assert counts(folder) == {"train": [5, 5], "test": [1, 1]}
    red, green, blue = data["data_batch_2"]["data"][1].reshape(3, 32, 32)
    np.testing.assert_array_equal(
        pixels(folder / "train" / "automobile" / "00001.png"), np.dstack([red, green, blue])
    )


def test_every_file_of_the_catalog_has_a_checksum():
    for entry in catalog.CATALOG.values():
        for file, checksum in entry["files"].items():
            assert re.fullmatch(r"sha256:\w{64}|sha1:\w{40}|md5:\w{32}", checksum)
            assert file.startswith("http") or (catalog.ARCHIVES / file).is_file()


def test_the_table_says_what_needs_the_network():
    network = {row["name"]: row["network"] for row in catalog.catalog_table()}
    assert network.keys() == catalog.CATALOG.keys()
    assert [name for name in network if network[name] == "not needed"] == [
        "fashion-mini",
        "cutouts",
    ]
