"""Train a classifier on a folder of images.

>>> classifier, metrics = train_classifier("photos", "build/model")
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor

from course_utils.catalog import find_dataset
from course_utils.datasets import SPLITS, ImageFiles, load_splits, split_folders
from course_utils.errors import DataError
from course_utils.image_io import printable
from course_utils.training import best_device, seed_everything
from image_classifier.evaluate import evaluate_files, readable_features, refuse_inside
from image_classifier.features import distinct_indices, file_digests, rank_and_world_size
from image_classifier.fine_tune import fine_tune
from image_classifier.head import (
    LinearHead,
    calibrate,
    choose_threshold,
    fit_head,
    is_clearly_lower,
    log_losses,
    sample_indices,
)
from image_classifier.model import RESIZE_MODES, ImageClassifier, build_net, save_classifier
from image_classifier.report import describe, writable_folder, write_report

MODEL_FILE = "model.pt"
PROBE = 1000  # images used to choose the preprocessing
MIN_VAL = 100  # with fewer validation images, cross-validation is more reliable


def train_classifier(
    data: str | Path,
    output: str | Path,
    backbone: str = "efficientnet_lite0",
    image_size: int = 224,
    fine_tune_epochs: int = 0,
    target_accuracy: float = 0.95,
    resume: bool = False,
    seed: int = 0,
) -> tuple[ImageClassifier, pd.Series]:
    """Train a classifier and write a model file and a report.

    A logistic regression is fitted to the features of a pretrained backbone. Its regularization,
    the temperature and the threshold are selected on the folder's validation set if it has at least
    100 images, else by cross-validation. Successful fine-tuning selects temperature and threshold
    on the validation set. Of identical files, only the first is used; the test set is used once.

    Args:
        data: A folder with one subfolder per class, split or not, or a name from the catalog.
        output: The folder for `model.pt`, `split.csv` and the report.
        backbone: One of `transfer.BACKBONES`.
        image_size: Height and width of the input in pixels.
        fine_tune_epochs: Number of epochs in which all layers are trained; 0 for none.
        target_accuracy: Target accuracy of predictions that do not count as "not sure".
        resume: Continue interrupted fine-tuning.
        seed: The random seed of the splits, the folds and fine-tuning.

    Returns:
        The classifier, on the CPU, and its metrics on the test set.
    """
    if resume and not fine_tune_epochs:
        raise DataError("--resume continues fine-tuning: add --fine-tune and the number of epochs.")
    seed_everything(seed)
    refuse_inside(output, find_dataset(data))
    splits = load_splits(data, mode="RGB", seed=seed)
    classes = [printable(name) for name in splits["train"].classes]
    classifier = ImageClassifier(build_net(backbone, len(classes)), classes, image_size)
    output = writable_folder(output)
    train, val, test = (Part(splits[name]) for name in SPLITS)
    classifier.to(best_device())
    classifier.trained_on = sorted({*train.digests, *val.digests})
    distinct, held_out = _without_copies(train, val, test, needs_val=fine_tune_epochs > 0)
    _choose_resize_mode(classifier, distinct, seed)
    if fine_tune_epochs:
        fitted = _fit_and_fine_tune(
            classifier, distinct, held_out, fine_tune_epochs, output, resume, seed
        )
    else:
        has_val = {"val", "test"} <= split_folders(find_dataset(data)).keys()
        by_val = has_val and len(held_out.paths) >= MIN_VAL
        head = _fit(classifier, distinct, held_out, seed, by_val)
        fitted = Fitted(f"frozen backbone, {head.about}", head.logits, head.targets)
    _set_confidence(classifier, fitted.logits, fitted.targets, target_accuracy)
    evaluation = evaluate_files(classifier, test.files, test.digests, classifier.trained_on)
    name = printable(find_dataset(data).resolve().name)
    classifier.to("cpu").eval().about = {
        "data": f"{name}, {len(distinct.files)} training and {len(held_out.files)} validation "
        "images, without copies",
        "test": describe(evaluation.metrics),
        "training": f"{backbone} pretrained on ImageNet; {fitted.method}; seed {seed}",
    }
    if is_main_process():
        save_classifier(classifier, output / MODEL_FILE)
        _write_split(output / "split.csv", data, {"train": train, "val": val, "test": test})
        write_report(output, classifier, evaluation, f"Trained on {name}", fitted.history)
        for path in _checkpoints(output):
            path.unlink()
    return classifier, evaluation.metrics


class Part:
    """The image files of a split with their digests."""

    def __init__(self, files: ImageFiles, digests: list[str] | None = None) -> None:
        self.files, self.paths = files, [path for path, _ in files.samples]
        self.digests = file_digests(self.paths) if digests is None else digests

    def subset(self, indices: list[int]) -> "Part":
        """Select images."""
        return Part(self.files.subset(indices), [self.digests[index] for index in indices])

    def distinct(self, others: Collection[str] = ()) -> "Part":
        """Select the first of identical files, except those with a digest in `others`."""
        return self.subset(distinct_indices(self.digests, others))


class Fitted(NamedTuple):
    """How a classifier was fitted, and its predictions of held-out images."""

    method: str
    logits: Tensor  # (count, classes)
    targets: Tensor  # (count,)
    history: pd.DataFrame | None = None


def _without_copies(train: Part, val: Part, test: Part, needs_val: bool) -> tuple[Part, Part]:
    """Return the distinct images of train, and those of val that are not in train.

    Copies in several folds would make cross-validation too optimistic.
    """
    distinct, held_out = train.distinct(), val.distinct(train.digests)
    only_copies = "test" if set(test.digests) <= {*train.digests, *val.digests} else ""
    if needs_val and not held_out.paths:
        only_copies = "validation"
    if only_copies:
        raise DataError(
            f"All {only_copies} images are copies of training images. Remove copies, for example "
            "with `python -m image_classifier prepare FOLDER`."
        )
    return distinct, held_out


def _fit_and_fine_tune(
    classifier: ImageClassifier,
    train: Part,
    val: Part,
    epochs: int,
    output: Path,
    resume: bool,
    seed: int,
) -> Fitted:
    """Fit the head, fine-tune all layers, and keep the result if the accuracy improves."""
    head = _fit(classifier, train, None, seed)
    parts = [(part.digests, part.files.targets) for part in (train, val)]
    size, mode = classifier.image_size, classifier.resize_mode
    settings = classifier.backbone, size, mode, epochs, seed, parts, rank_and_world_size()[1]
    checkpoint = _checkpoint(output, resume, settings)
    history, is_improved = fine_tune(
        classifier, train.files.samples, val.files.samples, epochs, checkpoint, resume, seed
    )
    method = f"{head.about}; fine-tuning of all layers for {epochs} epochs"
    if not is_improved:
        method += ", discarded since it did not improve the accuracy"
        return Fitted(method, head.logits, head.targets, history)
    logits = classifier.logits(readable_features(classifier, val.paths, val.digests))
    return Fitted(method, logits, torch.tensor(val.files.targets), history)


def _fit(
    classifier: ImageClassifier, train: Part, val: Part | None, seed: int, by_val: bool = False
) -> LinearHead:
    """Fit the head to features; `by_val` selects the regularization on `val`, not with folds."""
    parts = [train] if val is None else [train, val]
    features = torch.cat([readable_features(classifier, p.paths, p.digests) for p in parts])
    targets = torch.tensor([target for part in parts for target in part.files.targets])
    num_val = len(val.paths) if by_val else None
    counts = targets[: len(targets) - (num_val or 0)].bincount(minlength=len(classifier.classes))
    if counts.min() < 2:  # for cross-validation
        name = classifier.classes[counts.argmin()]
        raise DataError(
            f"Class {name!r} needs two training images that differ, but has {counts.min()}."
        )
    heads = [fit_head(features, targets, seed, num_val) if is_main_process() else None]
    if dist.is_initialized():
        dist.broadcast_object_list(heads)
    heads[0].copy_to(classifier.net.head[-1])
    return heads[0]


def _set_confidence(
    classifier: ImageClassifier, logits: Tensor, targets: Tensor, target_accuracy: float
) -> None:
    """Set temperature and threshold from the logits of held-out images."""
    classifier.temperature = calibrate(logits, targets)
    probabilities = (logits / classifier.temperature).softmax(dim=1)
    classifier.threshold = choose_threshold(probabilities, targets, target_accuracy)


def _choose_resize_mode(classifier: ImageClassifier, train: Part, seed: int) -> None:
    """Use the whole image, unless the backbone's default center crop is clearly better.

    The criterion is the log loss of cross-validation on a sample of training images. Networks
    trained with random crops predict whole images as well as their centers, or better.
    """
    part = train.subset(sample_indices(train.files.targets, PROBE, seed).tolist())
    if min(np.bincount(part.files.targets, minlength=len(classifier.classes))) < 2:
        return
    losses = {}
    for mode in RESIZE_MODES:
        classifier.resize_mode = mode
        head = _fit(classifier, part, None, seed)
        losses[mode] = log_losses(head.logits, head.targets)
    is_better = is_clearly_lower(losses["crop"], losses["squash"], num_standard_errors=1)
    classifier.resize_mode = "crop" if is_better else "squash"


def _checkpoints(output: Path) -> list[Path]:
    """List the checkpoints of interrupted runs."""
    return list(output.glob(f"checkpoint-{'[0-9a-f]' * 8}-*.pt"))


def _checkpoint(output: Path, resume: bool, settings: object) -> Path:
    """Return the checkpoint of a run with these settings; refuse to resume another run."""
    key = hashlib.sha256(repr(settings).encode()).hexdigest()[:8]
    found = _checkpoints(output)
    if resume and found and not any(key in path.name for path in found):
        raise DataError(
            "The interrupted run had other images or options. Start again without --resume."
        )
    return output / f"checkpoint-{key}.pt"


def _write_split(path: Path, data: str | Path, parts: dict[str, Part]) -> None:
    """Write the set of each file."""
    root = find_dataset(data)
    rows = [
        (Path(file).relative_to(root).as_posix(), part.files.classes[target], name, digest)
        for name, part in parts.items()
        for (file, target), digest in zip(part.files.samples, part.digests, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["file", "class", "set", "digest"])
    table[["file", "class"]] = table[["file", "class"]].map(printable)
    table.to_csv(path, index=False)


def is_main_process() -> bool:
    """Return whether this process writes the results."""
    return rank_and_world_size()[0] == 0


@contextmanager
def process_group() -> Iterator[None]:
    """Initialize `torch.distributed` if torchrun started this process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
