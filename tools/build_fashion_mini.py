"""Make fashion-mini.zip from the four files of Fashion-MNIST.

    python tools/build_fashion_mini.py FOLDER

FOLDER holds train-images-idx3-ubyte.gz and its three siblings: install Debian's package
dataset-fashion-mnist and give /usr/share/datasets/fashion-mnist, or download the files from
https://github.com/zalandoresearch/fashion-mnist. The result is the same byte for byte with the
Pillow version that requirements.txt pins.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from archive import ARCHIVES, write_archive
from PIL import Image

from course_utils.catalog import FASHION_CLASSES, SHEET_COLUMNS, read_idx

# Images of each class, taken from the front of the file: Fashion-MNIST is already shuffled.
TRAIN, VAL, TEST = 500, 100, 100


def sheet(images: np.ndarray) -> bytes:
    """Lay images out in rows of `SHEET_COLUMNS` and compress the sheet without loss.

    One sheet a class is a third smaller than 7,000 files, and one look shows all of it.

    Args:
        images: uint8 array of shape (count, 28, 28), count a multiple of `SHEET_COLUMNS`.

    Returns:
        The bytes of a WebP file.
    """
    rows = len(images) // SHEET_COLUMNS
    grid = images.reshape(rows, SHEET_COLUMNS, 28, 28).swapaxes(1, 2)
    pixels = grid.reshape(rows * 28, SHEET_COLUMNS * 28)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels).convert("RGB")
    picture.save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return buffer.getvalue()


def main() -> None:
    """Read the command line and build the archive."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with the four files of Fashion-MNIST")
    parser.add_argument("--output", type=Path, default=ARCHIVES / "fashion-mini.zip")
    arguments = parser.parse_args()

    files = {}
    train_images = read_idx(arguments.folder / "train-images-idx3-ubyte.gz")
    train_labels = read_idx(arguments.folder / "train-labels-idx1-ubyte.gz")
    test_images = read_idx(arguments.folder / "t10k-images-idx3-ubyte.gz")
    test_labels = read_idx(arguments.folder / "t10k-labels-idx1-ubyte.gz")
    for label, name in enumerate(FASHION_CLASSES):
        for_training = train_images[train_labels == label]
        files[f"train/{name}.webp"] = sheet(for_training[:TRAIN])
        files[f"val/{name}.webp"] = sheet(for_training[TRAIN : TRAIN + VAL])
        files[f"test/{name}.webp"] = sheet(test_images[test_labels == label][:TEST])
    write_archive(arguments.output, files)


if __name__ == "__main__":
    main()
