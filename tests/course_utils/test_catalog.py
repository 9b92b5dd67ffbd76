"""The catalog's sets: complete, as their data cards say, and never half-written."""

import gzip
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from course_utils import catalog
from course_utils.datasets import load_splits
from course_utils.download import Source, checksum
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


@pytest.mark.parametrize(("name", "expected"), [("fashion-mini", FASHION), ("cutouts", CUTOUTS)])
def test_a_bundled_set_is_whole(name, expected, tmp_path):
    folder = catalog.prepare_dataset(name, tmp_path)
    assert folder == tmp_path / name
    assert counts(folder) == expected
    assert os.listdir(tmp_path) == [name]  # no scratch folder stays


def test_the_data_cards_say_what_the_archives_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    cutouts = load_splits("cutouts")
    total = {
        name: sum(dataset.targets.count(label) for dataset in cutouts.values())
        for label, name in enumerate(cutouts["train"].classes)
    }
    card = (catalog.ARCHIVES / "cutouts.md").read_text("utf-8")
    assert ", ".join(f"{name} ({count})" for name, count in total.items()) in card
    sizes = [len(cutouts[split]) for split in ("train", "val", "test")]
    assert "{} train, {} val and {} test".format(*sizes) in card
    assert "{} train / {} val / {} test".format(*sizes) in catalog.CATALOG["cutouts"].description
    assert f"{sum(sizes)} color photographs" in card

    fashion = load_splits("fashion-mini")
    card = (catalog.ARCHIVES / "fashion-mini.md").read_text("utf-8")
    for name in fashion["train"].classes:
        assert name in card
    sizes = [len(fashion[split]) // 10 for split in ("train", "val", "test")]
    assert "{} train, {} val and {} test images of each class".format(*sizes) in card
    assert f"{sum(sizes) * 10:,} gray images" in card


def test_no_image_of_a_bundled_set_is_in_two_splits(tmp_path):
    for name in ("fashion-mini", "cutouts"):
        folder = catalog.prepare_dataset(name, tmp_path)
        contents = [open(path, "rb").read() for path in image_files(folder)]
        assert len(set(contents)) == len(contents)


def test_the_images_of_fashion_mini_are_in_the_order_of_the_original(tmp_path):
    folder = catalog.prepare_dataset("fashion-mini", tmp_path)
    with Image.open(folder / "test" / "Ankle boot" / "00000.png") as image:
        first = np.asarray(image)
    # The very first test image of Fashion-MNIST is an ankle boot; these are the sum of its pixels
    # and the brightest one, as read from the original file.
    assert first.shape == (28, 28)
    assert (int(first.sum()), int(first.max())) == (33456, 255)


def test_preparing_again_changes_nothing(tmp_path):
    folder = catalog.prepare_dataset("cutouts", tmp_path)
    before = {path: os.stat(path).st_mtime_ns for path in image_files(folder)}
    assert catalog.prepare_dataset("cutouts", tmp_path) == folder
    assert {path: os.stat(path).st_mtime_ns for path in image_files(folder)} == before


PREPARE = """
import sys
from pathlib import Path
from course_utils.catalog import prepare
print("go", flush=True)
prepare("fashion-mini", Path(sys.argv[1]))
"""


def start_preparing(folder):
    return subprocess.Popen([sys.executable, "-c", PREPARE, str(folder)], stdout=subprocess.PIPE)


def test_two_processes_at_once_do_no_harm(tmp_path):
    processes = [start_preparing(tmp_path) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert counts(tmp_path / "fashion-mini") == FASHION
    assert os.listdir(tmp_path) == ["fashion-mini"]
    for process in processes:
        process.stdout.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_no_set_that_looks_whole(tmp_path):
    with start_preparing(tmp_path) as process:
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while not image_files(tmp_path) and not _scratch_images(tmp_path):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "fashion-mini").exists()
    catalog.prepare_dataset("fashion-mini", tmp_path)
    assert counts(tmp_path / "fashion-mini") == FASHION


def _scratch_images(root):
    return [path for path in root.glob(".fashion-mini-*/*/*/*.png")]


def test_an_error_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    saved = []

    def save(images, folder):
        saved.append(folder)
        if len(saved) == 3:
            raise OSError(28, "No space left on device")
        folder.mkdir(parents=True)

    monkeypatch.setattr(catalog, "_save_images", save)
    with pytest.raises(DataError, match="fashion-mini could not be written .* No space left"):
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
    with pytest.raises(DataError, match="There is no folder fotos. In .* the folders photos."):
        catalog.find_dataset("fotos")
    with pytest.raises(DataError, match="notes.txt is a file; give the folder"):
        catalog.find_dataset("notes.txt")
    with pytest.raises(DataError, match="is no folder"):
        catalog.find_dataset(tmp_path / "photos" / "cats")


def idx(array):
    header = b"\x00\x00\x08" + bytes([array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.tobytes())


def test_read_idx(tmp_path):
    path = tmp_path / "images.gz"
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path.write_bytes(idx(images))
    np.testing.assert_array_equal(catalog.read_idx(path), images)
    for content in (b"", b"text", gzip.compress(b"text"), idx(images)[:-9]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="download it again"):
            catalog.read_idx(path)
    with pytest.raises(DataError, match=r"no file none.gz"):
        catalog.read_idx(tmp_path / "none.gz")


@pytest.fixture
def at_hand(tmp_path, monkeypatch):
    """Put files into the download folder as if they had been downloaded, and trust them."""

    def add(name, contents):
        downloads = tmp_path / "downloads"
        downloads.mkdir()
        dataset = catalog.CATALOG[name]
        sources = []
        for source, content in zip(dataset.sources, contents, strict=True):
            (downloads / source.file_name).write_bytes(content)
            digest = checksum(downloads / source.file_name, "sha256:")
            sources.append(Source(source.file_name, digest, "http://127.0.0.1:9/"))
        trusted = catalog.DatasetInfo(name, "", "", tuple(sources), dataset.build)
        monkeypatch.setitem(catalog.CATALOG, name, trusted)
        return catalog.prepare_dataset(name, tmp_path)

    return add


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_fashion_mnist_from_its_four_files(at_hand):
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = np.arange(20, dtype=np.uint8) % 10
    folder = at_hand(
        "fashion-mnist", [idx(images), idx(labels), idx(images[:10]), idx(labels[:10])]
    )
    assert counts(folder) == {"train": [2] * 10, "test": [1] * 10}
    np.testing.assert_array_equal(pixels(folder / "train" / "Trouser" / "00001.png"), images[11])


def test_cifar10_from_its_archive(at_hand):
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
    folder = at_hand("cifar10", [buffer.getvalue()])
    assert counts(folder) == {"train": [5, 5], "test": [1, 1]}
    red, green, blue = data["data_batch_2"]["data"][1].reshape(3, 32, 32)
    np.testing.assert_array_equal(
        pixels(folder / "train" / "automobile" / "00001.png"), np.dstack([red, green, blue])
    )


def test_every_set_to_download_has_a_checksum_and_an_address():
    for dataset in catalog.CATALOG.values():
        for source in dataset.sources:
            assert re.fullmatch(r"sha256:\w{64}|sha1:\w{40}|md5:\w{32}", source.checksum)
            assert dataset.bundled or source.url.endswith(source.file_name.split("/")[-1])
            assert not (dataset.bundled and source.url)


def test_the_command_line(tmp_path):
    environment = os.environ | {"COURSE_OUTPUT": str(tmp_path)}

    def run(*arguments):
        command = [sys.executable, "-m", "course_utils", "data", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    listed = run("list")
    assert listed.returncode == 0
    for name in catalog.CATALOG:
        assert name in listed.stdout
    assert run("get", "cutouts").returncode == 0
    assert counts(tmp_path / "data" / "cutouts") == CUTOUTS
    wrong = run("get", "imagenet")
    assert wrong.returncode != 0
    assert "no dataset 'imagenet'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
