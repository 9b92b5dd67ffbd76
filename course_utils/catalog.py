"""The datasets that the course knows by name, and how each becomes a folder of images.

>>> from course_utils.catalog import prepare_dataset
>>> folder = prepare_dataset("cutouts")  # build/data/cutouts, with train/, val/ and test/

Two datasets come with the package. The others are downloaded once and verified. Every prepared
dataset has the form that `torchvision.datasets.ImageFolder` reads: `<split>/<class>/<image>`.
"""

import gzip
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pooch
from PIL import Image
from torchvision.datasets import CIFAR10, FashionMNIST

from course_utils.errors import DataError
from course_utils.image_io import subfolders
from course_utils.paths import output_folder
from course_utils.progress import progress

ARCHIVES = Path(__file__).parent / "archives"
SHEET_COLUMNS = 25  # images per row of fashion-mini's sheets
# In the order of the labels 0 to 9; "T-shirt/top" cannot be the name of a folder.
FASHION_CLASSES = tuple(name.replace("/", "-") for name in FashionMNIST.classes)

pooch.get_logger().setLevel("WARNING")


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset of the catalog.

    Attributes:
        description: One line on its contents.
        license: The license of the images.
        files: From the name of a bundled archive, or a URL, to its checksum ("algorithm:digits").
        build: Writes the images into an empty folder, given the paths of the files.
    """

    description: str
    license: str
    files: dict[str, str]
    build: Callable[[list[Path], Path], None]


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped file of MNIST's format as a uint8 array: images or labels."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _save_images(images: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:05d}.png", compress_level=1)


def _build_from_sheets(files: list[Path], folder: Path) -> None:
    """Cut the sheets of fashion-mini, one per class, into images of 28x28 pixels."""
    with zipfile.ZipFile(files[0]) as archive:
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as image:
                sheet = np.asarray(image.convert("L"))
            grid = sheet.reshape(-1, 28, SHEET_COLUMNS, 28).swapaxes(1, 2)
            _save_images(grid.reshape(-1, 28, 28), folder / Path(name).with_suffix(""))


def _build_fashion_mnist(files: list[Path], folder: Path) -> None:
    for split, images, labels in (("train", *files[:2]), ("test", *files[2:])):
        images, labels = read_idx(images), read_idx(labels)
        for label, name in enumerate(FASHION_CLASSES):
            _save_images(images[labels == label], folder / split / name)


def _build_cifar10(files: list[Path], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
        shutil.unpack_archive(files[0], unpacked, filter="data")
        for split in ("train", "test"):
            dataset = CIFAR10(unpacked, train=split == "train")
            for label, name in enumerate(dataset.classes):
                chosen = np.array(dataset.targets) == label
                _save_images(dataset.data[chosen], folder / split / name)


def _build_by_unpacking(files: list[Path], folder: Path) -> None:
    shutil.unpack_archive(files[0], folder)
    inside = subfolders(folder)
    if len(inside) == 1:  # one folder that holds everything
        for path in inside[0].iterdir():
            path.rename(folder / path.name)
        inside[0].rmdir()


CATALOG = {
    "fashion-mini": DatasetInfo(
        "10 kinds of clothing, 28x28 gray, 5,000 train / 1,000 val / 1,000 test",
        "MIT",
        {
            "fashion-mini.zip": "sha256:"
            "ff61e628858da55bf6d058e404bc74ea589b1b534d1c236e60ecd18a128cbe94"
        },
        _build_from_sheets,
    ),
    "cutouts": DatasetInfo(
        "6 kinds of things, color photographs cut out, 113 train / 37 val / 37 test",
        "GPL-2.0-or-later",
        {"cutouts.zip": "sha256:2ce74884d601dc8445cc3392b675a7efdc9c856968695d68fb2c6857c58edef7"},
        _build_by_unpacking,
    ),
    "fashion-mnist": DatasetInfo(
        "10 kinds of clothing, 28x28 gray, 60,000 train / 10,000 test",
        "MIT",
        {FashionMNIST.mirrors[0] + name: f"md5:{md5}" for name, md5 in FashionMNIST.resources},
        _build_fashion_mnist,
    ),
    "cifar10": DatasetInfo(
        "10 kinds of animals and vehicles, 32x32 color, 50,000 train / 10,000 test",
        "no license stated; A. Krizhevsky, 2009",
        {CIFAR10.url: f"md5:{CIFAR10.tgz_md5}"},
        _build_cifar10,
    ),
    "hotdog": DatasetInfo(
        "hot dog or not, color photographs of many sizes, 2,000 train / 800 test",
        "no license stated; from the book Dive into Deep Learning",
        {
            "http://d2l-data.s3-accelerate.amazonaws.com/hotdog.zip": "sha1:"
            "fba480ffa8aa7e0febbb511d181409f899b9baa5"
        },
        _build_by_unpacking,
    ),
}


def catalog_table() -> list[dict[str, str]]:
    """List the catalog for printing: name, description, whether it needs the network, license."""
    return [
        {
            "name": name,
            "description": dataset.description,
            "network": "once" if any("://" in file for file in dataset.files) else "not needed",
            "license": dataset.license,
        }
        for name, dataset in CATALOG.items()
    ]


def find_dataset(data: str | Path) -> Path:
    """Return the folder of a dataset: `data` is a name of the catalog, or the path of a folder.

    A name of the catalog wins over a folder of the same name; write `./name` for the folder.
    """
    if str(data) in CATALOG:
        return prepare_dataset(str(data))
    folder = Path(data).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise DataError(f"{data} is a file; give the folder that holds one subfolder per class.")
    raise missing_folder(folder)


def missing_folder(folder: Path) -> DataError:
    """Make the error for a folder that does not exist, which lists the folders nearby."""
    parent = next(parent for parent in folder.absolute().parents if parent.is_dir())
    nearby = sorted(path.name for path in parent.glob("[!.]*") if path.is_dir())[:8]
    return DataError(
        f"There is no folder {folder}. Folders in {parent.name or parent}: "
        f"{', '.join(nearby) or 'none'}. Datasets of the course: {', '.join(CATALOG)}."
    )


def prepare_dataset(name: str, root: Path | None = None) -> Path:
    """Write a dataset of the catalog as a folder of images, unless it is there already.

    The folder gets its name when it is complete: neither an interrupted run nor a second one at
    the same time leaves a part of it.

    Args:
        name: A name of the catalog.
        root: The folder that holds the datasets; by default `build/data`.

    Returns:
        The folder `root/name`, which holds `<split>/<class>/<image>`.
    """
    if name not in CATALOG:
        raise DataError(f"There is no dataset {name!r}; the names are {', '.join(CATALOG)}.")
    root = output_folder("data") if root is None else Path(root)
    folder = root / name
    if folder.is_dir():
        return folder
    dataset = CATALOG[name]
    files = [_locate(*file, root / "downloads") for file in dataset.files.items()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as scratch:
            complete = Path(scratch, name)
            complete.mkdir()
            dataset.build(files, complete)
            complete.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster
            raise DataError(
                f"{folder} could not be written ({error.strerror or error})."
            ) from error
    return folder


def _locate(source: str, checksum: str, downloads: Path) -> Path:
    """Return the path of a verified file, and download it if necessary."""
    name = source.rpartition("/")[2]
    if name == source:  # it comes with the package
        path = ARCHIVES / name
        if not path.is_file() or f"sha256:{pooch.file_hash(path)}" != checksum:
            raise DataError(f"{name} is missing or damaged; install course_utils again.")
        return path
    try:
        # pooch asks whether the bar is true, so it needs a total; the real one is set later.
        with closing(progress(None, name, total=1, unit="B", unit_scale=True)) as bar:
            download = pooch.HTTPDownloader(progressbar=bar, timeout=30)
            return Path(pooch.retrieve(source, checksum, name, downloads, downloader=download))
    except (OSError, ValueError) as error:
        reason = "checksum mismatch" if type(error) is ValueError else type(error).__name__
        raise DataError(
            f"{source} could not be downloaded ({reason}); check the network, or save the file in "
            f"{downloads} yourself. fashion-mini and cutouts need no network."
        ) from error
