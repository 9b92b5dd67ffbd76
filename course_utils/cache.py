"""Decoded images in a file, so that the second training of the day need not decode them again.

The file is an ordinary `.npy` file, and it is mapped into memory: the system reads what is asked
for, and a set may be larger than the memory of the computer.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_utils.errors import DataError


def fingerprint(paths: Sequence[str | Path], *settings: str | bytes | int | None) -> str:
    """Make a name that changes when one of the files changes, or what is done with them.

    Args:
        paths: The image files, in order; their names, sizes and times of change count.
        *settings: Whatever else the decoded images depend on.

    Returns:
        Sixteen hexadecimal digits.

    Raises:
        DataError: A file is missing.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for path in paths:
        try:
            status = os.stat(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}).") from None
        line = f"{os.path.abspath(path)}\n{status.st_size}\n{status.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def write_images(images: Iterable[Tensor], count: int, file: Path) -> None:
    """Write images into one file, whole or not at all.

    Args:
        images: uint8 tensors, all of the same shape.
        count: How many there are.
        file: The `.npy` file to write; its folder is made.

    Raises:
        DataError: It cannot be written, for example on a full disk.
    """
    scratch = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(scratch, "wb") as stream:
            for index, image in enumerate(images):
                if index == 0:
                    shape = (count, *image.shape)
                    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(stream, header)
                stream.write(image.numpy().tobytes())
        os.replace(scratch, file)
    except OSError as error:
        if not file.exists():  # another process may have written the same
            raise DataError(
                f"The decoded images could not be kept in {file.parent} "
                f"({error.strerror or error})."
            ) from error
    finally:
        with suppress(OSError):  # it is there only when something failed
            scratch.unlink()


def read_images(file: Path) -> Tensor:
    """Map a file of `write_images` into memory.

    Args:
        file: The file.

    Returns:
        uint8 tensor of shape (count, channels, height, width). Writing to it does not change the
        file.
    """
    return torch.from_numpy(np.load(file, mmap_mode="c"))
