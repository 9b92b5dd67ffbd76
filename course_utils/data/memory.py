"""A whole data set decoded into memory, ready to train on: what every notebook starts with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from course_utils.data.datasets import ImageList, InMemory, load_splits, make_loader
from course_utils.data.statistics import mean_and_std
from course_utils.paths import output_folder
from course_utils.transforms import resize, to_float


def load_in_memory(
    data: str | Path,
    image_size: int,
    mode: str | None = None,
    max_images: int | None = None,
    transform: Callable | None = None,
    seed: int = 0,
    fast: bool = False,
) -> dict[str, InMemory]:
    """Load the training, validation and test images of a set, all of one size and normalised.

    Args:
        data: A name of the catalog or the path of a folder; see `datasets.load_splits`.
        image_size: The side of the images in pixels; they are padded to a square.
        mode: "RGB" or "L"; when left out, "L" if all images are grey.
        max_images: About how many images of each part to keep, for quick trials; None keeps all.
        transform: Turns a batch of uint8 images into what the network sees. When left out, the
            mean and standard deviation of the training images normalise all three parts.
        seed: Of the splits that have to be drawn.
        fast: For large photographs: decode JPEG files no larger than needed, and keep the result in
            build/cache for the next time. The pixels differ a little; see `InMemory.decode`.

    Returns:
        The keys "train", "val" and "test". Nothing is augmented: set the `transform` of "train".

    Raises:
        DataError: The folder is missing, its form is not right, or an image cannot be read.
    """
    parts = load_splits(data, mode=mode, seed=seed)
    if max_images is not None:
        parts = {name: first_of_each_class(part, max_images) for name, part in parts.items()}
    options = {"draft": image_size, "cache": output_folder("cache")} if fast else {}
    memory = {
        name: InMemory.decode(part, resize(image_size), **options) for name, part in parts.items()
    }
    transform = transform or to_float(*mean_and_std(make_loader(memory["train"], 256)))
    for part in memory.values():
        part.batch_transform = transform
    return memory


def first_of_each_class(data_set: ImageList, max_images: int) -> ImageList:
    """Keep the first images of each class, equally many where there are enough.

    Args:
        data_set: Images on disk.
        max_images: How many to keep in all; at least two of each class are kept.

    Returns:
        A smaller data set of the same classes, in the same order.
    """
    per_class = max(2, max_images // len(data_set.classes))
    targets = np.array(data_set.targets)
    chosen = [np.flatnonzero(targets == label)[:per_class] for label in np.unique(targets)]
    return data_set.subset(np.sort(np.concatenate(chosen)).tolist())
