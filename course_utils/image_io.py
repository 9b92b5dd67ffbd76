"""Load images as they are meant to be displayed, and find image files in folders."""

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

# Pillow warns about invalid metadata and large images. The filters are set globally because
# catch_warnings is not thread-safe, and images are decoded in threads.
for category in (UserWarning, Image.DecompressionBombWarning):
    warnings.filterwarnings("ignore", category=category, module=r"PIL\.")


def load_image(path: str | Path, mode: str = "RGB", draft: int | None = None) -> Image.Image:
    """Load an image upright, on white where it is transparent, with 8 bits per channel.

    The mode is "RGB", "L" (grayscale), or "RGBA" (keeps transparency). With `draft`, JPEG files are
    decoded at 1/2, 1/4 or 1/8 of their size if both sides keep at least this many pixels: several
    times faster, with slightly different pixels. A missing or damaged file raises DataError.
    """
    name = printable(path)
    try:
        # Given a path, Pillow would swap the sides of gray TIFF files that EXIF rotates.
        with open(path, "rb") as file, Image.open(file) as image:
            if draft is not None:
                image.draft(None, (draft, draft))
            image.load()
            with suppress(Exception):  # damaged EXIF data, which other programs ignore as well
                ImageOps.exif_transpose(image, in_place=True)
            return convert_image(image, mode)
    except UnidentifiedImageError:
        raise DataError(f"{name} is not an image that Pillow can read.") from None
    except Exception as error:  # Pillow raises a dozen types of errors for damaged files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{name} could not be read ({reason or type(error).__name__}).") from error


def convert_image(image: Image.Image, mode: str = "RGB") -> Image.Image:
    """Convert an image to 8 bits per channel, on white where it is transparent."""
    if image.mode in ("I", "F"):
        raise ValueError("32 bits per pixel; save it with 8 or 16 bits")
    if image.mode.startswith("I;16"):  # convert would clip at 255
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if mode != "RGBA" and image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def printable(path: str | Path) -> str:
    """Escape line breaks and undecodable bytes, which file names on Linux may contain."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(path))


def common_mode(paths: Iterable[str | Path]) -> str:
    """Return "L" if all images are grayscale, else "RGB"; only headers are read."""
    for path in paths:
        with suppress(Exception), Image.open(path) as image:  # damage is reported on loading
            if image.mode not in ("1", "L", "LA", "I;16", "I;16B"):
                return "RGB"
    return "L"


def is_image_name(name: str) -> bool:
    """Return whether a file has one of torchvision's image extensions and is not hidden."""
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")


def image_files(folder: str | Path, is_wanted: Callable[[str], bool] = is_image_name) -> list[str]:
    """List the image files below a folder, at any depth, in alphabetical order.

    Links to files are followed; links to folders are not, since they may form cycles.
    """
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if _is_visible(name))
        found += [os.path.join(parent, name) for name in sorted(names) if is_wanted(name)]
    return found


def subfolders(folder: str | Path) -> list[Path]:
    """List the subfolders of a folder, except hidden ones and links that lead back to it."""
    _, names, _ = next(os.walk(folder, onerror=_raise))
    paths = [Path(folder, name) for name in sorted(names) if _is_visible(name)]
    return [path for path in paths if not Path(folder).resolve().is_relative_to(path.resolve())]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"  # macOS adds it to archives


def _raise(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)} could not be read ({error.strerror}).") from None
