"""Painted backgrounds for cut-out objects, to see whether a network looks at the object.

>>> meadow = paint_texture("meadow", 96, np.random.default_rng(0))
>>> composite(load_image("cow.webp", mode="RGBA"), meadow)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from course_utils.datasets import ImageFiles, InMemoryDataset
from course_utils.errors import DataError
from course_utils.image_io import load_image, printable

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Texture:
    """How a background is painted: random patches between two colors.

    Attributes:
        dark: One color, red, green and blue from 0 to 255.
        light: The other one.
        rows: How many patches lie one below the other: many are fine, few are coarse.
        columns: How many patches lie side by side.
    """

    dark: Color
    light: Color
    rows: int
    columns: int


TEXTURES = {
    "sky": Texture((70, 130, 205), (205, 228, 250), 6, 3),
    "meadow": Texture((28, 78, 22), (122, 172, 62), 24, 40),
    "wood": Texture((96, 56, 24), (186, 128, 74), 30, 2),
    "sand": Texture((188, 158, 108), (240, 220, 174), 12, 12),
    "cloth": Texture((150, 24, 44), (226, 92, 108), 5, 40),
    "asphalt": Texture((52, 54, 60), (122, 124, 128), 40, 40),
}


def paint_texture(name: str, size: int, generator: np.random.Generator) -> Image.Image:
    """Paint a background.

    Args:
        name: A key of `TEXTURES`.
        size: The side of the square in pixels.
        generator: Draws the patches; no two backgrounds are the same.

    Returns:
        An image of mode "RGB".

    Raises:
        ValueError: There is no such background.
    """
    if name not in TEXTURES:
        raise ValueError(f"There is no background {name!r}; there are {', '.join(TEXTURES)}.")
    texture = TEXTURES[name]
    noise = generator.integers(0, 256, (texture.rows, texture.columns), dtype=np.uint8)
    patches = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    share = np.asarray(patches)[:, :, None] / 255
    dark, light = np.array(texture.dark), np.array(texture.light)
    return Image.fromarray(np.round(dark + share * (light - dark)).astype(np.uint8))


def composite(cutout: Image.Image, background: Image.Image) -> tuple[Image.Image, Tensor]:
    """Put a cut-out object in the middle of a background, over four fifths of its side.

    Args:
        cutout: An image of mode "RGBA"; what is transparent shows the background.
        background: An image of mode "RGB".

    Returns:
        The picture, of mode "RGB", and a bool tensor of shape (height, width): where the object is.
    """
    width, height = background.size
    scale = 0.8 * min(width / cutout.width, height / cutout.height)
    size = (max(1, round(cutout.width * scale)), max(1, round(cutout.height * scale)))
    cutout = cutout.resize(size, Image.Resampling.LANCZOS)
    sheet = Image.new("RGBA", background.size)
    sheet.paste(cutout, ((width - size[0]) // 2, (height - size[1]) // 2))
    picture = Image.alpha_composite(background.convert("RGBA"), sheet).convert("RGB")
    return picture, F.pil_to_tensor(sheet.getchannel("A"))[0] >= 128


def place_on_backgrounds(
    files: ImageFiles, names: Sequence[str | None], size: int, copies: int = 1, seed: int = 0
) -> tuple[InMemoryDataset, Tensor]:
    """Put every object of a set of cut-outs on a background.

    Args:
        files: Images with transparent parts.
        names: For each image a key of `TEXTURES`, or None for one that is drawn by lot.
        size: The side of the pictures in pixels.
        copies: How many pictures to make of each object, each with a background of its own.
        seed: Of backgrounds and lots.

    Returns:
        The pictures in memory, object after object, and where the objects are: bool, of shape
        (count, size, size).

    Raises:
        DataError: An image has no transparent parts, so its object is not cut out.
        ValueError: There is no such background, or there are not as many names as images.
    """
    if len(names) != len(files):
        raise ValueError(f"{len(names)} backgrounds for {len(files)} images.")
    generator = np.random.default_rng(seed)
    images, masks, targets = [], [], []
    for (path, target), name in zip(files.samples, names, strict=True):
        cutout = load_image(path, mode="RGBA")
        if cutout.getchannel("A").getextrema()[0] == 255:
            raise DataError(f"{printable(path)} has no transparent parts: nothing is cut out.")
        for _ in range(copies):
            kind = name or str(generator.choice(list(TEXTURES)))
            picture, mask = composite(cutout, paint_texture(kind, size, generator))
            images.append(F.pil_to_tensor(picture))
            masks.append(mask)
            targets.append(target)
    memory = InMemoryDataset(torch.stack(images), torch.tensor(targets), files.classes)
    return memory, torch.stack(masks)
