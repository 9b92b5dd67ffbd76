"""The datasets that the course knows by name, and how each becomes a folder of images.

>>> from course_utils.catalog import prepare_dataset
>>> folder = prepare_dataset("cutouts")  # build/data/cutouts, with train/, val/ and test/

Two datasets come with the package. The others are downloaded once and verified. Every prepared
dataset has the form that `torchvision.datasets.ImageFolder` reads: `<split>/<class>/<image>`.
"""

import gzip
import shutil
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from contextlib import closing
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
CATALOG = tomllib.loads((ARCHIVES / "catalog.toml").read_text(encoding="utf-8"))
SHEET_COLUMNS = 25  # images per row of fashion-mini's sheets

pooch.get_logger().setLevel("WARNING")


def catalog_table() -> list[dict[str, str]]:
    """List name, description, need for the network, and license of each dataset."""
    table = []
    for name, entry in CATALOG.items():
        network = "once" if "://" in next(iter(entry["files"])) else "not needed"
        row = {"name": name, "description": entry["description"], "network": network}
        table.append(row | {"license": entry["license"]})
    return table


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
    parent = next(parent for parent in folder.absolute().parents if parent.is_dir())
    nearby = sorted(path.name for path in parent.glob("[!.]*") if path.is_dir())[:8]
    raise DataError(
        f"There is no folder {folder}. Folders in {parent.name or parent}: "
        f"{', '.join(nearby) or 'none'}. Datasets of the course: {', '.join(CATALOG)}."
    )


def prepare_dataset(name: str, root: str | Path | None = None) -> Path:
    """Write a dataset of the catalog to the folder `root/name`, unless it is there already.

    The folder appears when it is complete, even if a run is interrupted or two run at once. The
    default of `root` is `build/data`.
    """
    if name not in CATALOG:
        raise DataError(f"There is no dataset {name!r}; the names are {', '.join(CATALOG)}.")
    root = output_folder("data") if root is None else Path(root)
    folder = root / name
    if folder.is_dir():
        return folder
    files = [_locate(*file, root / "downloads") for file in CATALOG[name]["files"].items()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as scratch:
            complete = Path(scratch, name)
            complete.mkdir()
            BUILDERS.get(name, _unpack)(files, complete)
            complete.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster
            reason = error.strerror or error
            raise DataError(f"{folder} could not be written ({reason}).") from error
    return folder


def _locate(source: str, checksum: str, downloads: Path) -> Path:
    """Return the path of a verified file, downloaded if it does not come with the package."""
    name = source.rpartition("/")[2]
    if name == source:
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


def _unpack(files: list[Path], folder: Path) -> None:
    shutil.unpack_archive(files[0], folder)
    inside = subfolders(folder)
    if len(inside) == 1:  # one folder that holds everything
        for path in inside[0].iterdir():
            path.rename(folder / path.name)
        inside[0].rmdir()


def _build_fashion_mini(files: list[Path], folder: Path) -> None:
    """Cut the sheets, one per class, into images of 28x28 pixels."""
    with zipfile.ZipFile(files[0]) as archive:
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as image:
                sheet = np.asarray(image.convert("L"))
            grid = sheet.reshape(-1, 28, SHEET_COLUMNS, 28).swapaxes(1, 2)
            _save_images(grid.reshape(-1, 28, 28), folder / Path(name).with_suffix(""))


def _build_fashion_mnist(files: list[Path], folder: Path) -> None:
    names = [name.replace("/", "-") for name in FashionMNIST.classes]  # T-shirt/top
    contents = [gzip.decompress(file.read_bytes()) for file in files]
    for split, images, labels in (("train", *contents[:2]), ("test", *contents[2:])):
        images = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
        _save_classes(images, np.frombuffer(labels, np.uint8, offset=8), names, folder / split)


def _build_cifar10(files: list[Path], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked:
        shutil.unpack_archive(files[0], unpacked, filter="data")
        for split in ("train", "test"):
            part = CIFAR10(unpacked, train=split == "train")
            _save_classes(part.data, np.array(part.targets), part.classes, folder / split)


BUILDERS = {
    "fashion-mini": _build_fashion_mini,
    "fashion-mnist": _build_fashion_mnist,
    "cifar10": _build_cifar10,
}


def _save_classes(
    images: np.ndarray, labels: np.ndarray, names: Sequence[str], folder: Path
) -> None:
    for label, name in enumerate(names):
        _save_images(images[labels == label], folder / name)


def _save_images(images: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:05d}.png", compress_level=1)
