"""Find problems in a folder of images before training."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ExifTags, Image
from sklearn.metrics.pairwise import euclidean_distances

from course_utils.datasets import split_folders
from course_utils.errors import DataError
from course_utils.image_io import image_files, is_image_name, load_image, printable, subfolders
from course_utils.progress import progress

THUMBNAIL = 16  # pixels
# From RGB to YCbCr, as in JPEG, whose compression changes chroma more than luma.
LUMA_AND_CHROMA = np.array(
    [[0.299, -0.169, 0.5], [0.587, -0.331, -0.419], [0.114, 0.5, -0.081]], dtype=np.float32
)

Finding = tuple[str, str, Path, str]  # level, problem, file, detail


@dataclass
class _Picture:
    path: Path
    file: str  # relative to the root
    split: str  # "" if there are no splits
    label: str
    digest: str = ""  # "" if unreadable
    thumbnail: np.ndarray | None = None


def check_folder(root: str | Path) -> pd.DataFrame:
    """Find problems in a folder of images that break training or invalidate its results.

    The folder contains one subfolder per class, or such folders in train/, val/ and test/.

    Returns:
        One row per finding, the most severe first: level ("error", "warning" or "note"), problem,
        file (relative to the root), detail. In a group of duplicates, all but the first have a row.
    """
    root, findings, pictures = Path(root), [], []
    folders = split_folders(root) or {"": root}
    classes = {
        split: {path.name: image_files(path) for path in subfolders(folder)}
        for split, folder in folders.items()
    }
    for split, folder in folders.items():
        findings += _check_layout(folder, classes[split], set().union(*classes.values()))
        for label, paths in classes[split].items():
            for path in map(Path, paths):
                file = path.relative_to(root).as_posix()
                pictures.append(_Picture(path, file, split, label))
    with ThreadPoolExecutor() as threads:
        checks = threads.map(_check_file, pictures)
        for found in progress(checks, "checking images", len(pictures)):
            findings += found
    pictures = [picture for picture in pictures if picture.digest]
    if pictures:
        digests = [picture.digest for picture in pictures]
        findings += _find_duplicates("duplicate", pictures, digests)
        groups = find_near_duplicates(np.stack([picture.thumbnail for picture in pictures]))
        findings += _find_duplicates("near duplicate", pictures, groups)
    rows = [
        (level, problem, path.relative_to(root).as_posix(), detail)
        for level, problem, path, detail in findings
    ]
    frame = pd.DataFrame(rows, columns=["level", "problem", "file", "detail"])
    frame["level"] = pd.Categorical(frame["level"], ["error", "warning", "note"], ordered=True)
    return frame.sort_values(["level", "problem", "file"], ignore_index=True)


def _check_layout(folder: Path, classes: dict[str, list[str]], expected: set[str]) -> list[Finding]:
    """Check the folders of a split; `classes` lists the image files by class."""
    findings = []
    for name in sorted(expected):
        if name not in classes:
            findings.append(("error", "class missing in a split", folder / name, "only in others"))
        elif not classes[name]:
            findings.append(("error", "empty class folder", folder / name, "no image in it"))
    if len(classes) < 2:
        findings.append(("error", "fewer than two classes", folder, ", ".join(classes) or "none"))
    loose = [path.name for path in folder.iterdir() if is_image_name(path.name)]
    if loose := sorted(name for name in loose if not (folder / name).is_dir()):
        findings.append(("error", "images outside a class folder", folder, ", ".join(loose[:3])))
    for path in image_files(folder, _is_ignored_image):
        findings.append(("warning", "ignored file", Path(path), "save it as .jpg or .png"))
    return findings


def _is_ignored_image(name: str) -> bool:
    """Return whether a file is an image with an extension that `ImageFolder` ignores."""
    extensions = Image.registered_extensions().keys() | {".heic", ".heif"}
    return Path(name).suffix.lower() in extensions and not is_image_name(name) and name[0] != "."


def _check_file(picture: _Picture) -> list[Finding]:
    """Decode an image; add its digest and thumbnail."""
    path, findings = picture.path, []
    try:
        image = load_image(path, draft=4 * THUMBNAIL)
    except DataError as error:
        detail = str(error).replace(printable(path), printable(path.name))
        return [("error", "unreadable", path, detail)]
    picture.digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # Lanczos averages over neighboring pixels, so that resized copies have similar thumbnails.
    image = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    picture.thumbnail = np.asarray(image)
    with suppress(Exception), Image.open(path) as image:  # damaged metadata is not a finding
        kind = "JPEG" if image.format == "MPO" else image.format  # JPEG with a preview
        if Image.registered_extensions().get(path.suffix.lower()) != kind:
            findings.append(("warning", "wrong extension", path, f"holds {kind} data"))
        if image.mode not in ("1", "L", "LA", "RGB", "RGBA"):
            findings.append(("note", "unusual mode", path, f"mode {image.mode}"))
        if (orientation := image.getexif().get(ExifTags.Base.Orientation, 1)) != 1:
            detail = f"orientation {orientation}, turned on loading"
            findings.append(("note", "EXIF rotation", path, detail))
    return findings


def _find_duplicates(problem: str, pictures: list[_Picture], groups: Sequence) -> list[Finding]:
    """Compare each image with the first of its group, from the earliest split and class."""
    findings, firsts = [], {}
    for picture, group in zip(pictures, groups, strict=True):
        other = firsts.setdefault(group, picture)
        if other is picture or (problem == "near duplicate" and other.digest == picture.digest):
            continue
        level, where = "warning", ""
        if other.split != picture.split:
            level, where = "error", " across splits"
        elif other.label != picture.label:
            level, where = "error", " across classes"
        findings.append((level, problem + where, picture.path, f"same as {other.file}"))
    return findings


def find_near_duplicates(thumbnails: np.ndarray) -> np.ndarray:
    """Group near duplicates: rescaled, recompressed or brightened copies.

    Brightness and contrast are normalized, color is not. Near duplicates differ little both on
    average and in every pixel, unlike photographs of two objects from the same fixed camera.

    The thumbnails are RGB images of shape (count, height, width, 3). Returns a group number for
    each; near duplicates of near duplicates are in the same group.
    """
    count, height, width = thumbnails.shape[:3]
    vectors = thumbnails.reshape(count, height * width, 3).astype(np.float32) @ LUMA_AND_CHROMA
    vectors[:, :, 0] -= vectors[:, :, 0].mean(axis=1, keepdims=True)
    spread = np.sqrt(vectors.var(axis=1).sum(axis=1))
    textured = np.flatnonzero(spread > 0.01)  # images of a single color are not copies
    if not len(textured):
        return np.arange(count)
    vectors = vectors.reshape(count, -1)[textured] / spread[textured, None]
    radius, groups = 0.15 * np.sqrt(height * width), np.arange(count)
    for start in range(0, len(vectors), 256):  # all distances at once would not fit into memory
        distances = euclidean_distances(vectors[start : start + 256], vectors[start:])
        for row, close in enumerate(distances < radius + 0.01, start):  # up to floating-point error
            near = start + np.flatnonzero(close)
            near = near[groups[textured[near]] != groups[textured[row]]]
            change = vectors[near] - vectors[row]
            is_near = np.linalg.norm(change, axis=1) < radius
            is_near &= np.abs(change).max(axis=1, initial=0) < 0.45
            joined = groups[textured[[row, *near[is_near]]]]
            groups[np.isin(groups, joined)] = joined.min()
    return np.unique(groups, return_inverse=True)[1]
