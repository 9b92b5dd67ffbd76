"""Find what is wrong with a folder of images before a training run does.

>>> from course_utils.health import check_folder
>>> check_folder("photos")  # a table: level, problem, file, detail
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from course_utils.datasets import split_folders
from course_utils.errors import DataError
from course_utils.image_io import image_files, is_image_name, load_image, subfolders
from course_utils.progress import progress

LEVELS = ("error", "warning", "note")
THUMBNAIL = 16  # pixels
ORIENTATION = 0x0112  # the EXIF tag
UNUSUAL_MODES = {"P": "palette", "PA": "palette", "CMYK": "CMYK"}
UNUSUAL_MODES |= {"I": "16-bit", "I;16": "16-bit", "I;16B": "16-bit"}

Report = Callable[[str, str, str | Path, object], None]


@dataclass
class _Picture:
    path: str
    split: str  # "" if there are no splits
    label: str
    digest: str = ""  # "" if it cannot be read
    thumbnail: np.ndarray | None = None


def check_folder(root: str | Path) -> pd.DataFrame:
    """Look through a folder of images for what breaks or falsifies a training run.

    Findings are files and folders that cannot be read, duplicates and near duplicates (an error
    across splits or classes), missing or empty classes, images outside a class folder, files that
    are ignored, extensions that do not fit the contents, and unusual modes.

    Args:
        root: A folder with one subfolder per class, or with such folders in train/, val/, test/.

    Returns:
        One row per finding, the worst first: level ("error", "warning" or "note"), problem, file
        (relative to the root), detail. Each image after the first of a group of duplicates has a
        row that names an earlier one.
    """
    root, rows, pictures, classes = Path(root), [], [], {}

    def report(level: str, problem: str, path: str | Path, detail: object) -> None:
        detail = str(detail).replace(f"{root}{os.sep}", "")
        rows.append((level, problem, Path(path).relative_to(root).as_posix(), detail))

    try:
        splits = split_folders(root) or {"": root}
    except DataError as error:
        report("error", "splits not clear" if root.is_dir() else "no such folder", root, error)
        splits = {"": root} if root.is_dir() else {}
    for split, folder in splits.items():
        classes[split] = _check_layout(folder, report)
        for label, paths in classes[split].items():
            pictures += [_Picture(path, split, label) for path in paths]
    for split, folder in splits.items():
        for label in sorted(set().union(*classes.values()) - classes[split].keys()):
            others = ", ".join(other for other in classes if label in classes[other])
            report("error", "class missing in a split", folder / label, f"only in {others}")
    with ThreadPoolExecutor() as threads:
        checks = threads.map(lambda picture: _check_file(picture, report), pictures)
        list(progress(checks, "checking images", len(pictures)))
    pictures = [picture for picture in pictures if picture.digest]
    _report_duplicates("duplicate", pictures, [picture.digest for picture in pictures], report)
    if pictures:
        groups = near_duplicate_groups(np.stack([picture.thumbnail for picture in pictures]))
        _report_duplicates("near duplicate", pictures, groups, report)
    frame = pd.DataFrame(rows, columns=["level", "problem", "file", "detail"])
    frame["level"] = pd.Categorical(frame["level"], LEVELS, ordered=True)
    return frame.sort_values(["level", "problem", "file"], ignore_index=True)


def _check_layout(folder: Path, report: Report) -> dict[str, list[str]]:
    """Check the folders of a split; return the image files of each class."""

    def listed(find: Callable[..., list], folder: Path, *options: Callable) -> list:
        try:
            return find(folder, *options)
        except DataError as error:
            report("error", "unreadable", folder, error)
            return []

    classes = {}
    for path in listed(subfolders, folder):
        classes[path.name] = listed(image_files, path)
        if not classes[path.name]:
            report("error", "empty class folder", path, "no image in it")
    if len(classes) < 2:
        names = ", ".join(classes) or "none"
        report("error", "fewer than two classes", folder, f"class folders: {names}")
    loose = [path.name for path in folder.glob("*.*") if is_image_name(path.name)]
    if loose:
        detail = f"{len(loose)} images, for example {min(loose)}"
        report("error", "images outside a class folder", folder, detail)
    for path in listed(image_files, folder, _is_ignored_image):
        detail = f"{Path(path).suffix} files are not read; save it as .jpg or .png"
        report("warning", "ignored file", path, detail)
    return classes


def _is_ignored_image(name: str) -> bool:
    """Say whether a file is an image with an extension that `ImageFolder` ignores."""
    extensions = Image.registered_extensions().keys() | {".heic", ".heif"}
    return Path(name).suffix.lower() in extensions and not is_image_name(name) and name[0] != "."


def _check_file(picture: _Picture, report: Report) -> None:
    """Decode an image, and add its digest and thumbnail."""
    path = picture.path
    try:
        image = load_image(path, draft=4 * THUMBNAIL)
    except DataError as error:
        return report("error", "unreadable", path, error)
    picture.digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    # A filter wider than a pixel, so that a copy of another size has almost the same thumbnail.
    size = (THUMBNAIL, THUMBNAIL)
    picture.thumbnail = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    try:
        _check_header(path, report)
    except Exception as error:  # Pillow raises a dozen kinds of errors for damaged headers
        report("warning", "damaged header", path, error)


def _check_header(path: str, report: Report) -> None:
    with Image.open(path) as image:
        is_photograph = image.format == "MPO"  # JPEG with a preview, as many cameras write it
        kind = "JPEG" if is_photograph else image.format
        if Image.registered_extensions().get(Path(path).suffix.lower()) != kind:
            report("warning", "wrong extension", path, f"holds {kind} data")
        if image.mode in UNUSUAL_MODES:
            detail = f"{UNUSUAL_MODES[image.mode]} (mode {image.mode})"
            report("note", "unusual mode", path, detail)
        orientation = image.getexif().get(ORIENTATION, 1)
        if orientation != 1:
            detail = f"orientation {orientation}, turned on loading"
            report("note", "EXIF rotation", path, detail)
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and not is_photograph:
            report("note", "several frames", path, f"{frames} frames, only the first is used")


def _report_duplicates(
    problem: str, pictures: list[_Picture], groups: Sequence, report: Report
) -> None:
    """Compare each picture with the first ones of its group in each split and class."""
    firsts = defaultdict(dict)
    for picture, group in zip(pictures, groups, strict=True):
        kinds = {}
        for other in firsts[group].values():
            if problem == "near duplicate" and other.digest == picture.digest:
                continue  # reported as a duplicate
            kind = " across classes" if other.label != picture.label else ""
            kinds.setdefault(" across splits" if other.split != picture.split else kind, other)
        if len(kinds) > 1:
            kinds.pop("", None)
        for kind, other in kinds.items():
            level = "error" if kind else "warning"
            report(level, f"{problem}{kind}", picture.path, f"same as {other.path}")
        firsts[group].setdefault((picture.split, picture.label), picture)


def near_duplicate_groups(thumbnails: np.ndarray) -> np.ndarray:
    """Label images so that near duplicates, and near duplicates of these, have the same label."""
    pairs = np.array(find_near_duplicates(thumbnails), dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(thumbnails),) * 2)
    return connected_components(graph, directed=False)[1]


def find_near_duplicates(thumbnails: np.ndarray) -> list[tuple[int, int]]:
    """Find all pairs of images that are almost the same: rescaled, recompressed, brightened.

    Thumbnails are normalized to mean 0, and to standard deviation 1 within their channels, so that
    brightness and contrast do not matter but color does. A pair differs little on average, and
    nowhere much: two objects in front of the same fixed camera are not duplicates.

    Args:
        thumbnails: Images of shape (count, height, width, channels).

    Returns:
        Pairs of indices, the smaller first.
    """
    count, height, width = thumbnails.shape[:3]
    vectors = thumbnails.reshape(count, height * width, -1).astype(np.float32)
    spread = np.sqrt(vectors.var(axis=1).mean(axis=1))
    textured = np.flatnonzero(spread > 1e-6)  # images of a single color are no copies
    if not len(textured):
        return []
    vectors = (vectors - vectors.mean(axis=(1, 2), keepdims=True)).reshape(count, -1)
    vectors = vectors[textured] / spread[textured, None]
    search = NearestNeighbors(radius=0.12 * np.sqrt(vectors.shape[1]), algorithm="brute")
    pairs = []
    for row, near in enumerate(search.fit(vectors).radius_neighbors(return_distance=False)):
        near = np.sort(near[near < row])
        near = near[np.abs(vectors[near] - vectors[row]).max(axis=1, initial=0) < 0.5]
        pairs += [(int(index), int(textured[row])) for index in textured[near]]
    return pairs
