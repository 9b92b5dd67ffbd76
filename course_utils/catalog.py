"""The catalog of datasets, and their preparation as folders of images.

Two datasets come with the package, one with another package. The others are downloaded once and
verified. Every prepared dataset has the layout of `torchvision.datasets.ImageFolder`:
`<split>/<class>/<image>`, or `<class>/<image>` if it has no splits.
"""

import shutil
import tempfile
import tomllib
import warnings
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torchvision
from PIL import Image

from course_utils.errors import DataError
from course_utils.paths import output_folder

with warnings.catch_warnings():
    # In a notebook, tqdm warns if ipywidgets is not installed.
    warnings.filterwarnings("ignore", "IProgress not found")
    import pooch

ARCHIVES = Path(__file__).parent / "archives"
CATALOG = tomllib.loads((ARCHIVES / "catalog.toml").read_text(encoding="utf-8"))
SHEET_COLUMNS = 25  # images per row in the sheets of fashion-mini


def find_dataset(data: str | Path) -> Path:
    """Return the folder of a dataset; `data` is a name from the catalog or a path."""
    if str(data) in CATALOG:
        return prepare_dataset(str(data))
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise DataError(f"There is no folder {data}. The course's datasets: {', '.join(CATALOG)}.")
    return folder


def prepare_dataset(name: str, root: str | Path | None = None) -> Path:
    """Write a dataset from the catalog to the folder `root/name`, unless it already exists.

    The folder is created atomically: interrupted or concurrent runs leave no partial dataset.
    """
    if name not in CATALOG:
        raise DataError(f"There is no dataset {name!r}. Choose from {', '.join(CATALOG)}.")
    root = output_folder("data") if root is None else Path(root)
    folder = root / name
    if folder.is_dir():
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=root) as scratch:
            _build(name, Path(scratch)).rename(folder)
    except (OSError, RuntimeError, ValueError) as error:  # disk, network, or checksum
        if not folder.is_dir():  # unless another process has just created it
            reason = " ".join(str(error).split())
            raise DataError(f"The dataset {name} could not be prepared: {reason}") from error
    return folder


def _build(name: str, scratch: Path) -> Path:
    """Write a dataset to a temporary folder; return the folder that contains the splits."""
    entry, complete = CATALOG[name], scratch / "complete"
    if "torchvision" in entry:
        _save_torchvision(getattr(torchvision.datasets, entry["torchvision"]), scratch, complete)
        return complete
    if name == "solar-cells":
        _copy_solar_cells(complete)
        return complete
    if "url" in entry:
        archive = pooch.retrieve(entry["url"], entry["checksum"], path=scratch, progressbar=True)
    else:
        archive = ARCHIVES / entry["archive"]
        if f"sha256:{pooch.file_hash(archive)}" != entry["checksum"]:
            raise ValueError(f"{archive} is damaged; install course_utils again.")
    if name == "fashion-mini":
        _cut_sheets(archive, complete)
    else:
        shutil.unpack_archive(archive, complete)
    inside = complete / name  # some archives contain a single folder named like the dataset
    return inside if inside.is_dir() else complete


def _cut_sheets(archive: Path, folder: Path) -> None:
    """Cut the sheets of fashion-mini, one per split and class, into images of 28x28 pixels."""
    with zipfile.ZipFile(archive) as sheets:
        for name in sheets.namelist():
            with sheets.open(name) as file, Image.open(file) as image:
                sheet = np.asarray(image.convert("L"))
            grid = sheet.reshape(-1, 28, SHEET_COLUMNS, 28).swapaxes(1, 2)
            _save_images(grid.reshape(-1, 28, 28), folder / Path(name).with_suffix(""))


def _copy_solar_cells(folder: Path) -> None:
    """Copy the images of the package; file names keep the type of cell and the label in percent."""
    if (package := find_spec("elpv_dataset")) is None:
        raise ValueError(
            "the package elpv-dataset is missing. Run `python -m pip install elpv-dataset`. Its "
            "license, CC-BY-NC-SA-4.0, excludes commercial use."
        )
    source = Path(package.origin).parent / "data"
    table = pd.read_csv(source / "labels.csv", sep=r"\s+", names=["path", "label", "kind"])
    for path, label, kind in table.itertuples(index=False):
        target = folder / ("defective" if label > 0.5 else "functional")
        target.mkdir(parents=True, exist_ok=True)
        name = f"{Path(path).stem}_{kind}_{100 * label:.0f}.png"
        shutil.copyfile(source / path, target / name)


def _save_torchvision(dataset: type, downloads: Path, folder: Path) -> None:
    for split in ("train", "test"):
        part = dataset(downloads, train=split == "train", download=True)
        images, labels = np.asarray(part.data), np.asarray(part.targets)
        for label, name in enumerate(part.classes):  # T-shirt/top is not a valid folder name
            _save_images(images[labels == label], folder / split / name.replace("/", "-"))


def _save_images(images: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:05d}.png", compress_level=1)
