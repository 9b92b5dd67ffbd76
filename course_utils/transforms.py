"""Preprocessing and augmentation of images, and denormalization for display."""

from functools import partial

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


def _fit_and_pad(image: Tensor, size: int) -> Tensor:
    """Resize the longer side to `size`, then pad with white to a square."""
    sides = F.get_size(image)
    height, width = (max(1, round(side * size / max(sides))) for side in sides)
    left, top = (size - width) // 2, (size - height) // 2
    image = F.resize(image, [height, width])
    return F.pad(image, [left, top, size - width - left, size - height - top], fill=255)


def resize_to_square(size: int, mode: str = "pad") -> v2.Transform:
    """Resize images (PIL or tensors) of any shape to size x size pixels.

    "pad" keeps the whole image and its aspect ratio, "crop" keeps only the central square, "squash"
    keeps the whole image but not its aspect ratio.
    """
    if mode == "pad":  # resize first: a padded panorama may not fit into memory
        return v2.Compose([partial(_fit_and_pad, size=size)])
    if mode == "crop":
        return v2.Compose([v2.Resize(size), v2.CenterCrop(size)])
    if mode == "squash":
        return v2.Compose([v2.Resize((size, size))])
    raise ValueError(f"mode must be 'pad', 'crop' or 'squash', not {mode!r}.")


def scale_and_normalize(mean: Tensor, std: Tensor) -> v2.Transform:
    """Scale uint8 images to float32 in 0..1, then normalize each channel."""
    normalize = v2.Normalize(mean.tolist(), std.tolist())
    return v2.Compose([v2.ToDtype(torch.float32, scale=True), normalize])


class BatchRandomHorizontalFlip(nn.Module):
    """Flip each image of a batch with probability p; torchvision's transform flips all or none."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, images: Tensor) -> Tensor:
        """Flip some images of a batch of shape (batch, channels, height, width)."""
        images = images.clone()
        chosen = (torch.rand(len(images)) < self.p).to(images.device)
        images[chosen] = images[chosen].flip(3)
        return images


class BatchRandomCrop(nn.Module):
    """Crop a random square from each image of a batch, after reflection padding of all sides."""

    def __init__(self, size: int, padding: int = 0) -> None:
        """Store the side of the square and the padding, in pixels."""
        super().__init__()
        self.size = size
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        """Crop a batch of shape (batch, channels, height, width) to (..., size, size)."""
        if self.padding:
            images = F.pad(images, [self.padding], padding_mode="reflect")
        size, (height, width) = self.size, images.shape[2:]
        tops = torch.randint(height - size + 1, (len(images),)).tolist()
        lefts = torch.randint(width - size + 1, (len(images),)).tolist()
        crops = zip(images, tops, lefts, strict=True)
        return torch.stack([image[:, y : y + size, x : x + size] for image, y, x in crops])


def denormalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Undo `scale_and_normalize` for display: shape (..., channels, height, width), in 0..1."""
    mean, std = (values.to(images).view(-1, 1, 1) for values in (mean, std))
    return (images * std + mean).clamp(0, 1)
