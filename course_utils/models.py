"""The networks of the course, smallest first. All return logits."""

from torch import Tensor, nn


def count_parameters(model: nn.Module) -> int:
    """Count the trainable parameters of a network."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ReLU, and optionally dropout of whole channels."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, dropout: float = 0.0
    ) -> None:
        """Build the block; a stride of 2 halves height and width."""
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),  # makes a bias of the convolution redundant
            nn.ReLU(),
        )
        if dropout:
            self.append(nn.Dropout2d(dropout))


class AllConvNet(nn.Module):
    """An all-convolutional network for images of any size (Springenberg et al. 2015)."""

    def __init__(self, in_channels: int, num_outputs: int, dropout: float = 0.1) -> None:
        """Build blocks with strides instead of pooling; a 1x1 convolution is the last layer."""
        super().__init__()
        self.blocks = nn.Sequential(
            ConvBlock(in_channels, 16, 2, dropout),
            ConvBlock(16, 32, 2, dropout),
            ConvBlock(32, 64, 2, dropout),
        )
        self.classifier = nn.Conv2d(64, num_outputs, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (batch, num_outputs) of images (batch, in_channels, height, width)."""
        return self.classifier(self.blocks(images)).mean(dim=(2, 3))


class SmallCNN(nn.Module):
    """Three convolutions with pooling and one linear layer, for images of at least 4x4 pixels."""

    def __init__(self, in_channels: int, num_classes: int, width: int = 32) -> None:
        """Build blocks of `width`, 2 * `width` and 4 * `width` channels."""
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
        """Compute logits (batch, num_classes) of images (batch, in_channels, height, width)."""
        return self.classifier(self.features(images))
