"""Read image files the way a person sees them, and find them in folders."""

import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS

from course_utils.errors import DataError

GRAY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B"}

# Pillow warns about odd headers and large photographs; a file that cannot be read is an error.
warnings.filterwarnings("ignore", module="PIL")


def load_image(path: str | Path, mode: str = "RGB", draft: int | None = None) -> Image.Image:
    """Read an image upright, on white where it is transparent, with 8 bits per channel.

    The mode is "RGB", "L" (gray), or "RGBA" (keeps transparency). With `draft`, JPEG files are
    decoded at 1/2, 1/4 or 1/8 of their size if both sides keep at least this many pixels: several
    times faster, with slightly different pixels. What is missing or damaged is a DataError.
    """
    name = printable(path)
    try:
        with Image.open(path) as file:
            if draft is not None:
                file.draft(None, (draft, draft))
            image = _decode(file)
            if mode != "RGBA" and image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image if image.mode == mode else image.convert(mode)
    except FileNotFoundError:
        raise DataError(f"There is no file {name}.") from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is not an image that Pillow can read.") from None
    except Exception as error:  # Pillow raises a dozen kinds of errors for damaged files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        reason = reason.rstrip(".") or type(error).__name__
        raise DataError(f"{name} could not be read ({reason}).") from error


def _decode(file: Image.Image) -> Image.Image:
    """Decode an open file, upright; 16 bits are scaled to 8, not cut off at 255."""
    file.load()
    try:
        image = ImageOps.exif_transpose(file)
    except Exception:  # a damaged EXIF block, which other programs ignore as well
        image = file.copy()
    if image.mode == "F" or (image.mode == "I" and file.format != "PPM"):
        raise ValueError("32 bits per pixel; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))  # 65535 becomes 255
    return image


def printable(path: str | Path) -> str:
    """Escape line breaks and bytes that are not text, which a file name on Linux may have."""
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(repr(sign)[1:-1] if ord(sign) < 32 else sign for sign in text)


def common_mode(paths: Iterable[str | Path]) -> str:
    """Return "L" if all images are gray, else "RGB"; only headers are read."""
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.mode not in GRAY_MODES:
                    return "RGB"
        except Exception:  # a damaged file is reported when it is loaded
            continue
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


def subfolders(folder: Path) -> list[Path]:
    """List the folders in a folder, except hidden ones, and links that lead back to it."""
    _, names, _ = next(os.walk(folder, onerror=_raise))
    paths = [Path(folder, name) for name in sorted(names) if _is_visible(name)]
    return [path for path in paths if not Path(folder).resolve().is_relative_to(path.resolve())]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"  # which macOS leaves in archives


def _raise(error: OSError) -> NoReturn:
    raise DataError(f"{printable(error.filename)} could not be read ({error.strerror}).") from None
