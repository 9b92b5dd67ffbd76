"""The checks of notebook 01: images as arrays, augmentation, class shares, leaks, photographs."""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d
from torchvision.transforms.v2 import functional as F

from course_exercises.checks import Hint, NotTried, call, close, exercise, kind, plain, rounded
from course_exercises.reports import is_count, report_of, require_fraction, require_word

# 01.1: from a tensor to a picture


@exercise("01.1")
def check_to_picture(answer: Any) -> None:
    """Color and gray, the ends of the range, and an argument that must stay unchanged."""
    color = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(1))
    color[:, 0, 0], color[:, -1, -1] = 0.0, 1.0
    for name, tensor in {"color": color, "gray": color[:1, :, :2].contiguous()}.items():
        given = tensor.clone()
        picture = call(answer, given, show=f"a {name} image of shape {tuple(tensor.shape)}")
        _require_picture(picture, tensor)
        if not torch.equal(given, tensor):
            raise Hint("The tensor has changed: operations that end in _ work in place.")


def _require_picture(picture: Any, tensor: Tensor) -> None:
    given, wanted = tuple(tensor.shape), tuple(tensor.permute(1, 2, 0).shape)
    if not isinstance(picture, np.ndarray):
        raise Hint(f"The result is a {kind(picture)}; Pillow takes NumPy arrays: tensor.numpy().")
    if picture.shape != wanted:
        raise Hint(f"{given} should become {wanted}, not {picture.shape}: which axis goes where?")
    if picture.dtype != np.uint8:
        raise Hint(f"The shape is right, the type is {picture.dtype} instead of uint8.")
    right = (tensor.permute(1, 2, 0) * 255).numpy()
    if np.abs(picture - right).max() <= 1:
        return
    if (values := set(picture.ravel().tolist())) <= {0, 1, 255}:
        raise Hint(
            f"The only values are {sorted(values)}: there is no integer between 0 and 1, so which "
            "step comes first?"
        )
    if np.abs(np.sort(picture, axis=None) - np.sort(right, axis=None)).max() <= 1:
        raise Hint(
            "Every value is there, but in the wrong places: reshape reads the values in order and "
            "only cuts them into other rows, as in the scrambled figure above."
        )
    if picture[-1, -1, 0] == 0:
        raise Hint("White, 1.0, became 0 instead of 255: beyond 255, uint8 starts again at 0.")
    raise Hint("Shape and type are right, the values are not: 0 … 1 should become 0 … 255.")


# 01.2: an augmentation for digits, tried on the letter F, which no rotation maps to itself

DRAWS = 60


@exercise("01.2")
def check_digit_augmentation(answer: Any) -> None:
    """It shifts and rotates a little, and mirrors nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        outputs = [call(answer, _letter(), show="an image of a letter") for _ in range(DRAWS)]
    for output in outputs:
        if not isinstance(output, Tensor) or output.shape != (1, 28, 28):
            what = tuple(output.shape) if isinstance(output, Tensor) else kind(output)
            raise Hint(f"An image of shape (1, 28, 28) became {what}; the shape must stay.")
        if output.dtype != torch.uint8:
            raise Hint(f"The type became {output.dtype}; it must stay torch.uint8.")
    _require_small_changes(torch.stack(outputs))


def _require_small_changes(outputs: Tensor) -> None:
    images = outputs.float()
    if (outputs == outputs[0]).all():
        raise Hint(f"All {DRAWS} results are the same: nothing is random here.")
    kept = images.sum(dim=(1, 2, 3)) / _letter().sum()
    corners = images[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    angles, mirrored = _poses(images)
    for is_wrong, problem in [
        (kept < 0.4, "much of the figure has left the picture"),
        (corners.amax(dim=1) > 128, "there are white corners; these digits lie on black"),
        (mirrored, "the figure is mirrored: what would that do to a 2?"),
        (angles.abs() > 45, "the figure is turned by more than 45 degrees: a 6 becomes a 9"),
    ]:
        if (share := is_wrong.float().mean()) > 0.03:
            raise Hint(f"In {share:.0%} of the results {problem}.")
    start = _centers(_letter()[None].float())
    if ((_centers(images) - start).norm(dim=1) > 0.7).float().mean() < 0.2:
        raise Hint("The figure turns, but it hardly ever moves by a pixel.")
    if (angles.abs() >= 3).float().mean() < 0.2:
        raise Hint("The figure moves, but it hardly ever turns by 3 degrees or more.")


def _letter() -> Tensor:
    """Draw an F around the center of an image."""
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


# 01.3: shares of classes, some of which are missing


@exercise("01.3")
def check_class_shares(answer: Any) -> None:
    """Batches with every class, without the last one, with one class only."""
    cases = [([0, 1, 2, 1], 3), ([0, 0, 2, 2], 4), ([1, 1, 1], 2), ([2], 8)]
    results = [
        call(answer, torch.tensor(labels), count, show=f"the labels {labels} and {count} classes")
        for labels, count in cases
    ]
    unsolved = [torch.bincount(torch.tensor(labels)) / len(labels) for labels, _ in cases]
    if all(map(close, results, unsolved)):
        raise NotTried("it is right for some batches and wrong for others")
    for got, (labels, count) in zip(results, cases, strict=True):
        _require_shares(got, labels, count)


def _require_shares(got: Any, labels: list[int], count: int) -> None:
    counts = torch.bincount(torch.tensor(labels), minlength=count)
    wanted = counts / len(labels)
    case = f"For the labels {labels} and {count} classes"
    if not isinstance(got, Tensor):
        raise Hint(f"{case} the result is a {kind(got)}, not a tensor.")
    if close(got, wanted):
        return
    if got.shape != (count,):
        raise Hint(f"{case} there are {got.numel()} shares; there should be one for each class.")
    if close(got, counts):
        raise Hint(f"{case} you return {got.tolist()}: these are counts; shares add up to 1.")
    if not close(got.sum(), 1):
        raise Hint(f"{case} the shares add up to {got.sum().item():.2f}, not 1: divided by what?")
    raise Hint(f"{case} the shares should be {rounded(wanted)}; yours are {rounded(got)}.")


# 01.4: images that appear in training and test

CASE = "For 3 test images, of which number 1 is a copy of training image 3,"


@exercise("01.4")
def check_leaked(answer: Any) -> None:
    """A copy elsewhere, near-duplicates, copies of copies, and no copy at all."""
    generator = torch.Generator().manual_seed(1)
    train = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8, generator=generator)
    other = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8, generator=generator)
    train[..., 0, 0] = other[..., 0, 0] = 255  # all are white in one corner
    _require_one(_leaks(answer, train, torch.stack([other[0], train[3], other[1]])))

    if _leaks(answer, train, torch.stack([train[2].flip(-1), other[0]])):
        raise Hint(
            "A mirrored training image counts as a copy in yours. It has the same pixels, so the "
            "same mean, in other places: compare pixel by pixel."
        )
    almost = train[0].clone()
    almost[0, 0, 0] ^= 1
    if _leaks(answer, train, almost[None]):
        raise Hint("An image that differs in one pixel counts as a copy: all pixels must agree.")
    twice = _leaks(answer, torch.cat([train, train]), torch.stack([other[0], train[1]]))
    if twice != [1]:
        raise Hint(f"With two copies of test image 1 you return {twice}: each leaked image once.")
    found = _leaks(answer, train, train[[4, 0]])
    if sorted(found) != [0, 1]:
        raise Hint(f"Two test images, both copies: the result should be [0, 1], not {found}.")
    if found != [0, 1]:
        raise Hint(f"Both copies are found, but as {found}: return them in ascending order.")


def _leaks(answer: Any, train: Tensor, test: Tensor) -> list[int]:
    show = f"{len(train)} training and {len(test)} test images"
    found = plain(call(answer, train.clone(), test.clone(), show=show))
    if type(found) is not list or not all(map(is_count, found)):
        raise Hint(f"The result for ({show}) is {found!r:.60}, but a list of indices is expected.")
    return found


def _require_one(found: list[int]) -> None:
    if found == []:
        raise Hint(
            f"{CASE} yours finds none. A copy need not have the same index in both: compare each "
            "test image with every training image."
        )
    if found == [3]:
        raise Hint(f"{CASE} the result is [3]: this is the training image's index.")
    if 1 not in found:
        raise Hint(f"{CASE} the result should be [1], not {found}.")
    if found != [1]:
        raise Hint(f"{CASE} yours finds {found}. Images may agree in a few pixels by chance.")


# 01.5: your own photographs

LEVELS = ("error", "warning", "note")
EXAMPLE = {"cats": {"sofa": 8, "grass": 2}, "dogs": {"sofa": 1, "grass": 9}}
FEWEST = 5


@exercise("01.5")
def check_my_photos(answer: Any) -> None:
    """The form, the two shares computed from the table, and a conclusion that fits them."""
    keys = ("backgrounds", "most frequent", "background only", "findings", "next")
    report = report_of(answer, *keys)
    table = report["backgrounds"]
    _require_table(table)
    totals = [sum(row.values()) for row in table.values()]
    largest, total = max(totals), sum(totals)
    best: dict[str, int] = {}
    for row in table.values():
        for background, count in row.items():
            best[background] = max(best.get(background, 0), count)
    first = next(iter(best))
    for key, count, reason in [
        ("most frequent", largest, f"your largest class has {largest} of {total} photographs"),
        (
            "background only",
            sum(best.values()),
            f"of the photographs with {first}, the best single prediction gets {best[first]} "
            "right. Add up such numbers over all backgrounds",
        ),
    ]:
        require_fraction(report[key], f'"{key}"')
        if abs(report[key] - count / total) > 0.011:
            raise Hint(f'"{key}": {reason}; {report[key]} does not fit that.')
    findings = report_of(report["findings"], *LEVELS, name="findings")
    if not all(is_count(findings[level]) for level in LEVELS):
        raise Hint('"findings": each should be an integer, 0 where there is none.')
    _require_next(report, (sum(best.values()) - largest) / total)


def _require_table(table: Any) -> None:
    if type(table) is not dict or len(table) < 2:
        raise Hint('"backgrounds" should be a dict with two classes or more.')
    for name, row in table.items():
        if type(row) is not dict or not row or not all(map(is_count, row.values())):
            raise Hint(f'"backgrounds" of {name!r} should be like {{"grass": 3}}, not {row!r:.60}.')
        if sum(row.values()) < FEWEST:
            raise Hint(f"{name!r} has only {sum(row.values())} photographs; take {FEWEST} or more.")
    if table == EXAMPLE:
        raise Hint("These are the cats and dogs of the example: count photographs of your own.")


def _require_next(report: dict[str, Any], gain: float) -> None:
    if report["findings"]["error"] > 0:
        expected, because = "fix", "an error breaks or falsifies a training run"
    elif gain > 0.1 + 1e-9:
        expected = "collect"
        because = f"the background alone beats the most frequent class by {gain:.2f}"
    else:
        expected, because = "train", "there is no error, and the background gives little away"
    require_word(report, "next", ("fix", "collect", "train"), expected, because)
