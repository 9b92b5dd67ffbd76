"""A trained network with its preprocessing and class names, in one file.

>>> classifier = load_classifier("build/model/model.pt")
>>> classifier.top(load_image("photo.jpg"))
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F

from course_utils.checkpoints import load_into, read_file, save_atomically
from course_utils.errors import CourseError
from course_utils.training import eval_mode
from course_utils.transfer import TransferModel, build_backbone
from course_utils.transforms import resize_to_square

FORMAT = "image_classifier 1"
SCHEMA = {
    "backbone": str,
    "classes": list,
    "image_size": int,
    "resize_mode": str,
    "temperature": float,
    "threshold": float,
    "about": dict,
    "weights": dict,
}


class ModelFileError(CourseError):
    """A model file that cannot be read, or a model that cannot be exported or served."""


class ImageClassifier(nn.Module):
    """A network together with its preprocessing: pixels in, probabilities out.

    Attributes:
        net: Normalized images in, logits out.
        classes: Class names in the order of the logits.
        resize_mode: See `transforms.resize_to_square`.
        temperature: Divides the logits; see `evaluation.fit_temperature`.
        threshold: Predictions with a smaller probability count as "not sure".
    """

    def __init__(
        self,
        net: TransferModel,
        classes: Sequence[str],
        image_size: int,
        resize_mode: str = "pad",
        temperature: float = 1.0,
        threshold: float = 0.5,
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
        self.about = dict(about or {})
        self.register_buffer("mean", net.backbone.mean.detach().clone().view(1, 3, 1, 1))
        self.register_buffer("std", net.backbone.std.detach().clone().view(1, 3, 1, 1))
        self.eval()

    @property
    def backbone(self) -> str:
        """The name of the backbone, a key of `transfer.BACKBONES`."""
        return self.net.backbone.name

    def preprocess(self, image: Image.Image) -> Tensor:
        """Convert a PIL image to the uint8 tensor (3, image_size, image_size) for `forward`."""
        resize = resize_to_square(self.image_size, self.resize_mode)
        return F.pil_to_tensor(resize(image.convert("RGB")))

    def normalize(self, images: Tensor) -> Tensor:
        """Scale and normalize uint8 images (batch, 3, height, width) for `net`."""
        return (images.to(self.mean.dtype) / 255 - self.mean) / self.std

    def forward(self, images: Tensor) -> Tensor:
        """Compute probabilities (batch, classes) of uint8 images (batch, 3, height, width)."""
        return (self.net(self.normalize(images)) / self.temperature).softmax(dim=1)

    @torch.no_grad()
    def top(self, image: Image.Image, k: int = 5) -> pd.DataFrame:
        """List the k most likely classes of one image, with columns class and probability."""
        with eval_mode(self):
            probabilities = self(self.preprocess(image)[None].to(self.mean.device))[0].cpu()
        values, indices = probabilities.topk(min(k, len(self.classes)))
        names = [self.classes[index] for index in indices.tolist()]
        return pd.DataFrame({"class": names, "probability": values.tolist()})

    def is_confident(self, probability: float) -> bool:
        """Return whether a probability reaches the threshold."""
        return probability >= self.threshold


def save_classifier(classifier: ImageClassifier, path: str | Path) -> None:
    """Write a classifier to one file, atomically."""
    fields = {name: getattr(classifier, name) for name in SCHEMA if name != "weights"}
    weights = classifier.state_dict()  # with mean and std
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
        net = TransferModel(build_backbone(backbone, weights=None), len(fields["classes"]))
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
    for field, kind in SCHEMA.items():
        if not isinstance(content.get(field), kind):
            raise ModelFileError(f"{name} is damaged: its {field} is missing or not valid.")
