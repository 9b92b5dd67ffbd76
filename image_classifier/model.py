"""A trained network with all that belongs to it, in one file: pixels in, probabilities out.

>>> classifier = load_classifier("build/model/model.pt")
>>> classifier.top(load_image("photo.jpg"))
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from course_utils.checkpoints import load_into, read_file, save_atomically
from course_utils.errors import TrainingError
from course_utils.models import SmallCNN
from course_utils.training import eval_mode
from course_utils.transfer import BACKBONES, TransferModel, build_backbone
from course_utils.transforms import resize_to_square

KIND, VERSION = "course_utils classifier", 1
KEYS = {
    "architecture", "classes", "image_size", "resize_mode", "mean", "std", "temperature", "threshold",
    "about", "weights",
}  # fmt: skip


class ModelFileError(RuntimeError):
    """A model file cannot be written, read or used; the message says why."""


def _transfer(name: str) -> Callable[..., nn.Module]:
    return lambda num_classes: TransferModel(build_backbone(name, weights=None), num_classes)


def _small_cnn(num_classes: int, width: int = 32) -> nn.Module:
    if not 1 <= width <= 1024:
        raise ValueError(f"a width of {width}")
    return SmallCNN(3, num_classes, width)


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "SmallCNN": _small_cnn,
    **{name: _transfer(name) for name in BACKBONES},
}


class ImageClassifier(nn.Module):
    """A network, its preprocessing and the names of its classes.

    Who loads it need not know how large its images are or what was subtracted from them: this is
    where most mistakes happen between training and use.

    Attributes:
        net: Normalized images in, logits out.
        classes: The names in the order of the logits.
        image_size: The side of the images in pixels.
        temperature: What logits are divided by; see `evaluation.fit_temperature`.
        threshold: Below this probability the answer is "not sure".
        about: What a user should know, by name: where the data came from, what it reached.
    """

    def __init__(
        self,
        net: nn.Module,
        architecture: Mapping[str, Any],
        classes: Sequence[str],
        image_size: int,
        mean: Tensor,
        std: Tensor,
        resize_mode: str = "pad",
        temperature: float = 1.0,
        threshold: float = 0.5,
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Put together what belongs together.

        Args:
            net: A trained network for color images.
            architecture: How to build it again: "name" (a key of `ARCHITECTURES`), and options.
            classes: The names in the order of the logits.
            image_size: The side of the images in pixels.
            mean: What training subtracted from each channel, of images from 0 to 1.
            std: What training divided by.
            resize_mode: How images become squares; see `transforms.resize`.
            temperature: What logits are divided by.
            threshold: Below this probability the answer is "not sure".
            about: What a user should know, by name.
        """
        super().__init__()
        self.net = net
        self.architecture = dict(architecture)
        self.classes = list(classes)
        self.image_size = image_size
        self.resize_mode = resize_mode
        self.temperature = temperature
        self.threshold = threshold
        self.about = dict(about or {})
        self.register_buffer("mean", mean.detach().cpu().float().view(1, 3, 1, 1))
        self.register_buffer("std", std.detach().cpu().float().view(1, 3, 1, 1))
        self.eval()

    def normalize(self, images: Tensor) -> Tensor:
        """Turn uint8 images of shape (batch, 3, height, width) into what the network takes."""
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Compute probabilities.

        Args:
            images: uint8 of shape (batch, 3, image_size, image_size); see `prepare`.

        Returns:
            Probabilities of shape (batch, classes).
        """
        return (self.net(self.normalize(images)) / self.temperature).softmax(dim=1)

    def prepare(self, image: Image.Image) -> Tensor:
        """Bring a picture of any size into the form of the training images.

        Args:
            image: Any picture, such as `load_image` gives.

        Returns:
            uint8 of shape (3, image_size, image_size).
        """
        return F.pil_to_tensor(
            resize_to_square(self.image_size, self.resize_mode)(image.convert("RGB"))
        )

    @torch.no_grad()
    def top(self, image: Image.Image, most: int = 5) -> pd.DataFrame:
        """Name the most likely classes of one picture.

        Args:
            image: Any picture.
            most: How many classes to name at most.

        Returns:
            One row a class, the most likely first: class and probability (0 to 1).
        """
        with eval_mode(self):
            probabilities = self(self.prepare(image)[None].to(self.mean.device))[0].cpu()
        values, indices = probabilities.topk(min(most, len(self.classes)))
        names = [self.classes[index] for index in indices.tolist()]
        return pd.DataFrame({"class": names, "probability": values.tolist()})

    def is_sure(self, probability: float) -> bool:
        """Say whether a probability is high enough for an answer."""
        return probability >= self.threshold


def save_classifier(classifier: ImageClassifier, path: str | Path) -> None:
    """Write one file with all that is needed to use a classifier, in one step.

    Args:
        classifier: A trained one.
        path: The file to write.

    Raises:
        ModelFileError: It cannot be written.
    """
    content = {
        "kind": KIND,
        "version": VERSION,
        "architecture": classifier.architecture,
        "classes": classifier.classes,
        "image_size": classifier.image_size,
        "resize_mode": classifier.resize_mode,
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
        "temperature": classifier.temperature,
        "threshold": classifier.threshold,
        "about": classifier.about,
        "weights": classifier.net.state_dict(),
    }
    try:
        save_atomically(content, path)
    except TrainingError as error:
        raise ModelFileError(str(error)) from error


def load_classifier(path: str | Path) -> ImageClassifier:
    """Read a file of `save_classifier`; it may come from anyone, since no code in it is run.

    Args:
        path: The file.

    Returns:
        The classifier, on the CPU, in eval mode.

    Raises:
        ModelFileError: The file is missing or damaged, or what it holds does not fit together.
    """
    name = Path(path).name
    try:
        content = read_file(path)
        if content.get("kind") != KIND:
            raise ModelFileError(
                f"{name} is no model file of this course: `python -m course_utils train` makes one."
            )
        if content.get("version") != VERSION:
            raise ModelFileError(
                f"{name} was written by another version of course_utils "
                f"({content.get('version')} instead of {VERSION})."
            )
        if missing := KEYS - content.keys():
            raise ModelFileError(f"{name} is no whole model file: {min(missing)} is missing.")
        _require_sense(content, name)
        options = dict(content["architecture"])
        try:
            net = ARCHITECTURES[options.pop("name")](len(content["classes"]), **options)
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"{name} asks for a network that there is not: {error}.") from None
        load_into(net, content["weights"], name)
    except TrainingError as error:
        raise ModelFileError(str(error)) from error
    means = (torch.tensor(content[key], dtype=torch.float32) for key in ("mean", "std"))
    kept = {key: content[key] for key in ("resize_mode", "temperature", "threshold", "about")}
    return ImageClassifier(
        net, content["architecture"], content["classes"], content["image_size"], *means, **kept
    )


def _require_sense(content: dict[str, Any], name: str) -> None:
    """Refuse values that no training writes, before a network is built from them."""
    classes, architecture = content["classes"], content["architecture"]
    numbers = [*_numbers(content["mean"]), *_numbers(content["std"])]
    sensible = {
        "classes": isinstance(classes, list)
        and len(classes) >= 2
        and all(isinstance(entry, str) for entry in classes)
        and len(set(classes)) == len(classes),
        "architecture": isinstance(architecture, dict)
        and isinstance(architecture.get("name"), str)
        and architecture["name"] in ARCHITECTURES
        and all(isinstance(value, int) for key, value in architecture.items() if key != "name"),
        "image_size": type(content["image_size"]) is int and 8 <= content["image_size"] <= 4096,
        "resize_mode": content["resize_mode"] in ("pad", "crop", "squash"),
        "mean and std": len(numbers) == 6 and min(numbers[3:]) > 0,
        "temperature": _is_number(content["temperature"]) and content["temperature"] > 0,
        "threshold": _is_number(content["threshold"]) and 0 <= content["threshold"] <= 1,
        "about": isinstance(content["about"], dict)
        and all(isinstance(text, str) for pair in content["about"].items() for text in pair),
    }
    for key, makes_sense in sensible.items():
        if not makes_sense:
            raise ModelFileError(f"{name} cannot be used: its {key} makes no sense.")


def _numbers(values: Any) -> list[float]:
    """Give three numbers, or nothing."""
    fits = isinstance(values, list) and len(values) == 3 and all(map(_is_number, values))
    return values if fits else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
