"""Read image files the way a person sees them, and find them in folders."""

import os
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS

from course_utils.errors import DataError

# What Pillow warns of while it reads a file: odd metadata and large photographs. The filters are
# set once because catch_warnings is not safe in threads, which decode images here.
for category in (UserWarning, Image.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=category, module=r"PIL\.")


def load_image(path: str | Path, mode: str = "RGB", draft: int | None = None) -> Image.Image:
    """Read an image upright, on white where it is transparent, with 8 bits per channel.

    The mode is "RGB", "L" (gray), or "RGBA" (keeps transparency). With `draft`, JPEG files are
    decoded at 1/2, 1/4 or 1/8 of their size if both sides keep at least this many pixels: several
    times faster, with slightly different pixels. What is missing or damaged is a DataError.
    """
    name = printable(path)
    try:
        with Image.open(path) as image:
            if draft is not None:
                image.draft(None, (draft, draft))
            image.load()
            with suppress(Exception):  # a damaged EXIF block, which other programs ignore as well
                ImageOps.exif_transpose(image, in_place=True)
            if image.mode in ("I", "F"):
                raise ValueError("32 bits per pixel; save it with 8 or 16 bits")
            if image.mode.startswith("I;16"):  # convert would cut off at 255
                image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
            if mode != "RGBA" and image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert(mode)
    except UnidentifiedImageError:
        raise DataError(f"{name} is not an image that Pillow can read.") from None
    except Exception as error:  # Pillow raises a dozen kinds of errors for damaged files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{name} could not be read ({reason or type(error).__name__}).") from error


def printable(path: str | Path) -> str:
    """Escape line breaks and bytes that are not text, which a file name on Linux may have."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(path))


def common_mode(paths: Iterable[str | Path]) -> str:
    """Return "L" if all images are gray, else "RGB"; only headers are read."""
    for path in paths:
        with suppress(Exception), Image.open(path) as image:  # damage is reported on loading
            if image.mode not in ("1", "L", "LA", "I;16", "I;16B"):
                return "RGB"
    return "L"


def is_image_name(name: str) -> bool:
    """Say whether a file has one of torchvision's image extensions and is not hidden."""
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")


def image_files(folder: str | Path, is_wanted: Callable[[str], bool] = is_image_name) -> list[str]:
    """List the image files below a folder, at any depth, in alphabetical order.

    Links to files are followed. Links to folders are not: they may lead back and repeat images.
    """
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if _is_visible(name))
        found += [os.path.join(parent, name) for name in sorted(names) if is_wanted(name)]
    return found


def subfolders(folder: str | Path) -> list[Path]:
    """List the folders in a folder, except hidden ones, and links that lead back to it."""
    _, names, _ = next(os.walk(folder, onerror=_raise))
    paths = [Path(folder, name) for name in sorted(names) if _is_visible(name)]
    return [path for path in paths if not Path(folder).resolve().is_relative_to(path.resolve())]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"  # which macOS leaves in archives


def _raise(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)} could not be read ({error.strerror}).") from None
