"""Find what is wrong with a folder of images before a training run does.

>>> from course_utils.health import check_folder
>>> check_folder("photos")  # a table: level, problem, file, detail
"""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.metrics import pairwise_distances_chunked

from course_utils.datasets import SPLIT_NAMES
from course_utils.errors import DataError
from course_utils.image_io import image_files, is_image_name, load_image
from course_utils.progress import Progress

LEVELS = ("error", "warning", "note")
THUMBNAIL = 16  # pixels
ORIENTATION = 0x0112  # the EXIF tag

ODD_MODES = {
    "P": "palette",
    "PA": "palette",
    "CMYK": "CMYK",
    "YCCK": "CMYK",
    "I": "16-bit",
    "I;16": "16-bit",
    "I;16B": "16-bit",
    "F": "floating point",
}


@dataclass
class _Picture:
    """What the checks need to know of one file that could be read."""

    file: str  # relative to the root
    split: str  # "" where there are no splits
    digest: str
    thumbnail: np.ndarray


def check_folder(root: str | Path, near_duplicates: bool = True) -> pd.DataFrame:
    """Look through a folder of images for what breaks or falsifies a training run.

    Found are: unreadable and truncated files, extensions that do not fit the contents, exact and
    near duplicates (an error where they stand in two splits or two classes), classes that are
    missing in a split, fewer than two classes, empty folders, images outside of any class folder or
    of a kind that is not read, and unusual modes (palette, CMYK, 16-bit, EXIF rotation).

    Args:
        root: A folder with one subfolder a class, or with such folders in train/, val/, test/.
        near_duplicates: Whether to look for images that are almost the same; see `find_near_duplicates`.

    Returns:
        One row a finding, the worst first: level ("error", "warning" or "note"), problem, file
        (relative to the root), detail. No row means that nothing was found. Whatever the folder
        holds, this function does not raise an error.
    """
    root = Path(root)
    findings: list[tuple[str, str, str, str]] = []
    if not root.is_dir():
        findings.append(("error", "no such folder", root.name, "check the spelling"))
        return _as_frame(findings)
    splits = _splits(root)
    for folder in splits.values():
        findings += _check_layout(root, folder)
    findings += _check_classes(root, splits)

    pictures = []
    files = [(split, path) for split, folder in splits.items() for path in image_files(folder)]
    for split, path in Progress(files, "checking images"):
        file = Path(path).relative_to(root).as_posix()
        picture, about_file = _check_file(Path(path), file, split)
        findings += about_file
        if picture is not None:
            pictures.append(picture)
    findings += _exact_duplicates(pictures)
    if near_duplicates:
        findings += _near_duplicates(pictures)
    return _as_frame(findings)


def _as_frame(findings: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    frame = pd.DataFrame(findings, columns=["level", "problem", "file", "detail"])
    frame["level"] = pd.Categorical(frame["level"], LEVELS, ordered=True)
    return frame.sort_values(["level", "problem", "file"], ignore_index=True)


def _splits(root: Path) -> dict[str, Path]:
    """Give the folders that hold class folders: train, val and test, or the root itself."""
    found = {
        entry.name: entry
        for names in SPLIT_NAMES.values()
        for entry in _entries(root)
        if entry.is_dir() and entry.name.lower() in names
    }
    return found or {"": root}


def _subfolders(folder: Path) -> list[Path]:
    return [entry for entry in _entries(folder) if entry.is_dir() and entry.name[0] != "."]


def _entries(folder: Path) -> list[Path]:
    """List a folder in alphabetical order; one that may not be read counts as empty."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _check_layout(root: Path, folder: Path) -> Iterator[tuple[str, str, str, str]]:
    """Look at the folders of one split, not yet at the files in them."""
    place = folder.relative_to(root).as_posix()
    classes = _subfolders(folder)
    if len(classes) < 2:
        names = ", ".join(path.name for path in classes) or "none"
        yield "error", "fewer than two classes", place, f"class folders: {names}"
    loose = [entry.name for entry in _entries(folder) if is_image_name(entry.name)]
    if loose:
        detail = f"{len(loose)} images, for example {loose[0]}"
        yield "error", "images outside of a class folder", place, detail
    for path in classes:
        where = path.relative_to(root).as_posix()
        if not image_files(path):
            yield "error", "empty class folder", where, "no image in it"
        for name in _ignored_images(path):
            detail = f"{Path(name).suffix} files are not read; save it as .jpg or .png"
            yield "warning", "ignored file", f"{where}/{name}", detail


def _ignored_images(folder: Path) -> list[str]:
    """List images of a kind that `ImageFolder`, like torchvision's, passes over in silence."""
    kinds = Image.registered_extensions().keys() | {".heic", ".heif", ".jfif"}
    names = [entry.name for entry in _entries(folder) if Path(entry.name).suffix.lower() in kinds]
    return [name for name in names if not is_image_name(name) and not name.startswith(".")]


def _check_classes(root: Path, splits: dict[str, Path]) -> Iterator[tuple[str, str, str, str]]:
    """Compare the classes of the splits."""
    names = {split: {path.name for path in _subfolders(folder)} for split, folder in splits.items()}
    everywhere = set().union(*names.values())
    for split, present in names.items():
        for name in sorted(everywhere - present):
            others = ", ".join(other for other in names if name in names[other])
            yield "error", "class missing in a split", f"{split}/{name}", f"only in {others}"


def _check_file(
    path: Path, file: str, split: str
) -> tuple[_Picture | None, list[tuple[str, str, str, str]]]:
    """Read one file completely; give what is needed of it later, and what is odd about it."""
    if path.exists() and not path.is_file():  # to read a pipe would wait for ever
        return None, [("error", "unreadable", file, "it is no file")]
    try:
        content = path.read_bytes()
        image = load_image(path)
    except OSError as error:
        return None, [("error", "unreadable", file, error.strerror or "cannot be opened")]
    except DataError as error:
        reason = str(error).replace(str(path), "").strip(" :.") if content else "the file is empty"
        return None, [("error", "unreadable", file, reason)]
    # A filter wider than a pixel, so that a copy of another size has almost the same thumbnail.
    thumbnail = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    digest = hashlib.sha256(content).hexdigest()
    picture = _Picture(file, split, digest, np.asarray(thumbnail, dtype=np.float32))
    about_header = []
    try:
        about_header.extend(_check_header(path, file))
    except Exception as error:  # Pillow raises a dozen kinds of errors over damaged headers
        about_header.append(("warning", "damaged header", file, f"{error or type(error).__name__}"))
    return picture, about_header


def _check_header(path: Path, file: str) -> Iterator[tuple[str, str, str, str]]:
    with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
        extension = path.suffix.lower()
        if Image.registered_extensions().get(extension) != image.format:
            yield "warning", "wrong extension", file, f"holds {image.format} data"
        if image.mode in ODD_MODES:
            yield "note", "unusual mode", file, f"{ODD_MODES[image.mode]} (mode {image.mode})"
        orientation = image.getexif().get(ORIENTATION, 1)
        if orientation != 1:
            yield "note", "EXIF rotation", file, f"orientation {orientation}, turned on loading"
        if getattr(image, "n_frames", 1) > 1:
            yield "note", "several frames", file, f"{image.n_frames} frames, only the first is used"


def _pair(problem: str, one: _Picture, two: _Picture) -> tuple[str, str, str, str]:
    """Judge a pair of equal or almost equal images."""
    class_of_one, class_of_two = (os.path.dirname(p.file).split("/")[-1] for p in (one, two))
    if one.split != two.split:
        return "error", f"{problem} across splits", two.file, f"same as {one.file}"
    if class_of_one != class_of_two:
        return "error", f"{problem} across classes", two.file, f"same as {one.file}"
    return "warning", problem, two.file, f"same as {one.file}"


def _exact_duplicates(pictures: list[_Picture]) -> Iterator[tuple[str, str, str, str]]:
    """Report every file whose bytes occurred before."""
    first: dict[str, _Picture] = {}
    for picture in pictures:
        if picture.digest in first:
            yield _pair("duplicate", first[picture.digest], picture)
        else:
            first[picture.digest] = picture


def _near_duplicates(pictures: list[_Picture]) -> Iterator[tuple[str, str, str, str]]:
    """Report every file that looks like an earlier one with other bytes."""
    if not pictures:
        return
    reported = Counter()
    for one, two in find_near_duplicates(np.stack([picture.thumbnail for picture in pictures])):
        if pictures[one].digest != pictures[two].digest and not reported[two]:
            reported[two] += 1
            yield _pair("near duplicate", pictures[one], pictures[two])


def find_near_duplicates(
    thumbnails: np.ndarray, most_different: float = 0.1
) -> list[tuple[int, int]]:
    """Find pairs of images that are almost the same: scaled, recompressed, brightened.

    Each thumbnail is shifted and scaled to mean 0 and length 1, so that brightness and contrast do
    not matter; pairs are close when the distance of these vectors is small.

    Args:
        thumbnails: Gray images, shape (count, height, width).
        most_different: The largest distance of a pair, from 0 (the same) to 2 (the negative).

    Returns:
        Pairs of indices, the smaller first, in ascending order of the second.
    """
    vectors = thumbnails.reshape(len(thumbnails), -1).astype(np.float64)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1)
    # Images of a single color look alike without being copies.
    textured = np.flatnonzero(lengths > 1e-6 * vectors.shape[1])
    if not len(textured):
        return []
    vectors = vectors[textured] / lengths[textured, None]
    pairs = []
    start = 0
    for distances in pairwise_distances_chunked(vectors):
        rows, columns = np.nonzero(distances <= most_different)
        rows = rows + start
        keep = columns < rows
        pairs += zip(textured[columns[keep]].tolist(), textured[rows[keep]].tolist(), strict=True)
        start += len(distances)
    return sorted(pairs, key=lambda pair: (pair[1], pair[0]))
