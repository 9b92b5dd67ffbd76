"""Read image files the way a person sees them."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torchvision.datasets.folder import IMG_EXTENSIONS

from course_utils.errors import DataError

GRAY_MODES = {"1", "L", "LA", "I", "I;16", "I;16B", "F"}
DIRECT_MODES = {"La": "LA", "LAB": "RGB"}  # Pillow has no other way from these
FEW_BITS = {"L;2": 85, "L;4": 17}  # what makes 255 of the largest number
PROGRAMS = {"EPS", "WMF", "EMF"}  # Pillow lets other software run them; strangers' files may not
ORIENTATION = 0x0112  # the EXIF tag


def load_image(
    path: str | Path, mode: str = "RGB", background: str = "white", draft: int | None = None
) -> Image.Image:
    """Open an image the way a person sees it.

    A photograph is turned as its EXIF data says, transparent parts show the background, of an
    animation the first frame is taken, and images of 16 bits are scaled to 8 instead of being cut
    off at 255: always by 65535 / 255, so a camera of 12 bits gives dark images. Color profiles
    are not applied.

    Args:
        path: The file.
        mode: "RGB" for three channels, "L" for gray, "RGBA" to keep transparency.
        background: The color behind transparent parts; of no effect with "RGBA".
        draft: A JPEG file may be decoded at a half, a quarter or an eighth of its size, as long as
            both sides keep at least so many pixels. That is several times as fast, and the pixels
            differ a little. None decodes all of it.

    Returns:
        A decoded image of that mode.

    Raises:
        DataError: The file is missing, is no image, or is damaged.
    """
    # Pillow warns of odd headers and of large photographs; what it cannot read is an error.
    with warnings.catch_warnings(action="ignore"):
        return _load(path, mode, background, draft)


def _load(path: str | Path, mode: str, background: str, draft: int | None) -> Image.Image:
    """Do what `load_image` does; threads may call this, but Python's filter of warnings is one."""
    image = _decode(path, draft)
    if mode != "RGBA" and (image.has_transparency_data or image.mode in ("LA", "PA")):
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(backdrop, image)
    return _in_mode(image, mode)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image only if need be: Pillow copies one that has the mode already."""
    return image if image.mode == mode else image.convert(mode)


def _decode(path: str | Path, draft: int | None) -> Image.Image:
    """Read a file into an upright image of 8 bits a channel, of a mode that converts to any."""
    name = printable(path)
    if not os.path.isfile(path) and os.path.exists(path):  # to read a pipe would wait for ever
        raise DataError(f"{name} is no file but a folder or a device.")
    try:
        with Image.open(path) as file:
            if file.format in PROGRAMS:
                raise DataError(f"{name} is a drawing ({file.format}); save it as JPEG or PNG.")
            if draft is not None:
                file.draft(None, (draft, draft))
            return _upright(file, name)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"There is no file {name}.") from None
    except PermissionError:
        raise DataError(f"{name} may not be read; check its permissions.") from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is no image that Pillow can read.") from None
    except Image.DecompressionBombError:
        most = 2 * Image.MAX_IMAGE_PIXELS / 1e6
        raise DataError(
            f"{name} claims more than {most:.0f} million pixels; make it smaller, or leave it out."
        ) from None
    except Exception as error:  # Pillow raises a dozen kinds of errors over damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} is damaged: {reason.rstrip('.')}.") from error


def _upright(file: Image.Image, name: str) -> Image.Image:
    """Decode an open file; what Pillow would get wrong in silence is refused."""
    layout = str(file.tile[0][3]) if file.tile else ""
    file.load()
    try:
        file.getexif().get(ORIENTATION)
    except Exception:  # other programs show a picture whose EXIF block is damaged
        image = file.copy()
    else:
        image = ImageOps.exif_transpose(file)
    if image.mode == "F":
        raise DataError(f"{name} holds floating-point numbers; save it with 8 or 16 bits instead.")
    see_through = image.info.get("transparency")
    if see_through is not None and ";16" in layout:
        raise DataError(f"{name} has a transparent color of 16 bits; save it with 8 bits instead.")
    if image.mode.startswith("I"):
        pixels = np.asarray(image).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise DataError(f"{name} holds numbers of 32 bits; save it with 8 or 16 bits instead.")
        return Image.fromarray((pixels // 257).astype(np.uint8))  # 65535 becomes 255
    if layout in FEW_BITS and see_through is not None:  # Pillow scales the pixels alone
        image.info["transparency"] = see_through * FEW_BITS[layout]
    return _in_mode(image, DIRECT_MODES.get(image.mode, image.mode))


def printable(path: str | Path) -> str:
    """Write a path so that every screen and file can show it.

    On Linux a name may be any bytes, and those that are no text would make printing fail.

    Args:
        path: Any path.

    Returns:
        The same text, apart from such bytes and line breaks.
    """
    text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(repr(sign)[1:-1] if ord(sign) < 32 else sign for sign in text)


def common_mode(paths: Iterable[str | Path], most: int = 100) -> str:
    """Say whether images are gray or colored, from the headers of some of them.

    Args:
        paths: Image files; unreadable ones are passed over.
        most: How many headers to read, spread evenly over the list.

    Returns:
        "L" if all are gray, else "RGB".
    """
    paths = list(paths)
    for path in paths[:: max(1, len(paths) // most)]:
        if not os.path.isfile(path):  # to read a pipe would wait for ever
            continue
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
                if image.mode not in GRAY_MODES:
                    return "RGB"
        except Exception:  # a damaged file is reported when its turn comes
            continue
    return "L"


def is_image_name(name: str) -> bool:
    """Say whether a file's name ends like an image's, in small letters or capitals."""
    return name.lower().endswith(IMG_EXTENSIONS) and not name.startswith(".")


def image_files(folder: Path) -> list[str]:
    """List the image files below a folder, at any depth, in alphabetical order."""
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(parent, name) for name in sorted(names) if is_image_name(name)]
    return found
