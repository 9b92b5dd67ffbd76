"""Damaged and unusual image files: loaded as they are meant, or named in one error."""

import importlib
import random
import struct
import sys
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from course_utils import image_io
from course_utils.datasets import image_folder
from course_utils.errors import DataError
from course_utils.health import check_folder
from course_utils.image_io import load_image

# The filter that `image_io` sets is lost where pytest sets its own.
pytestmark = pytest.mark.filterwarnings("ignore")

# Smooth, so that JPEG changes little, and different at each of its corners.
DOWN, RIGHT = np.mgrid[0:24, 0:32]
PICTURE = np.stack([4 * RIGHT + 60, 6 * DOWN + 40, 255 - 3 * RIGHT - 4 * DOWN], axis=2)
PICTURE = Image.fromarray(PICTURE.astype(np.uint8))
# How to store an image so that each EXIF orientation shows it upright.
TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def stored(image, kind, **options):
    """The bytes of a file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(kind, orientation, picture=PICTURE):
    """A file that holds the picture turned, and an EXIF note of how to undo it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = TURNS[orientation]
    image = picture if turn is None else picture.transpose(turn)
    return stored(image, kind, exif=exif)


def with_hole(kind, **options):
    """A file whose upper half is transparent, and what it shows on white."""
    image = PICTURE.convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 32, 12))
    image.putalpha(alpha)
    expected = PICTURE.copy()
    expected.paste("white", (0, 0, 32, 12))
    return stored(image, kind, **options), expected


def few_colors():
    """A palette image with a transparent color, and what it shows on white."""
    image = Image.new("P", (32, 24))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 16, 24))
    expected = Image.new("RGB", (32, 24), "red")
    expected.paste("white", (0, 0, 16, 24))
    return stored(image, "PNG", transparency=1), expected


def frames(kind):
    others = [ImageOps.invert(PICTURE), PICTURE.rotate(180)]
    return stored(PICTURE, kind, save_all=True, append_images=others, lossless=True)


GRAY = PICTURE.convert("L")
DEEP = Image.fromarray(np.asarray(GRAY).astype(np.uint16) * 257)
KINDS = {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}, "BMP": {}, "PPM": {}, "JPEG": {}}
ODD = {
    **{f"{kind} as it is": (stored(PICTURE, kind, **options), PICTURE)
       for kind, options in KINDS.items()},
    **{f"{kind} turned by EXIF {number}": (turned(kind, number), PICTURE)
       for kind in ("JPEG", "PNG", "TIFF") for number in TURNS},
    **{f"gray TIFF turned by EXIF {number}": (turned("TIFF", number, GRAY), GRAY.convert("RGB"))
       for number in TURNS},
    "progressive JPEG": (stored(PICTURE, "JPEG", progressive=True), PICTURE),
    "gray JPEG": (stored(GRAY, "JPEG"), GRAY.convert("RGB")),
    "CMYK JPEG, inverted as Adobe does": (stored(PICTURE.convert("CMYK"), "JPEG"), PICTURE),
    "CMYK TIFF": (stored(PICTURE.convert("CMYK"), "TIFF"), PICTURE),
    "16-bit PNG": (stored(DEEP, "PNG"), GRAY.convert("RGB")),
    "16-bit TIFF": (stored(DEEP, "TIFF"), GRAY.convert("RGB")),
    "1 bit": (stored(GRAY.convert("1"), "PNG"), GRAY.convert("1").convert("RGB")),
    "palette": (stored(PICTURE.quantize(256), "PNG"), PICTURE.quantize(256).convert("RGB")),
    "palette with transparency": few_colors(),
    "PNG with a hole": with_hole("PNG"),
    "WebP with a hole": with_hole("WEBP", lossless=True),
    "TIFF with a hole": with_hole("TIFF"),
    "animated PNG": (frames("PNG"), PICTURE),
    "animated WebP": (frames("WEBP"), PICTURE),
    "TIFF of several pages": (stored(PICTURE, "TIFF", save_all=True,
                                     append_images=[ImageOps.invert(PICTURE)]), PICTURE),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_files_show_what_they_mean(name, tmp_path):
    content, expected = ODD[name]
    path = tmp_path / "image.png"  # whatever it holds: Pillow looks at the contents
    path.write_bytes(content)
    loaded = load_image(path)
    assert loaded.mode == "RGB"
    assert loaded.size == expected.size
    difference = np.asarray(loaded).astype(int) - np.asarray(expected)
    lossy = content.startswith(b"\xff\xd8")
    assert np.abs(difference).max() <= (30 if lossy else 0)
    assert np.abs(difference).mean() <= (4 if lossy else 0)
    assert load_image(path, "L").mode == "L"


def chunk(kind, content):
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def bomb(width, height):
    """A PNG file of a few kilobytes whose header promises a huge image."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    end = chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + end


def text_bomb():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * 80_000_000, zip=True)
    return stored(PICTURE, "PNG", pnginfo=info)


HOSTILE = {
    "bomb": lambda: bomb(50_000, 50_000),
    "a few pixels too long": lambda: bomb(2**31 - 1, 1),
    "bomb in a comment": text_bomb,
    "nothing": lambda: b"",
    "zeros": lambda: bytes(1000),
    "text": lambda: b"<html>404</html>",
    "header alone": lambda: stored(PICTURE, "PNG")[:33],
    "half a JPEG": lambda: stored(PICTURE, "JPEG")[:-300],
    "no pixels": lambda: b"P6 0 0 255\n",
    "svg": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_named(name, tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(HOSTILE[name]())
    with pytest.raises(DataError, match="image.png") as e:
        load_image(path)
    assert str(e.value).endswith(".")
    assert "\n" not in str(e.value)


def test_a_large_photograph_is_loaded_without_a_warning_and_other_warnings_stay(
    tmp_path, monkeypatch
):
    path = tmp_path / "large.png"
    PICTURE.save(path)
    # Pillow warns of more pixels than this, and refuses twice as many.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", PICTURE.width * PICTURE.height - 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        importlib.reload(image_io)  # sets its filters
        assert image_io.load_image(path).size == PICTURE.size
        warnings.warn_explicit("damaged EXIF", UserWarning, "PIL", 1, module="PIL.TiffImagePlugin")
        warnings.warn_explicit("old name", DeprecationWarning, "PIL", 1, module="PIL.Image")
        warnings.warn_explicit("yours", UserWarning, "cell", 1, module="__main__")
    assert [str(warning.message) for warning in caught] == ["old name", "yours"]


NAMES = ["two words.png", "100 %.png", "#1.png", "'quoted'.png", "ä ö ü.png", "a\u0308.png"]
NAMES += ["日本.png", "🐦.png", "a=b&c;d.png", "x" * 200 + ".png", "-rf.png", "$HOME.png", "{}.png"]
NOT_ON_WINDOWS = ["new\nline.png", 'double"quote.png', "back\\slash.png", "star*.png", "que?.png"]


def test_whatever_a_file_is_called_it_is_loaded_and_checked(tmp_path):
    names = NAMES + (NOT_ON_WINDOWS if sys.platform != "win32" else [])
    for folder in ("some", "Müll & more"):
        (tmp_path / folder).mkdir()
        for name in names:
            PICTURE.save(tmp_path / folder / name)
    dataset = image_folder(tmp_path)
    assert len(dataset) == 2 * len(names)
    assert all(image.size == PICTURE.size for image, _ in dataset)
    assert set(check_folder(tmp_path)["problem"]) == {"duplicate", "duplicate across classes"}


def damage(content, rng):
    """Change a file as disks and networks do: cut, change or repeat some bytes."""
    data = bytearray(content)
    start = rng.choice([rng.randrange(min(64, len(data))), rng.randrange(len(data))])
    kind = rng.randrange(4)
    if kind == 0:
        del data[start:]
    elif kind == 1:
        data[start : start + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)])
    elif kind == 2:
        data[start : start + rng.randint(1, 60)] = rng.randbytes(rng.randint(0, 60))
    else:
        data[start:start] = data[rng.randrange(len(data)) :][:200]
    return bytes(data)


@pytest.mark.parametrize("count", [300, pytest.param(3_000, marks=pytest.mark.thorough)])
def test_damaged_files_are_loaded_or_named(count, tmp_path):
    rng = random.Random(count)
    originals = [content for content, _ in ODD.values()]
    originals += [stored(PICTURE, kind) for kind in ("GIF", "TGA", "ICO", "PCX", "SGI", "DDS")]
    outcomes = {"loaded": 0, "refused": 0}
    (tmp_path / "class").mkdir()
    for number in range(count):
        path = tmp_path / "class" / f"{number % 50}.png"
        path.write_bytes(damage(rng.choice(originals), rng))
        try:
            image = load_image(path, rng.choice(["RGB", "L"]))
        except DataError as error:
            assert path.name in str(error)
            assert "\n" not in str(error)
            outcomes["refused"] += 1
        else:
            assert image.mode in ("RGB", "L")
            assert image.width > 0 and image.height > 0
            outcomes["loaded"] += 1
    assert min(outcomes.values()) > count / 10
    assert (check_folder(tmp_path)["problem"] == "unreadable").any()
