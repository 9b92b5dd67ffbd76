"""Synthetic backgrounds for cutouts, to test whether a network relies on the background."""

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F

from course_utils.datasets import ImageFiles, InMemoryDataset
from course_utils.errors import DataError
from course_utils.image_io import load_image, printable

# Random colors between two RGB values: (dark, light, rows of patches, columns of patches).
TEXTURES = {
    "sky": ((70, 130, 205), (205, 228, 250), 6, 3),
    "meadow": ((28, 78, 22), (122, 172, 62), 24, 40),
    "wood": ((96, 56, 24), (186, 128, 74), 30, 2),
    "sand": ((188, 158, 108), (240, 220, 174), 12, 12),
    "cloth": ((150, 24, 44), (226, 92, 108), 5, 40),
    "asphalt": ((52, 54, 60), (122, 124, 128), 40, 40),
}


def paint_texture(name: str, size: int, generator: np.random.Generator) -> Image.Image:
    """Paint a background of size x size pixels; `name` is a key of `TEXTURES`."""
    dark, light, rows, columns = TEXTURES[name]
    noise = generator.integers(0, 256, (rows, columns), dtype=np.uint8)
    patches = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    share = np.asarray(patches)[:, :, None] / 255
    pixels = dark + share * np.subtract(light, dark)
    return Image.fromarray(np.round(pixels).astype(np.uint8))


def composite(cutout: Image.Image, background: Image.Image) -> Image.Image:
    """Paste an RGBA cutout centered on an RGB background, scaled to four fifths of its side."""
    width, height = background.size
    scale = 0.8 * min(width / cutout.width, height / cutout.height)
    size = (max(1, round(cutout.width * scale)), max(1, round(cutout.height * scale)))
    corner = ((width - size[0]) // 2, (height - size[1]) // 2)
    image = background.convert("RGBA")
    image.alpha_composite(cutout.resize(size, Image.Resampling.LANCZOS), corner)
    return image.convert("RGB")


def place_on_background(
    files: ImageFiles, texture: str, size: int, seed: int = 0
) -> InMemoryDataset:
    """Place each cutout of a dataset on a background of size x size pixels.

    `texture` is a key of `TEXTURES`; its random colors differ between images.
    """
    generator = np.random.default_rng(seed)
    images = []
    for path, _ in files.samples:
        cutout = load_image(path, mode="RGBA")
        if cutout.getchannel("A").getextrema()[0] == 255:
            raise DataError(f"{printable(path)} has no transparent pixels, so it is not a cutout.")
        image = composite(cutout, paint_texture(texture, size, generator))
        images.append(F.pil_to_tensor(image))
    return InMemoryDataset(torch.stack(images), torch.tensor(files.targets), files.classes)
