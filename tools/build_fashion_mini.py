"""Build fashion-mini.zip from the four files of Fashion-MNIST.

    python -m tools.build_fashion_mini FOLDER

FOLDER contains train-images-idx3-ubyte.gz and the three other files: install Debian's package
dataset-fashion-mnist and use /usr/share/datasets/fashion-mnist, or download the files from
https://github.com/zalandoresearch/fashion-mnist. The result is identical byte for byte with the
Pillow version that requirements.txt pins.
"""

import gzip
import io
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image
from torchvision.datasets import FashionMNIST
from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

from course_utils.catalog import SHEET_COLUMNS
from tools.archive import ARCHIVES, write_archive

# Images of each class, from the beginning of the file: Fashion-MNIST is already shuffled.
TRAIN, VAL, TEST = 500, 100, 100


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file as uint8: images (count, 28, 28) or labels (count,)."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "idx"
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return read_sn3_pascalvincent_tensor(str(plain)).numpy()


def sheet(images: np.ndarray) -> bytes:
    """Arrange images in rows of `SHEET_COLUMNS` and encode them as one lossless WebP file.

    One sheet per class is a third smaller than 7,000 files.

    Args:
        images: uint8 array of shape (count, 28, 28), count a multiple of `SHEET_COLUMNS`.
    """
    rows = len(images) // SHEET_COLUMNS
    grid = images.reshape(rows, SHEET_COLUMNS, 28, 28).swapaxes(1, 2)
    pixels = grid.reshape(rows * 28, SHEET_COLUMNS * 28)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels).convert("RGB")
    picture.save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return buffer.getvalue()


def main(
    folder: Annotated[Path, typer.Argument(help="The folder with the files of Fashion-MNIST.")],
    output: Path = ARCHIVES / "fashion-mini.zip",
) -> None:
    """Build fashion-mini.zip from the four files of Fashion-MNIST."""
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    images, labels, test_images, test_labels = (
        read_idx(folder / f"{part}-ubyte.gz") for part in parts
    )
    files = {}
    for label, original in enumerate(FashionMNIST.classes):
        name = original.replace("/", "-")  # T-shirt/top cannot be the name of a folder
        train = images[labels == label]
        files[f"train/{name}.webp"] = sheet(train[:TRAIN])
        files[f"val/{name}.webp"] = sheet(train[TRAIN : TRAIN + VAL])
        files[f"test/{name}.webp"] = sheet(test_images[test_labels == label][:TEST])
    write_archive(output, files)


if __name__ == "__main__":
    typer.run(main)
