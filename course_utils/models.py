"""The networks that the course builds, smallest first.

All return logits: the softmax (or sigmoid) belongs to the loss, see notebook 02.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def count_parameters(model: nn.Module) -> int:
    """Count the numbers that training changes.

    Args:
        model: Any network.

    Returns:
        The number of elements of all parameters that require a gradient.
    """
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class ConvBlock(nn.Sequential):
    """Convolution, batch norm and ReLU, then dropout of whole channels where asked for.

    The convolution has no bias: batch norm subtracts the mean and adds a bias of its own.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, dropout: float = 0.0
    ) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            out_channels: Channels of the output.
            stride: 2 halves height and width.
            dropout: The share of channels set to zero in training.
        """
        layers = [
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        ]
        if dropout:
            layers.append(nn.Dropout2d(dropout))
        super().__init__(*layers)


class AllConvNet(nn.Module):
    """A classifier of convolutions only, for images of any size.

    Strided convolutions take the place of pooling and a last 1x1 convolution that of the fully
    connected layer; its map of logits is averaged over all positions.
    Source: Springenberg et al., "Striving for Simplicity: The All Convolutional Net" (2015).
    """

    def __init__(
        self,
        in_channels: int,
        num_outputs: int,
        widths: Sequence[int] = (16, 32, 64),
        dropout: float = 0.1,
    ) -> None:
        """Build the network.

        Args:
            in_channels: 1 for gray images, 3 for color.
            num_outputs: The number of classes, or 1 for a yes-or-no question.
            widths: Channels of the blocks; each block halves height and width.
            dropout: The share of channels set to zero after each block in training.
        """
        super().__init__()
        channels = [in_channels, *widths]
        self.blocks = nn.Sequential(
            *(
                ConvBlock(before, after, stride=2, dropout=dropout)
                for before, after in zip(channels, channels[1:], strict=False)
            )
        )
        self.classifier = nn.Conv2d(channels[-1], num_outputs, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits.

        Args:
            images: Shape (batch, in_channels, height, width).

        Returns:
            Logits of shape (batch, num_outputs).
        """
        return self.classifier(self.blocks(images)).mean(dim=(2, 3))


class SmallCNN(nn.Module):
    """Three convolutions with pooling and one linear layer: the first network for ten classes."""

    def __init__(self, in_channels: int, num_classes: int, width: int = 32) -> None:
        """Build the network.

        Args:
            in_channels: 1 for gray images, 3 for color.
            num_classes: The number of classes.
            width: Channels of the first block; the others have twice and four times as many.
        """
        super().__init__()
        self.features = nn.Sequential(
            ConvBlock(in_channels, width),
            nn.MaxPool2d(2),
            ConvBlock(width, 2 * width),
            nn.MaxPool2d(2),
            ConvBlock(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(4 * width, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits.

        Args:
            images: Shape (batch, in_channels, height, width), height and width at least 4.

        Returns:
            Logits of shape (batch, num_classes).
        """
        return self.classifier(self.features(images))


def initialize_weights(model: nn.Module, scheme: str) -> None:
    """Draw new weights for all convolutions and linear layers; biases become 0.

    Args:
        model: The network, changed in place.
        scheme: "xavier_uniform" or "xavier_normal" (Glorot and Bengio 2010), "kaiming_uniform" or
            "kaiming_normal" (He et al. 2015, for ReLU).

    Raises:
        ValueError: The scheme is none of these.
    """
    schemes = {
        "xavier_uniform": nn.init.xavier_uniform_,
        "xavier_normal": nn.init.xavier_normal_,
        "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
        "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    }
    if scheme not in schemes:
        raise ValueError(f"There is no scheme {scheme!r}; choose from {', '.join(schemes)}.")
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            schemes[scheme](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def whitening_conv(images: Tensor, size: int = 2, floor: float = 1e-3) -> nn.Conv2d:
    """Build a first layer that is computed from the images instead of being learned.

    Neighboring pixels say almost the same. The filters of this layer are the principal components
    of small patches, each divided by its standard deviation: what comes out is uncorrelated and of
    equal spread, and the layers behind learn faster from it. Each filter is there a second time
    with the opposite sign, since the ReLU that follows cuts one half off. From Page, "How to Train
    Your ResNet 8: Bag of Tricks" (2019), and Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single
    GPU" (2024).

    Args:
        images: Normalized training images of shape (count, channels, height, width), float; some
            thousand are enough.
        size: The side of the patches in pixels.
        floor: Added to each variance, so that what hardly varies is not blown up to noise.

    Returns:
        A convolution without bias and padding, with 2 * channels * size ** 2 filters, the largest
        component first. Its weights need no gradient.

    Example:
        >>> net = nn.Sequential(whitening_conv(images), nn.ReLU(), ConvBlock(24, 64))
    """
    channels = images.shape[1]
    patches = F.unfold(images, size).transpose(1, 2).flatten(0, 1)
    variances, components = torch.linalg.eigh(torch.cov(patches.T).double())
    filters = (components / (variances + floor).sqrt()).T.flip(0)
    largest = filters.abs().argmax(dim=1, keepdim=True)
    filters = filters * filters.gather(1, largest).sign()  # the sign is free: always the same one
    layer = nn.Conv2d(channels, 2 * len(filters), size, bias=False)
    layer.weight.copy_(torch.cat([filters, -filters]).view_as(layer.weight))
    return layer.requires_grad_(False)


class MirrorAverage(nn.Module):
    """A network that also looks at the mirror image, and answers with the mean of both logits.

    It does so in eval mode only; training goes on as before. That is right a little more often,
    and takes twice as long, wherever left and right mean nothing. The simplest kind of test-time
    augmentation; Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
    Networks" (2012), average over ten views.

    Example:
        >>> loss, accuracy = evaluate(MirrorAverage(model), loader)
    """

    def __init__(self, net: nn.Module) -> None:
        """Wrap a network.

        Args:
            net: Takes images of shape (batch, channels, height, width) and gives logits.
        """
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of shape (batch, outputs)."""
        logits = self.net(images)
        return logits if self.training else (logits + self.net(images.flip(3))) / 2


# ResNet: He et al., "Deep Residual Learning for Image Recognition" (2016). The names of the layers
# are those of torchvision, so that its weights fit. Stride 2 sits in the 3x3 convolution of the
# bottleneck, as in torchvision (and unlike the paper).


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a way around them; the block of ResNet-18 and ResNet-34."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            channels: Channels of both convolutions, and of the output.
            stride: Of the first convolution; 2 halves height and width.
        """
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions compute to the input."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + identity)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a way around them; the block of ResNet-50 and deeper."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        """Build the block.

        Args:
            in_channels: Channels of the input.
            channels: Channels of the 3x3 convolution; the output has four times as many.
            stride: Of the 3x3 convolution; 2 halves height and width.
        """
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions compute to the input."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + identity)


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Make the way around a block where the shape changes; None where it does not.

    Args:
        in_channels: Channels of the block's input.
        out_channels: Channels of the block's output.
        stride: Of the block.

    Returns:
        A strided 1x1 convolution with batch norm, or None for the identity.
    """
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ResNet(nn.Module):
    """A residual network for ImageNet-sized or for small images.

    With the stem "imagenet" the layers have the names and shapes of torchvision's `resnet18` to
    `resnet152`. The stem "small" keeps the full resolution of images of about 32 pixels, which a
    7x7 convolution with stride 2 and a pooling would cut to a quarter.
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        stem: str = "imagenet",
        width: int = 64,
    ) -> None:
        """Build the network and initialize it as He et al. (2015) do.

        Args:
            block: `BasicBlock` or `Bottleneck`.
            layers: How many blocks each of the stages has.
            num_classes: The number of classes.
            in_channels: 1 for gray images, 3 for color.
            stem: "imagenet" or "small".
            width: Channels of the first stage; each further stage doubles them.

        Raises:
            ValueError: There is no such stem.
        """
        super().__init__()
        if stem not in ("imagenet", "small"):
            raise ValueError(f"stem must be 'imagenet' or 'small', not {stem!r}.")
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        channels = width
        for number, count in enumerate(layers):
            stage = []
            for position in range(count):
                stride = 2 if number > 0 and position == 0 else 1
                stage.append(block(channels, width * 2**number, stride))
                channels = width * 2**number * block.expansion
            self.add_module(f"layer{number + 1}", nn.Sequential(*stage))
        self.stages = [f"layer{number + 1}" for number in range(len(layers))]
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Goyal et al. (2017): with a last batch norm of zero each block starts as the identity,
        # and a deep network trains like a shallow one at first.
        for module in self.modules():
            if isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits.

        Args:
            images: Shape (batch, in_channels, height, width).

        Returns:
            Logits of shape (batch, num_classes).
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(self.avgpool(x).flatten(1))


def resnet34(num_classes: int = 1000, **options: int | str) -> ResNet:
    """Build ResNet-34: 16 basic blocks in four stages.

    Args:
        num_classes: The number of classes.
        **options: `in_channels`, `stem` and `width` of `ResNet`.

    Returns:
        A new network; with the defaults, torchvision's state dict fits.
    """
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, **options)
