"""Train a classifier on a folder of images.

>>> classifier, metrics = train_classifier("photos", "build/model")
"""

from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torchvision.transforms import v2

from course_utils import transfer
from course_utils.datasets import InMemoryDataset, load_splits, make_loader
from course_utils.evaluation import fit_temperature, predict_logits
from course_utils.image_io import printable
from course_utils.training import EarlyStopping, History, best_device, fit, seed_everything
from course_utils.transforms import BatchRandomHorizontalFlip, scale_and_normalize
from image_classifier.evaluate import BATCH_SIZE, decode_images, evaluate_images
from image_classifier.model import ImageClassifier, save_classifier
from image_classifier.report import describe, writable_folder, write_report

MODEL_FILE = "model.pt"
Memory = dict[str, InMemoryDataset]


def train_classifier(
    data: str | Path,
    output: str | Path,
    backbone: str = "efficientnet_lite0",
    image_size: int = 224,
    epochs: int = 40,
    fine_tune: int = 0,
    threshold: float = 0.5,
    seed: int = 0,
) -> tuple[ImageClassifier, pd.Series]:
    """Train a classifier and write a model file and a report.

    A head is trained on the features of a pretrained backbone, with early stopping on the
    validation set. The test set is used once, for the report.

    Args:
        data: A folder with one subfolder per class, split or not, or a name of the catalog.
        output: The folder for `model.pt` and the report.
        backbone: A key of `transfer.BACKBONES`.
        image_size: Height and width of the input in pixels.
        epochs: Maximum number of epochs of the head.
        fine_tune: Number of epochs in which the whole network is trained; 0 for none.
        threshold: Predictions with a smaller probability count as "not sure".
        seed: Of the splits, the initialization and the shuffling.

    Returns:
        The classifier, on the CPU, and its metrics on the test set.
    """
    seed_everything(seed)
    splits = load_splits(data, mode="RGB", seed=seed)
    output = writable_folder(output)
    net = transfer.TransferModel(transfer.build_backbone(backbone), len(splits["train"].classes))
    classes = [printable(name) for name in splits["train"].classes]
    classifier = ImageClassifier(net, classes, image_size, threshold=threshold).to(best_device())
    normalize = scale_and_normalize(net.backbone.mean, net.backbone.std)  # on the CPU
    memory = {name: decode_images(splits[name], classifier, normalize) for name in ("train", "val")}
    history = _train_head(net, memory, epochs, seed)
    if fine_tune:
        history = _fine_tune(net, memory, fine_tune, seed)
    classifier.to("cpu").eval()
    classifier.temperature = calibrate(*predict_logits(net, make_loader(memory["val"], BATCH_SIZE)))
    evaluation = evaluate_images(classifier, splits["test"])
    name, train, val = printable(Path(data).name), len(splits["train"]), len(splits["val"])
    classifier.about = {
        "data": f"{name}, {train} training and {val} validation images",
        "test": describe(evaluation.metrics),
        "training": f"{backbone} pretrained on ImageNet; head trained for at most {epochs} epochs, "
        f"whole network for {fine_tune}; seed {seed}",
    }
    save_classifier(classifier, output / MODEL_FILE)
    write_report(output, classifier, evaluation, f"Trained on {name}", history.frame)
    return classifier, evaluation.metrics


def _train_head(net: transfer.TransferModel, memory: Memory, epochs: int, seed: int) -> History:
    """Train the head on features that are computed once."""
    train, val = (
        transfer.extract_features(net.backbone, make_loader(memory[name], BATCH_SIZE))
        for name in ("train", "val")
    )
    return fit(
        net.head,
        make_loader(train, BATCH_SIZE, shuffle=True, seed=seed),
        make_loader(val, BATCH_SIZE),
        torch.optim.AdamW(net.head.parameters(), lr=0.003, weight_decay=0.01),
        epochs,
        callbacks=[EarlyStopping(patience=8)],
    )


def _fine_tune(net: transfer.TransferModel, memory: Memory, epochs: int, seed: int) -> History:
    """Train the whole network, except batch norm, at a low learning rate."""
    transfer.freeze(net.backbone)
    transfer.unfreeze(net.backbone)
    train = memory["train"]
    train.batch_transform = v2.Compose([BatchRandomHorizontalFlip(), train.batch_transform])
    loader = make_loader(train, BATCH_SIZE, shuffle=True, seed=seed)
    rates = [1e-3, 3e-4]
    optimizer = torch.optim.AdamW(transfer.parameter_groups(net, *rates), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, epochs * len(loader))
    return fit(
        net,
        loader,
        make_loader(memory["val"], BATCH_SIZE),
        optimizer,
        epochs,
        scheduler=schedule,
        schedule_every="batch",
        callbacks=[EarlyStopping(patience=epochs)],
    )


def calibrate(logits: Tensor, targets: Tensor) -> float:
    """Fit the temperature on validation logits.

    If all predictions are correct, a smaller temperature always lowers the loss; it is then
    limited to 1, so that the classifier never becomes more confident than it was trained to be.
    """
    all_correct = bool((logits.argmax(dim=1) == targets).all())
    return max(fit_temperature(logits, targets), 1.0 if all_correct else 0.0)
