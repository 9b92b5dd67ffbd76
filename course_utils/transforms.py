"""What happens to an image before the model sees it, and mode to undo it for display."""

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


class PadToSquare(nn.Module):
    """Pad the shorter side of an image, so that resizing keeps its proportions.

    Args:
        fill: The color of the padding, 0 (black) to 255 (white).
    """

    def __init__(self, fill: int = 255) -> None:
        """Remember the color."""
        super().__init__()
        self.fill = fill

    def forward(self, image: Tensor) -> Tensor:
        """Pad an image (PIL, or a tensor of shape (channels, height, width))."""
        height, width = F.get_size(image)
        side = max(height, width)
        left, top = (side - width) // 2, (side - height) // 2
        return F.pad(image, [left, top, side - width - left, side - height - top], fill=self.fill)


def resize_to_square(size: int, mode: str = "pad") -> v2.Transform:
    """Bring images of any shape to size x size pixels.

    Args:
        size: The side of the result in pixels.
        mode: "pad" keeps everything and its proportions, "crop" keeps proportions and cuts off what
            is outside of the central square, "squash" keeps everything and distorts.

    Returns:
        A transform of PIL images or tensors.

    Raises:
        ValueError: `mode` is none of the three.
    """
    if mode == "pad":
        return v2.Compose([PadToSquare(), v2.Resize((size, size), antialias=True)])
    if mode == "crop":
        return v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])
    if mode == "squash":
        return v2.Compose([v2.Resize((size, size), antialias=True)])
    raise ValueError(f"mode must be 'pad', 'crop' or 'squash', not {mode!r}.")


def scale_and_normalize(mean: Tensor, std: Tensor) -> v2.Transform:
    """Scale uint8 images to 0..1 in float32, then normalize them.

    Args:
        mean: Of each channel, on the scale 0..1.
        std: Of each channel, on the scale 0..1.

    Returns:
        A transform of one image or a whole batch.
    """
    return v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean.tolist(), std.tolist())]
    )


class BatchRandomHorizontalFlip(nn.Module):
    """Mirror about half of the images of a batch; each image draws its own lot.

    torchvision's transforms draw once for all that they are given, so on a batch they would mirror
    all images or none.

    Args:
        p: The probability to be mirrored.
    """

    def __init__(self, p: float = 0.5) -> None:
        """Remember the probability."""
        super().__init__()
        self.p = p

    def forward(self, images: Tensor) -> Tensor:
        """Mirror some images of a batch of shape (batch, channels, height, width)."""
        images = images.clone()
        chosen = (torch.rand(len(images)) < self.p).to(images.device)
        images[chosen] = images[chosen].flip(3)
        return images


class BatchRandomCrop(nn.Module):
    """Cut a square out of each image of a batch, each at a place of its own.

    Args:
        size: The side of the square in pixels.
        padding: Pixels to add on all sides before, as a mirror image of the border.
    """

    def __init__(self, size: int, padding: int = 0) -> None:
        """Remember the sizes."""
        super().__init__()
        self.size = size
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        """Cut from a batch of shape (batch, channels, height, width).

        Returns:
            Shape (batch, channels, size, size).

        Raises:
            ValueError: The square does not fit into the images.
        """
        if self.padding:
            images = F.pad(images, [self.padding], padding_mode="reflect")
        size, (height, width) = self.size, images.shape[2:]
        if min(height, width) < size:
            raise ValueError(f"A square of {size} does not fit into {height} x {width} pixels.")
        tops = torch.randint(height - size + 1, (len(images),)).tolist()
        lefts = torch.randint(width - size + 1, (len(images),)).tolist()
        squares = [
            image[:, top : top + size, left : left + size]
            for image, top, left in zip(images, tops, lefts, strict=True)
        ]
        return torch.stack(squares)


def denormalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Undo `v2.Normalize` for display.

    Args:
        images: Normalized images, shape (…, channels, height, width).
        mean: The mean that was subtracted, shape (channels,).
        std: The standard deviation that was divided by, shape (channels,).

    Returns:
        Images between 0 and 1. Values that rounding pushed outside are clipped.
    """
    mean = mean.to(images).view(-1, 1, 1)
    std = std.to(images).view(-1, 1, 1)
    return (images * std + mean).clamp(0, 1)
