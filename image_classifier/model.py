"""A trained network with its preprocessing and class names, in one file.

>>> classifier = load_classifier("build/model/model.pt")
>>> classifier.top(load_image("photo.jpg"))
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from course_utils.checkpoints import load_into, read_file, save_atomically
from course_utils.errors import CourseError
from course_utils.image_io import convert_image, load_image
from course_utils.training import eval_mode
from course_utils.transfer import Backbone, TransferModel, build_backbone

FORMAT = "image_classifier 2"
RESIZE_MODES = ("crop", "squash")
CROP_FRACTION = 0.875  # of the shorter side, as in timm's configuration of the backbones


def _is_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


SCHEMA: dict[str, Callable[[Any], bool]] = {
    "backbone": lambda value: isinstance(value, str),
    "classes": lambda value: _is_text(value) and len(value) >= 2,
    "image_size": lambda value: isinstance(value, int) and 0 < value <= 4096,
    "resize_mode": lambda value: value in RESIZE_MODES,
    "temperature": lambda value: isinstance(value, float) and 0 < value < math.inf,
    "threshold": lambda value: isinstance(value, float) and 0 <= value <= 1,
    "trained_on": _is_text,
    "about": lambda value: isinstance(value, dict) and _is_text([*value, *value.values()]),
    "weights": lambda value: isinstance(value, dict),
}


class ModelFileError(CourseError):
    """A model file that cannot be read, or a model that cannot be exported or served."""


class StageFeatures(nn.Module):
    """The features of a backbone and the mean feature maps of the three preceding stages.

    On images of scenes, a linear head is 1 to 3 percentage points more accurate with them than with
    the last features alone, which are specific to the classes of ImageNet.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.name, self.net = backbone.name, backbone.net
        self.register_buffer("mean", backbone.mean, persistent=False)
        self.register_buffer("std", backbone.std, persistent=False)
        self.eval()
        self.num_features = self(torch.zeros(1, 3, 64, 64)).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (batch, num_features) of normalized images (batch, 3, height, width)."""
        net, maps = self.net, [images.contiguous(memory_format=torch.channels_last)]
        if hasattr(net, "blocks"):  # EfficientNet of timm
            maps[0] = net.bn1(net.conv_stem(maps[0]))
            maps += run_all(net.blocks, maps[0])
            last = net.global_pool(net.bn2(net.conv_head(maps[-1])))
        elif hasattr(net, "features"):  # EfficientNet and MobileNet of torchvision
            maps = run_all(net.features, maps[0])
            last = net.avgpool(maps.pop()).flatten(1)
        else:
            maps[0] = net.maxpool(net.relu(net.bn1(net.conv1(maps[0]))))
            maps = run_all([net.layer1, net.layer2, net.layer3, net.layer4], maps[0])
            last = net.avgpool(maps.pop()).flatten(1)
        return torch.cat([last, *(x.mean(dim=(2, 3)) for x in maps[-3:])], dim=1)


def run_all(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """Run layers in sequence and return the output of each."""
    return list(accumulate(layers, lambda x, layer: layer(x), initial=x))[1:]


class ImageClassifier(nn.Module):
    """A network with its preprocessing, which computes probabilities from pixels.

    Attributes:
        net: Computes logits of normalized images.
        classes: Class names in the order of the logits.
        resize_mode: "squash" (the whole image) or "crop" (its center, as in timm).
        temperature: Divides the logits; see `evaluation.fit_temperature`.
        threshold: Predictions with a smaller probability count as "not sure".
        trained_on: Digests of the files that training used; see `features.file_digests`.
    """

    def __init__(
        self,
        net: TransferModel,
        classes: Sequence[str],
        image_size: int,
        resize_mode: str = "squash",
        temperature: float = 1.0,
        threshold: float = 0.5,
        trained_on: Sequence[str] = (),
        about: Mapping[str, str] | None = None,
    ) -> None:
        """Take the normalization from the backbone of `net`."""
        super().__init__()
        self.net = net
        self.classes = list(classes)
        self.image_size = image_size
        self.resize_mode = resize_mode
        self.temperature = float(temperature)
        self.threshold = float(threshold)
        self.trained_on = list(trained_on)
        self.about = dict(about or {})
        self.register_buffer("mean", net.backbone.mean.detach().clone().view(1, 3, 1, 1))
        self.register_buffer("std", net.backbone.std.detach().clone().view(1, 3, 1, 1))
        self.eval()

    @property
    def backbone(self) -> str:
        """The name of the backbone, one of `transfer.BACKBONES`."""
        return self.net.backbone.name

    def load(self, path: str | Path) -> Tensor:
        """Read an image file for `forward`; large JPEG files are decoded at a reduced size."""
        return self.preprocess(load_image(path, draft=3 * self.image_size))

    def preprocess(self, image: Image.Image) -> Tensor:
        """Convert a PIL image to the uint8 tensor (3, image_size, image_size) for `forward`.

        "crop" is equivalent to resizing the shorter side and cropping the center, but computes only
        the pixels that remain: a resized panorama may not fit into memory.
        """
        box, (width, height) = None, image.size
        if self.resize_mode == "crop":
            side = CROP_FRACTION * min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        size = (self.image_size, self.image_size)
        resized = convert_image(image).resize(size, Image.Resampling.BICUBIC, box, reducing_gap=3.0)
        return F.pil_to_tensor(resized)

    def normalize(self, images: Tensor) -> Tensor:
        """Scale and normalize uint8 images (batch, 3, height, width) for `net`."""
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Compute probabilities (batch, classes) of uint8 images (batch, 3, height, width)."""
        return (self.net(self.normalize(images)) / self.temperature).softmax(dim=1)

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Compute the logits of features on the CPU, without the temperature."""
        with eval_mode(self):
            return self.net.head(features.to(self.mean.device)).cpu()

    @torch.no_grad()
    def top(self, image: Image.Image) -> dict[str, float]:
        """Compute the probabilities of the five most likely classes of an image, highest first."""
        with eval_mode(self):
            probabilities = self(self.preprocess(image)[None].to(self.mean.device))[0].cpu()
        values, indices = probabilities.topk(min(5, len(self.classes)))
        names = [self.classes[index] for index in indices.tolist()]
        return dict(zip(names, values.tolist(), strict=True))

    def is_confident(self, probability: float) -> bool:
        """Return whether a probability reaches the threshold."""
        return probability >= self.threshold


def build_net(backbone: str, num_classes: int, weights: str | None = "imagenet") -> TransferModel:
    """Build a pretrained backbone with a head on the features of several stages."""
    return TransferModel(StageFeatures(build_backbone(backbone, weights)), num_classes)


def save_classifier(classifier: ImageClassifier, path: str | Path) -> None:
    """Write a classifier to one file, atomically."""
    fields = {name: getattr(classifier, name) for name in SCHEMA if name != "weights"}
    weights = classifier.state_dict()  # including mean and std
    save_atomically({"format": FORMAT, **fields, "weights": weights}, path)


def load_classifier(path: str | Path) -> ImageClassifier:
    """Load a classifier on the CPU; no code in the file is run.

    Raises:
        ModelFileError: The file is missing, damaged, or not a model file.
    """
    try:
        content = read_file(path)
        _check_schema(content, Path(path).name)
        fields = {name: content[name] for name in SCHEMA}
        weights, backbone = fields.pop("weights"), fields.pop("backbone")
        net = build_net(backbone, len(fields["classes"]), weights=None)
        classifier = ImageClassifier(net, **fields)
        load_into(classifier, weights, Path(path).name)
    except CourseError as error:
        raise ModelFileError(str(error)) from error
    return classifier


def _check_schema(content: dict, name: str) -> None:
    if content.get("format") != FORMAT:
        raise ModelFileError(
            f"{name} is not a model file of this version. Create one with "
            "`python -m image_classifier train FOLDER`."
        )
    for field, is_valid in SCHEMA.items():
        if not is_valid(content.get(field)):
            raise ModelFileError(f"{name} is damaged: its {field} is missing or not valid.")
