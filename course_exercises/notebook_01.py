"""The checks of notebook 01: images as arrays, a dataset, augmentation, leaks, shortcuts."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.transforms.v2 import functional as F

from course_exercises.checks import Hint, call, exercise, kind, plain, rounded, short
from course_exercises.reports import is_count, is_number
from course_utils.datasets import load_splits
from course_utils.evaluation import accuracy_interval
from course_utils.image_io import load_image

# 01.1: from a tensor to an image array


@exercise("01.1")
def check_to_picture(answer: Any) -> None:
    """Check color and gray, the ends of the range, and that the argument stays unchanged."""
    color = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(1))
    color[:, 0, 0], color[:, -1, -1] = 0.0, 1.0
    for name, tensor in {"color": color, "gray": color[:1, :, :2].contiguous()}.items():
        given = tensor.clone()
        picture = call(answer, given, show=f"a {name} image of shape {tuple(tensor.shape)}")
        _require_picture(picture, tensor)
        if not torch.equal(given, tensor):
            raise Hint("Your function changes its argument: methods that end in _ work in place.")


def _require_picture(picture: Any, tensor: Tensor) -> None:
    given, wanted = tuple(tensor.shape), tuple(tensor.permute(1, 2, 0).shape)
    if not isinstance(picture, np.ndarray):
        raise Hint(f"The result is a {kind(picture)}, not a NumPy array. See tensor.numpy().")
    if picture.shape != wanted:
        raise Hint(f"{given} should become {wanted}, not {picture.shape}: which axis goes where?")
    if picture.dtype != np.uint8:
        raise Hint(f"The shape is right, but the dtype is {picture.dtype} instead of uint8.")
    right = (tensor.permute(1, 2, 0) * 255).numpy()
    if np.abs(picture - right).max() <= 1:
        return
    if (values := set(picture.ravel().tolist())) <= {0, 1, 255}:
        raise Hint(
            f"The result contains only {sorted(values)}: there is no integer between 0 and 1, so "
            "which step comes first?"
        )
    if np.abs(np.sort(picture, axis=None) - np.sort(right, axis=None)).max() <= 1:
        raise Hint(
            "All values are there, but in the wrong places: reshape keeps their order and only "
            "divides them into other rows, as in the scrambled figure above."
        )
    if picture[-1, -1, 0] == 0:
        raise Hint("White, 1.0, became 0 instead of 255: above 255, uint8 starts again at 0.")
    raise Hint("Shape and dtype are right, but not the values: 0 … 1 should become 0 … 255.")


# 01.2: a dataset from a CSV file

CLASSES = ["ant", "bee", "zebra"]
ROWS = [("zebra", "train"), ("bee", "val"), ("ant", "train"), ("bee", "train"), ("zebra", "val")]


@exercise("01.2")
def check_csv_dataset(answer: Any) -> None:
    """Check two splits of a small table; one of them lacks a class."""
    with TemporaryDirectory() as folder:
        table = Path(folder) / "images.csv"
        lines = ["file,label,split"]
        (table.parent / "files").mkdir()
        for number, (label, split) in enumerate(ROWS):
            Image.new("RGB", (4, 3), _color(number)).save(table.parent / f"files/{number}.png")
            lines.append(f"files/{number}.png,{label},{split}")
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for split in ("train", "val"):
            _require_split(answer, table, split)
        dataset = call(answer, table, "val", lambda image: "new", show="images.csv, val, transform")
        if _item(answer, dataset, 0, "val")[0] != "new":
            raise Hint("With a transform, the first element of dataset[0] is not what it returns.")


def _color(number: int) -> tuple[int, int, int]:
    return (40 * number, 100, 250 - 40 * number)


def _require_split(answer: Any, table: Path, split: str) -> None:
    wanted = [number for number, row in enumerate(ROWS) if row[1] == split]
    dataset = call(answer, table, split, show=f"images.csv, {split!r}")
    if not all(hasattr(type(dataset), name) for name in ("__len__", "__getitem__")):
        raise Hint(f"A dataset has __len__ and __getitem__; a {kind(dataset)} lacks one of them.")
    length = plain(call(type(dataset).__len__, dataset, show=f"the split {split}"))
    if length == len(ROWS):
        raise Hint(f"The split {split!r} has all {length} rows; it should have {len(wanted)}.")
    if length != len(wanted):
        raise Hint(f"The split {split!r} has length {short(length)}; it should have {len(wanted)}.")
    for place, number in enumerate(wanted):
        image, index = _item(answer, dataset, place, split)
        _require_label(index, ROWS[number][0], split)
        if isinstance(image, str | Path):
            raise Hint("The first element of dataset[0] is a path: load the image.")
        color = tuple(np.asarray(image)[0, 0].tolist()) if np.ndim(image) == 3 else None
        if color != _color(number):
            raise Hint(
                f"Image {place} of the split {split!r} is not the one in row {number} of the "
                "table. Images should be in RGB, in the order of the file."
            )


def _item(answer: Any, dataset: Any, place: int, split: str) -> tuple:
    try:
        item = call(type(dataset).__getitem__, dataset, place, show=f"{place}, split {split!r}")
    except Hint as hint:
        if any(word in str(hint) for word in ("could not be read", "No such file")):
            raise Hint("A file is not found: paths are relative to the CSV's folder.") from None
        if "KeyError" in str(hint):
            raise Hint(
                f"dataset[{place}] raises a KeyError in the split {split!r}: after filtering, rows "
                "keep their old index labels. Use iloc, or lists."
            ) from None
        raise
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise Hint(f"dataset[{place}] should be a pair (image, index), not a {kind(item)}.")
    return tuple(item)


def _require_label(index: Any, label: str, split: str) -> None:
    if isinstance(index, str):
        raise Hint(f"The second element of a sample is {index!r}; it should be the class index.")
    index, wanted = plain(index), CLASSES.index(label)
    if index == wanted and is_count(index):
        return
    present = [row[0] for row in ROWS if row[1] == split]
    if index == sorted(set(present)).index(label):
        raise Hint(
            f"In the split {split!r}, {label!r} has index {index} because a class is missing "
            "there. Make the list of classes from the whole table before you filter it."
        )
    if index == list(dict.fromkeys(row[0] for row in ROWS)).index(label):
        raise Hint(f"{label!r} has index {index}: sort the class names before you number them.")
    raise Hint(f"The index of {label!r} should be {wanted}, not {short(index)}.")


# 01.3: an augmentation for digits, tested on the letter F, which has no symmetry

DRAWS = 60


@exercise("01.3")
def check_digit_augmentation(answer: Any) -> None:
    """Check that it shifts and rotates a little, and mirrors nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        outputs = [call(answer, _letter(), show="an image of a letter") for _ in range(DRAWS)]
    for output in outputs:
        if not isinstance(output, Tensor) or output.shape != (1, 28, 28):
            what = tuple(output.shape) if isinstance(output, Tensor) else kind(output)
            raise Hint(f"An image of shape (1, 28, 28) became {what}; the shape must not change.")
        if output.dtype != torch.uint8:
            raise Hint(f"The dtype became {output.dtype}; it must stay torch.uint8.")
    _require_small_changes(torch.stack(outputs))


def _require_small_changes(outputs: Tensor) -> None:
    images = outputs.float()
    if (outputs == outputs[0]).all():
        raise Hint(f"All {DRAWS} results are the same: this transform is not random.")
    kept = images.sum(dim=(1, 2, 3)) / _letter().sum()
    corners = images[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    angles, mirrored = _poses(images)
    for is_wrong, problem in [
        (kept < 0.4, "much of the character is outside the image"),
        (corners.amax(dim=1) > 128, "corners are white, but these digits are on black"),
        (mirrored, "the character is mirrored: what would that do to a 2?"),
        (angles.abs() > 45, "the character is rotated by more than 45 degrees: a 6 may become a 9"),
    ]:
        if (share := is_wrong.float().mean()) > 0.03:
            raise Hint(f"In {share:.0%} of the results {problem}.")
    start = _centers(_letter()[None].float())
    if ((_centers(images) - start).norm(dim=1) > 0.7).float().mean() < 0.2:
        raise Hint("The character is rotated, but hardly ever shifted by a pixel.")
    if (angles.abs() >= 3).float().mean() < 0.2:
        raise Hint("The character is shifted, but hardly ever rotated by 3 degrees or more.")
    if len(angles.unique()) < 3:
        raise Hint("The character is always rotated by nearly the same angle: it should be random.")


def _letter() -> Tensor:
    """Draw an F near the center of an image."""
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[:, 6:22, 10:13] = image[:, 6:9, 10:20] = image[:, 13:16, 10:17] = 255
    return image


def _centers(images: Tensor) -> Tensor:
    """Return row and column of each image's center of brightness."""
    total = images.sum(dim=(1, 2, 3)).clamp(min=1)
    places = torch.arange(images.shape[-1], dtype=torch.float32)
    return torch.stack(
        [(images.sum(dim=(1, dim)) * places).sum(dim=1) / total for dim in (3, 2)], dim=1
    )


def _poses(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the angle of the F in each image, in degrees, and whether it is mirrored."""
    poses, templates = _templates()
    best = (_features(images) @ templates.T).argmax(dim=1)
    return poses[best, 0], poses[best, 1] > 0


@cache
def _templates() -> tuple[Tensor, Tensor]:
    poses = [(angle, mirror) for angle in range(-180, 180, 5) for mirror in (0, 1)]
    both = torch.stack([_letter(), F.hflip(_letter())])
    views = torch.cat([F.rotate(both, angle) for angle in range(-180, 180, 5)])
    return torch.tensor(poses, dtype=torch.float32), _features(views.float())


def _features(images: Tensor) -> Tensor:
    """Center, blur and normalize images, so that a product of two is their similarity."""
    shifts = (13.5 - _centers(images)).round().int().tolist()
    centered = [torch.roll(image, s, (1, 2)) for image, s in zip(images, shifts, strict=True)]
    flat = avg_pool2d(torch.stack(centered), 2).flatten(1)
    return flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-6)


# 01.4: images that appear in training and test

CASE = "For 3 test images, of which number 1 is a copy of training image 3,"


@exercise("01.4")
def check_leaked(answer: Any) -> None:
    """Check a copy elsewhere, near duplicates, copies of copies, and no copy at all."""
    generator = torch.Generator().manual_seed(1)
    train = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8, generator=generator)
    other = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8, generator=generator)
    train[..., 0, 0] = other[..., 0, 0] = 255  # all are white in one corner
    _require_one(_leaks(answer, train, torch.stack([other[0], train[3], other[1]])))

    if _leaks(answer, train, torch.stack([train[2].flip(-1), other[0]])):
        raise Hint(
            "Your function counts a mirrored training image as a copy. It has the same pixel "
            "values, and so the same mean, in other places: compare pixel by pixel."
        )
    almost = train[0].clone()
    almost[0, 0, 0] ^= 1
    if _leaks(answer, train, almost[None]):
        raise Hint("An image that differs in one value counts as a copy: all pixels must agree.")
    twice = _leaks(answer, torch.cat([train, train]), torch.stack([other[0], train[1]]))
    if twice != [1]:
        raise Hint(
            f"Test image 1 has two copies: [1] is expected, not {twice}. List each index once."
        )
    found = _leaks(answer, train, train[[4, 0]])
    if sorted(found) != [0, 1]:
        raise Hint(f"For two test images, both copies, the result should be [0, 1], not {found}.")
    if found != [0, 1]:
        raise Hint(f"Both copies are found, but return them in ascending order, not as {found}.")


def _leaks(answer: Any, train: Tensor, test: Tensor) -> list[int]:
    show = f"{len(train)} training and {len(test)} test images"
    found = plain(call(answer, train.clone(), test.clone(), show=show))
    if type(found) is not list or not all(map(is_count, found)):
        raise Hint(f"The result for ({show}) is {found!r:.60}, but a list of indices is expected.")
    return found


def _require_one(found: list[int]) -> None:
    if found == []:
        raise Hint(
            f"{CASE} the result should be [1], not []. A copy need not have the same index in "
            "both: compare each test image with every training image."
        )
    if found == [3]:
        raise Hint(f"{CASE} the result should be [1], not [3], the training image's index.")
    if 1 not in found:
        raise Hint(f"{CASE} the result should be [1], not {found}.")
    if found != [1]:
        raise Hint(
            f"{CASE} the result should be [1], not {found}. Images may agree in a few pixels by "
            "chance."
        )


# 01.5: a shortcut in the photographs

MOST = 3


@exercise("01.5")
def check_shortcut(answer: Any) -> None:
    """Check one to three numbers per photograph: do they predict better than the baseline?"""
    images, targets = _photographs()
    values = np.array([_numbers(answer, image) for image in images])
    if not np.array_equal(values[0], _numbers(answer, images[0])):
        raise Hint("Two calls with the same photograph give different numbers.")
    if (values == values[0]).all():
        raise Hint(f"All photographs get the same numbers, {rounded(values[0])}.")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=3, random_state=0)
    correct = int((cross_val_predict(tree, values, targets, cv=folds) == targets).sum())
    low, high = accuracy_interval(correct, len(targets))
    baseline = np.bincount(targets).max() / len(targets)
    if low <= baseline:
        raise Hint(
            f"The accuracy is {correct / len(targets):.0%}; its 95 % interval, {low:.0%} to "
            f"{high:.0%}, is not above the baseline, {baseline:.0%}. Try another property."
        )


def _numbers(answer: Any, image: Image.Image) -> list[float]:
    numbers = plain(call(answer, image.copy(), show="a photograph"))
    numbers = list(numbers) if isinstance(numbers, list | tuple) else [numbers]
    if len(numbers) > MOST:
        raise Hint(f"Your function returns {len(numbers)} values; one to {MOST} are allowed.")
    if not numbers or not all(type(n) is bool or is_number(n) for n in numbers):
        raise Hint(f"One to {MOST} numbers are expected, not {short(numbers)}.")
    return [float(number) for number in numbers]


@cache
def _photographs() -> tuple[list[Image.Image], np.ndarray]:
    samples = [sample for part in load_splits("cutouts").values() for sample in part.samples]
    return [load_image(path) for path, _ in samples], np.array([label for _, label in samples])
