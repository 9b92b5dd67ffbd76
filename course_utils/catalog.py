"""The datasets that the course knows by name, and how each becomes a folder of images.

    >>> from course_utils.catalog import prepare
    >>> folder = prepare_dataset("cutouts")  # build/data/cutouts, with train/, val/ and test/

Two sets come with the package and need no network. The others are downloaded once and checked.
Every prepared set has the same form, which `torchvision.datasets.ImageFolder` reads as well:
`<set>/<split>/<class>/<image>`.
"""

import gzip
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from course_utils.archive import complete_or_nothing, extract
from course_utils.download import Source, checksum, fetch
from course_utils.errors import DataError
from course_utils.paths import output_folder

ARCHIVES = Path(__file__).parent / "archives"
SHEET_COLUMNS = 25  # images in a row of fashion-mini's sheets

# In the order of Fashion-MNIST's labels 0 to 9; "T-shirt/top" cannot be the name of a folder.
FASHION_CLASSES = (
    "T-shirt-top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset of the catalog.

    Attributes:
        name: What it is called on the command line and in the notebooks.
        description: One line on what is in it.
        license: The license of the images.
        sources: The files it is made of.
        build: Writes the images into an empty folder, given the paths of the files.
        bundled: Whether the files come with the package.
    """

    name: str
    description: str
    license: str
    sources: tuple[Source, ...]
    build: Callable[[list[Path], Path], None]
    bundled: bool = False


def read_idx(path: Path) -> np.ndarray:
    """Read one gzipped file of MNIST's format.

    Args:
        path: A file such as `train-images-idx3-ubyte.gz`.

    Returns:
        A uint8 array: (count, rows, columns) for images, (count,) for labels.

    Raises:
        DataError: The file is missing or is no IDX file of bytes.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"There is no file {path.name} in {path.parent}.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.name} is damaged ({error}); download it again.") from error
    if content[:3] != b"\x00\x00\x08":
        raise DataError(f"{path.name} is not an IDX file of bytes; download it again.")
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _save_images(images: np.ndarray, folder: Path) -> None:
    """Write images as numbered PNG files; numbers of equal length keep them in order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:05d}.png", compress_level=1)


def _build_from_sheets(files: list[Path], folder: Path) -> None:
    """Cut the sheets of fashion-mini into images of 28x28 pixels."""
    with zipfile.ZipFile(files[0]) as archive:
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as image:
                sheet = np.asarray(image.convert("L"))
            grid = sheet.reshape(-1, 28, SHEET_COLUMNS, 28).swapaxes(1, 2)
            _save_images(grid.reshape(-1, 28, 28), folder / Path(name).with_suffix(""))


def _build_fashion_mnist(files: list[Path], folder: Path) -> None:
    for split, images_file, labels_file in (
        ("train", files[0], files[1]),
        ("test", files[2], files[3]),
    ):
        images, labels = read_idx(images_file), read_idx(labels_file)
        for label, name in enumerate(FASHION_CLASSES):
            _save_images(images[labels == label], folder / split / name)


def _build_cifar10(files: list[Path], folder: Path) -> None:
    # Beside the images: they fit there, while the system's own folder may be small.
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as scratch:
        extract(files[0], Path(scratch))
        batches = Path(scratch) / "cifar-10-batches-py"

        # The only pickles that the course opens: their checksum has just been verified.
        def load(name: str) -> dict:
            with open(batches / name, "rb") as file:
                return pickle.load(file, encoding="latin1")

        classes = load("batches.meta")["label_names"]
        train = [load(f"data_batch_{number}") for number in range(1, 6)]
        for split, parts in (("train", train), ("test", [load("test_batch")])):
            pixels = np.concatenate([part["data"] for part in parts])
            images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            labels = np.concatenate([part["labels"] for part in parts])
            for label, name in enumerate(classes):
                _save_images(images[labels == label], folder / split / name)


def _build_by_extracting(files: list[Path], folder: Path) -> None:
    extract(files[0], folder)
    # Many archives hold one folder with everything in it.
    inside = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name not in ("train", "test"):
        for path in inside[0].iterdir():
            path.rename(folder / path.name)
        inside[0].rmdir()


_FASHION_HOST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

CATALOG = {
    dataset.name: dataset
    for dataset in (
        DatasetInfo(
            "fashion-mini",
            "10 kinds of clothing, 28x28 gray, 5,000 train / 1,000 val / 1,000 test",
            "MIT",
            (
                Source(
                    "fashion-mini.zip",
                    "sha256:ff61e628858da55bf6d058e404bc74ea589b1b534d1c236e60ecd18a128cbe94",
                ),
            ),
            _build_from_sheets,
            bundled=True,
        ),
        DatasetInfo(
            "cutouts",
            "6 kinds of things, color photographs cut out, 113 train / 37 val / 37 test",
            "GPL-2.0-or-later",
            (
                Source(
                    "cutouts.zip",
                    "sha256:2ce74884d601dc8445cc3392b675a7efdc9c856968695d68fb2c6857c58edef7",
                ),
            ),
            _build_by_extracting,
            bundled=True,
        ),
        DatasetInfo(
            "fashion-mnist",
            "10 kinds of clothing, 28x28 gray, 60,000 train / 10,000 test",
            "MIT",
            tuple(
                Source(f"{stem}-ubyte.gz", f"md5:{md5}", f"{_FASHION_HOST}{stem}-ubyte.gz")
                for stem, md5 in (
                    ("train-images-idx3", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                    ("train-labels-idx1", "25c81989df183df01b3e8a0aad5dffbe"),
                    ("t10k-images-idx3", "bef4ecab320f06d8554ea6380940ec79"),
                    ("t10k-labels-idx1", "bb300cfdad3c16e7a12a480ee83cd310"),
                )
            ),
            _build_fashion_mnist,
        ),
        DatasetInfo(
            "cifar10",
            "10 kinds of animals and vehicles, 32x32 color, 50,000 train / 10,000 test",
            "no license stated; A. Krizhevsky, 2009",
            (
                Source(
                    "cifar-10-python.tar.gz",
                    "md5:c58f30108f718f92721af3b95e74349a",
                    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
                ),
            ),
            _build_cifar10,
        ),
        DatasetInfo(
            "hotdog",
            "hot dog or not, color photographs of many sizes, 2,000 train / 800 test",
            "no license stated; from the book Dive into Deep Learning",
            (
                Source(
                    "hotdog.zip",
                    "sha1:fba480ffa8aa7e0febbb511d181409f899b9baa5",
                    "http://d2l-data.s3-accelerate.amazonaws.com/hotdog.zip",
                ),
            ),
            _build_by_extracting,
        ),
    )
}


def catalog_table() -> list[dict[str, str]]:
    """List the catalog for printing.

    Returns:
        One row a dataset: name, what is in it, whether it needs the network, its license.
    """
    return [
        {
            "name": dataset.name,
            "description": dataset.description,
            "network": "not needed" if dataset.bundled else "once",
            "license": dataset.license,
        }
        for dataset in CATALOG.values()
    ]


def find_dataset(data: str | Path) -> Path:
    """Give the folder of a dataset by its name, or of one's own images by their path.

    A name of the catalog wins over a folder of the same name; write `./name` for the folder.

    Args:
        data: A name of the catalog or the path of a folder.

    Returns:
        An existing folder.

    Raises:
        DataError: It is neither; the message tells what there is nearby.
    """
    if str(data) in CATALOG:
        return prepare_dataset(str(data))
    folder = Path(data).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise DataError(f"{data} is a file; give the folder that holds one subfolder a class.")
    raise missing_folder(folder)


def missing_folder(folder: Path) -> DataError:
    """Make the error for a folder that does not exist, which tells what stands nearby."""
    parent = next(parent for parent in folder.absolute().parents if parent.is_dir())
    siblings = sorted(path.name for path in parent.iterdir() if path.is_dir())
    siblings = [name for name in siblings if not name.startswith(".")]
    where = f"In {parent.name or parent} there " + (
        f"are the folders {', '.join(siblings[:8])}{' and more' if len(siblings) > 8 else ''}."
        if siblings
        else "is no folder."
    )
    return DataError(
        f"There is no folder {folder}. {where} The course's own sets are {', '.join(CATALOG)}."
    )


def prepare_dataset(name: str, root: Path | None = None) -> Path:
    """Write a dataset of the catalog as a folder of images, unless it is there already.

    The images are written into a temporary folder that gets its name only when it is complete, so
    that a run that was cut off, or a second one at the same time, never leaves a partial set.

    Args:
        name: A name of the catalog.
        root: The folder that holds the datasets; `build/data` when left out.

    Returns:
        The folder `root/name`, which holds `<split>/<class>/<image>`.

    Raises:
        DataError: The name is unknown, a file is damaged or cannot be had, or nothing can be
            written.
    """
    if name not in CATALOG:
        raise DataError(f"There is no dataset {name!r}; the names are {', '.join(CATALOG)}.")
    root = output_folder("data") if root is None else Path(root)
    folder = root / name
    if folder.is_dir():
        return folder
    dataset = CATALOG[name]
    files = [_locate(source, dataset.bundled, root / "downloads") for source in dataset.sources]
    try:
        with complete_or_nothing(folder) as scratch:
            dataset.build(files, scratch)
    except OSError as error:
        raise DataError(
            f"The dataset {name} could not be written to {root}: {error.strerror or error}."
        ) from error
    return folder


def _locate(source: Source, bundled: bool, downloads: Path) -> Path:
    """Give the verified file of a source, downloaded where it must be."""
    if not bundled:
        return fetch(source, downloads)
    path = ARCHIVES / source.file_name
    if not path.is_file() or checksum(path, source.checksum) != source.checksum:
        raise DataError(f"{source.file_name} is missing or damaged; install course_utils again.")
    return path
