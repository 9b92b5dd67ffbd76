"""The whole way on a folder of images: train, judge, predict.

>>> train_classifier("photos", "build/model")  # a model file and a report
>>> evaluate_classifier("build/model/model.pt", "other photos", "build/other")
>>> predict_files(load_classifier("build/model/model.pt"), ["one.jpg", "two.jpg"])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torchvision.transforms import v2

from course_utils import evaluation
from course_utils.catalog import find_dataset
from course_utils.datasets import (
    ImageFiles,
    InMemoryDataset,
    has_splits,
    image_folder,
    load_splits,
    make_loader,
)
from course_utils.errors import DataError
from course_utils.image_io import load_image, printable
from course_utils.progress import Progress
from course_utils.training import (
    EarlyStopping,
    History,
    best_device,
    eval_mode,
    fit,
    seed_everything,
)
from course_utils.transfer import (
    TransferModel,
    build_backbone,
    extract_features,
    freeze,
    parameter_groups,
    unfreeze,
)
from course_utils.transforms import BatchRandomHorizontalFlip, resize_to_square
from image_classifier import report
from image_classifier.model import ImageClassifier, load_classifier, save_classifier

MODEL_FILE = "model.pt"


@dataclass(frozen=True)
class TrainOptions:
    """How to train; the defaults are good for some hundred photographs.

    Attributes:
        backbone: A key of `transfer.BACKBONES`; the weights of the first come with the course.
        image_size: The side of the images in pixels.
        epochs: At most so many for the head, which takes seconds.
        fine_tune: Epochs in which the whole network learns, which takes minutes; 0 for none.
        batch_size: Images in a batch.
        threshold: Below this probability the answer is "not sure".
        seed: Of everything that is drawn by lot.
    """

    backbone: str = "efficientnet_lite0"
    image_size: int = 224
    epochs: int = 40
    fine_tune: int = 0
    batch_size: int = 32
    threshold: float = 0.5
    seed: int = 0


def train_classifier(
    data: str | Path, output: str | Path, options: TrainOptions | None = None
) -> tuple[ImageClassifier, pd.Series]:
    """Train a classifier on a folder of images, and write a model file and a report.

    A pretrained network turns images into features, a new head learns from them, and what the
    validation set says decides when to stop. The test set is looked at once, for the report.

    Args:
        data: A folder with one subfolder a class, divided or not, or a name of the catalog.
        output: The folder for `model.pt` and the report.
        options: How to train.

    Returns:
        The classifier, on the CPU, and its metrics on the test set.

    Raises:
        DataError: The folder's form is not right, or an image cannot be read.
        TransferError: There is no such backbone, or its weights cannot be had.
        ModelFileError: The model file cannot be written.
    """
    options = options or TrainOptions()
    seed_everything(options.seed)
    device = best_device()
    backbone = build_backbone(options.backbone).to(device)
    parts = load_splits(data, mode="RGB", seed=options.seed)
    memory = {name: _decode(part, options.image_size) for name, part in parts.items()}
    net = TransferModel(backbone, len(memory["train"].classes)).to(device)
    classifier = ImageClassifier(
        net,
        {"name": options.backbone},
        memory["train"].classes,
        options.image_size,
        backbone.mean,
        backbone.std,
        threshold=options.threshold,
    ).to(device)
    for part in memory.values():
        part.batch_transform = classifier.normalize
    history = _train_head(net, memory, options)
    if options.fine_tune:
        history = _fine_tune(net, memory, classifier, options)
    classifier.to("cpu").eval()  # training leaves dropout switched on
    logits, targets = evaluation.predict_logits(net, make_loader(memory["val"], options.batch_size))
    classifier.temperature = evaluation.fit_temperature(logits, targets)
    judged = judge(classifier, parts["test"], options.batch_size)
    metrics = report.metrics_of(judged)
    counts = {name: len(part) for name, part in parts.items()}
    name = Path(data).name
    classifier.about = {
        "data": f"{name}: {counts['train']} images for training, {counts['val']} for validation",
        "test": f"accuracy {metrics['accuracy']:.3f} on {counts['test']} test images "
        f"(95 % interval {metrics['accuracy low']:.3f} to {metrics['accuracy high']:.3f})",
        "training": f"{options.backbone}, weights of ImageNet; head {options.epochs} epochs at "
        f"most, whole network {options.fine_tune}; seed {options.seed}",
    }
    save_classifier(classifier, Path(output) / MODEL_FILE)
    report.write_report(output, classifier, judged, metrics, f"Trained on {name}", history.frame)
    return classifier, metrics


def _decode(part: ImageFiles, image_size: int) -> InMemoryDataset:
    try:
        return InMemoryDataset.decode(part, resize_to_square(image_size))
    except DataError as error:
        raise DataError(
            f"{error} `python -m course_utils data tidy FOLDER` leaves such files out."
        ) from error


def _train_head(
    net: TransferModel, memory: dict[str, InMemoryDataset], options: TrainOptions
) -> History:
    """Train the head on features that are computed once."""
    features = {
        name: extract_features(net.backbone, make_loader(memory[name], options.batch_size))
        for name in ("train", "val")
    }
    optimizer = torch.optim.AdamW(net.head.parameters(), lr=0.003, weight_decay=0.01)
    return fit(
        net.head,
        make_loader(features["train"], options.batch_size, shuffle=True, seed=options.seed),
        make_loader(features["val"], options.batch_size),
        optimizer,
        options.epochs,
        callbacks=[EarlyStopping(patience=8)],
    )


def _fine_tune(
    net: TransferModel,
    memory: dict[str, InMemoryDataset],
    classifier: ImageClassifier,
    options: TrainOptions,
) -> History:
    """Let the whole network learn, gently, with mirrored images."""
    freeze(net.backbone)
    unfreeze(net.backbone)  # all but batch norm
    memory["train"].batch_transform = v2.Compose(
        [BatchRandomHorizontalFlip(), classifier.normalize]
    )
    loader = make_loader(memory["train"], options.batch_size, shuffle=True, seed=options.seed)
    rates = [1e-3, 3e-4]
    optimizer = torch.optim.AdamW(parameter_groups(net, *rates), weight_decay=0.01)
    steps = options.fine_tune * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, steps)
    return fit(
        net,
        loader,
        make_loader(memory["val"], options.batch_size),
        optimizer,
        options.fine_tune,
        scheduler=schedule,
        schedule_every="batch",
        callbacks=[EarlyStopping(patience=options.fine_tune)],
    )


def judge(classifier: ImageClassifier, files: ImageFiles, batch_size: int = 32) -> report.Judged:
    """Let a classifier answer for images whose classes are known.

    Args:
        classifier: Its classes must include those of the images.
        files: Images on disk.
        batch_size: How many at a time.

    Returns:
        Images, their classes in the order of the classifier, and its probabilities.

    Raises:
        DataError: A class is unknown to the classifier, or an image cannot be read.
    """
    if unknown := sorted(set(files.classes) - set(classifier.classes)):
        raise DataError(
            f"The classifier does not know the class {unknown[0]!r}; it knows "
            f"{', '.join(classifier.classes)}."
        )
    index = [classifier.classes.index(name) for name in files.classes]
    memory = InMemoryDataset.decode(
        files, resize_to_square(classifier.image_size, classifier.resize_mode)
    )
    probabilities, targets = evaluation.predict_logits(classifier, make_loader(memory, batch_size))
    return report.Judged(
        [path for path, _ in files.samples],
        memory.images,
        torch.tensor(index)[targets],
        probabilities,
    )


def evaluate_classifier(model: str | Path, data: str | Path, output: str | Path) -> pd.Series:
    """Judge a model file on a folder of images, and write a report.

    Args:
        model: A file that `train_classifier` wrote.
        data: A folder with one subfolder a class. If it is divided, its test images are taken.
        output: The folder for the report.

    Returns:
        The metrics.

    Raises:
        DataError: The folder's form is not right, or it has classes that the model does not know.
        ModelFileError: The model file cannot be used.
    """
    classifier = load_classifier(model)
    divided = has_splits(find_dataset(data))
    files = load_splits(data, mode="RGB")["test"] if divided else image_folder(data, mode="RGB")
    judged = judge(classifier, files)
    metrics = report.metrics_of(judged)
    report.write_report(output, classifier, judged, metrics, f"Judged on {Path(data).name}")
    return metrics


@torch.no_grad()
def predict_files(
    classifier: ImageClassifier, files: Sequence[str | Path], batch_size: int = 32
) -> pd.DataFrame:
    """Classify image files; one that cannot be read does not stop the others.

    Args:
        classifier: See `load_classifier`.
        files: Paths of images.
        batch_size: How many at a time.

    Returns:
        One row a file: file, class ("not sure" below the threshold, empty where the file cannot be
        read), likeliest (the class in any case), probability, and problem.
    """
    rows: list[tuple] = []
    batches = [files[start : start + batch_size] for start in range(0, len(files), batch_size)]
    with eval_mode(classifier):
        for batch in Progress(batches, "predicting"):
            rows += _answers(classifier, batch)
    columns = ["file", "class", "likeliest", "probability", "problem"]
    return pd.DataFrame(rows, columns=columns)


def _answers(classifier: ImageClassifier, files: Sequence[str | Path]) -> list[tuple]:
    """Give the rows of a batch of files."""
    images, problems = [], {}
    for path in files:
        try:
            images.append(classifier.prepare(load_image(path)))
        except DataError as error:
            problems[path] = str(error)
    best = iter(())
    if images:
        probabilities = classifier(torch.stack(images).to(classifier.mean.device)).cpu()
        best = iter(zip(*(part.tolist() for part in probabilities.max(dim=1)), strict=True))
    rows = []
    for path in files:
        if path in problems:
            rows.append((printable(path), "", "", float("nan"), problems[path]))
            continue
        probability, index = next(best)
        name = classifier.classes[index]
        answer = name if classifier.is_sure(probability) else "not sure"
        rows.append((printable(path), answer, name, probability, ""))
    return rows
