"""Datasets of labeled images, on disk or in memory.

Both kinds have the attributes `classes`, `class_to_idx`, `targets` and `transform` of
`torchvision.datasets.ImageFolder`, on disk also `samples`; `dataset[i]` is `(image, label)`.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms.v2 import functional as F

from course_utils.catalog import find_dataset
from course_utils.errors import DataError
from course_utils.image_io import common_mode, image_files, load_image, printable, subfolders
from course_utils.statistics import mean_and_std
from course_utils.transforms import resize_to_square, scale_and_normalize

SPLITS = ("train", "val", "test")
SPLIT_OF = {
    **dict.fromkeys(("train", "training", "seg_train"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing", "seg_test"), "test"),
}


@dataclass(eq=False, repr=False)
class ImageFiles(Dataset):
    """Labeled image files, loaded in one mode: by default "L" if all are grayscale, else "RGB"."""

    samples: list[tuple[str, int]]  # path and class index
    classes: list[str]
    transform: Callable | None = None  # called with each PIL image
    mode: str | None = None

    def __post_init__(self) -> None:
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.targets = [label for _, label in self.samples]
        self.mode = self.mode or common_mode(path for path, _ in self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        image = load_image(path, self.mode)
        return (image if self.transform is None else self.transform(image)), label

    def __repr__(self) -> str:
        return f"ImageFiles: {len(self)} images of {len(self.classes)} classes"

    def subset(self, indices: Iterable[int], transform: Callable | None = None) -> "ImageFiles":
        """Select images; unlike `torch.utils.data.Subset`, a subset has its own transform."""
        samples = [self.samples[index] for index in indices]
        return ImageFiles(samples, self.classes, transform, self.mode)


def image_folder(root: str | Path, mode: str | None = None) -> ImageFiles:
    """List a folder with one subfolder per class, as `torchvision.datasets.ImageFolder` does.

    Hidden folders, `__MACOSX`, and links that lead back to the root are ignored.
    """
    files = {folder.name: image_files(folder) for folder in subfolders(root)}
    if len(files) < 2:
        raise DataError(f"{root} needs at least two class folders, but has {len(files)}.")
    if empty := [printable(name) for name, paths in files.items() if not paths]:
        raise DataError(f"No images in {root}: {', '.join(empty)}. Add some or remove the folder.")
    samples = [(path, label) for label, paths in enumerate(files.values()) for path in paths]
    return ImageFiles(samples, list(files), mode=mode)


@dataclass(eq=False, repr=False)
class InMemoryDataset(Dataset):
    """Images decoded once into one uint8 tensor: the fastest way to train on small images.

    `__getitems__` returns whole batches, which must not be collated again: `make_loader` handles
    this; any other `DataLoader` needs `collate_fn=InMemoryDataset.collate`.
    """

    images: Tensor  # uint8, of shape (count, channels, height, width)
    targets: Tensor  # int64, of shape (count,)
    classes: list[str]
    transform: Callable | None = None  # called with each image; random transforms belong here
    batch_transform: Callable | None = None  # called with each batch, after `transform`

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[0] != len(self.targets):
            expected = f"uint8 of shape ({len(self.targets)}, channels, height, width)"
            raise ValueError(f"images must be {expected}, not {self.images.dtype} of {shape}.")
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        images, targets = self.__getitems__([index])
        return images[0], targets[0]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        images = self.images[indices]
        if self.transform is not None:
            images = torch.stack([self.transform(image) for image in images])
        if self.batch_transform is not None:
            images = self.batch_transform(images)
        return images, self.targets[indices]

    def __repr__(self) -> str:
        return f"InMemoryDataset: {tuple(self.images.shape)} uint8, {len(self.classes)} classes"

    @staticmethod
    def collate(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return a batch of `__getitems__` unchanged."""
        return batch

    @classmethod
    def decode(
        cls,
        dataset: ImageFiles,
        resize: Callable,
        cache: str | Path | None = None,
        **transforms: Callable,
    ) -> "InMemoryDataset":
        """Decode image files, ignoring their transform, with as many threads as torch uses.

        `resize` resizes PIL images to a common size, without randomness. The folder `cache` stores
        the results until a file or the decoding changes.
        """

        def decode(path: str) -> Tensor:
            return F.pil_to_tensor(resize(load_image(path, dataset.mode)))

        def decode_all() -> Iterator[Tensor]:  # Pillow releases the GIL
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                yield from threads.map(decode, paths)

        paths = [path for path, _ in dataset.samples]
        if cache is None:
            images = torch.stack(list(decode_all()))
        else:  # identify the transform by its output for random pixels
            noise = np.random.default_rng(0).integers(0, 256, (61, 97, 3), dtype=np.uint8)
            probe = F.pil_to_tensor(resize(Image.fromarray(noise).convert(dataset.mode)))
            file = Path(cache, f"{_fingerprint(paths, dataset.mode, probe.tolist())}.npy")
            if not file.exists():
                _write_images(decode_all(), len(dataset), file)
            images = torch.from_numpy(np.load(file, mmap_mode="c"))  # copy-on-write
        return cls(images, torch.tensor(dataset.targets), dataset.classes, **transforms)


def _fingerprint(paths: list[str], *settings: object) -> str:
    """Compute a name that changes with the files and with the settings."""
    stats = [os.stat(path) for path in paths if os.path.exists(path)]
    files = [*map(os.path.abspath, paths)], [(stat.st_size, stat.st_mtime_ns) for stat in stats]
    return hashlib.sha256(repr((settings, files)).encode()).hexdigest()[:16]


def _write_images(images: Iterator[Tensor], count: int, file: Path) -> None:
    """Write images of one shape one by one to a `.npy` file, which is created atomically."""
    first = next(images)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        with open(Path(folder, file.name), "wb") as stream:
            header = {"descr": "|u1", "fortran_order": False, "shape": (count, *first.shape)}
            np.lib.format.write_array_header_1_0(stream, header)
            for image in chain([first], images):
                if image.shape != first.shape:
                    shapes = f"{tuple(first.shape)} and {tuple(image.shape)}"
                    raise ValueError(f"Images have shapes {shapes}.")
                stream.write(image.numpy().tobytes())
        os.replace(Path(folder, file.name), file)


def make_loader(
    dataset: Dataset,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    num_workers: int = 0,
) -> DataLoader:
    """Create a loader of batches (images, targets) whose order depends only on the seed."""
    base = dataset
    while isinstance(base, Subset):
        base = base.dataset
    return DataLoader(
        dataset,
        batch_size,
        shuffle,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=getattr(base, "collate", None),
        # Copies to a GPU are faster from pinned memory; without a GPU, pinning only warns.
        pin_memory=torch.cuda.is_available(),
    )


def split_folders(root: str | Path) -> dict[str, Path]:
    """Find train/, val/ and test/, or other common names; empty if the root contains the classes.

    Only a folder that contains class folders is a split: a folder `train` with images is a class.
    """
    found = {}
    for folder in subfolders(root):
        inside = subfolders(folder)
        if [path.name for path in inside] == [folder.name]:  # some archives repeat the name
            folder, inside = inside[0], subfolders(inside[0])
        if inside and folder.name.lower() in SPLIT_OF:
            found[SPLIT_OF[folder.name.lower()]] = folder
    if found and "train" not in found:
        raise DataError(f"{root} has {' and '.join(found)}, but no train; add it or rename them.")
    return {split: found[split] for split in SPLITS if split in found}


def load_splits(data: str | Path, mode: str | None = None, seed: int = 0) -> dict[str, ImageFiles]:
    """Load the splits "train", "val" and "test" of a dataset.

    Missing splits are created, stratified by class: a folder without splits, or with only train/,
    is split 60:20:20; a missing validation set is a fifth of the training set. Without test/, the
    validation set becomes the test set. The default mode is "L" if all images are grayscale, else
    "RGB".
    """
    root = find_dataset(data)
    parts = {split: image_folder(path, mode="RGB") for split, path in split_folders(root).items()}
    if len(parts) < 2:
        whole = parts.get("train") or image_folder(root, mode="RGB")
        parts = _divide(whole, {"train": 0.6, "val": 0.2, "test": 0.2}, seed)
    for split, part in parts.items():
        if odd := set(part.classes) ^ set(parts["train"].classes):
            raise DataError(
                f"In {root}, {split} and train have different classes: {', '.join(sorted(odd))}."
            )
    if "test" not in parts:
        parts["test"] = parts.pop("val")
    if "val" not in parts:
        parts |= _divide(parts["train"], {"train": 0.8, "val": 0.2}, seed)
    mode = mode or common_mode(path for part in parts.values() for path, _ in part.samples)
    for part in parts.values():
        part.mode = mode
    return {split: parts[split] for split in SPLITS}


def _divide(dataset: ImageFiles, fractions: dict[str, float], seed: int) -> dict[str, ImageFiles]:
    names = [dataset.classes[label] for label in dataset.targets]
    parts = stratified_split(names, fractions, seed)
    return {part: dataset.subset(indices) for part, indices in parts.items()}


def stratified_split(
    targets: Sequence[int | str], fractions: dict[str, float], seed: int = 0
) -> dict[str, list[int]]:
    """Split indices at random so that every part has the same class proportions.

    The fractions must add up to 1. Every part contains every class; its indices are ascending.
    """
    shares = np.array(list(fractions.values()))
    if not (shares > 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise DataError(f"Fractions must be positive and add up to 1, not {dict(fractions)}.")
    generator = np.random.default_rng(seed)
    targets = np.asarray(targets)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for label in np.unique(targets):
        indices = generator.permutation(np.flatnonzero(targets == label))
        count = len(indices)
        if count < len(parts):
            raise DataError(f"Class {label} has {count} images, too few for {len(parts)} parts.")
        cuts = np.round(np.cumsum(shares)[:-1] * count).astype(int)
        for number in range(len(cuts)):  # at least one image in each part
            least = cuts[number - 1] + 1 if number else 1
            cuts[number] = np.clip(cuts[number], least, count - len(cuts) + number)
        for name, chosen in zip(parts, np.split(indices, cuts), strict=True):
            parts[name].extend(chosen.tolist())
    return {name: sorted(indices) for name, indices in parts.items()}


def load_in_memory(
    data: str | Path,
    image_size: int,
    mode: str | None = None,
    max_images: int | None = None,
    transform: Callable | None = None,
    seed: int = 0,
) -> dict[str, InMemoryDataset]:
    """Load the splits of a dataset, resized to squares and normalized; see `load_splits`.

    At most about `max_images` per split are kept, for quick experiments. `transform` replaces the
    normalization with the mean and standard deviation of the training images.
    """
    parts = load_splits(data, mode, seed)
    if max_images is not None:
        parts = {name: first_of_each_class(part, max_images) for name, part in parts.items()}
    resize = resize_to_square(image_size)
    memory = {name: InMemoryDataset.decode(part, resize) for name, part in parts.items()}
    transform = transform or scale_and_normalize(*mean_and_std(make_loader(memory["train"], 256)))
    for part in memory.values():
        part.batch_transform = transform
    return memory


def first_of_each_class(dataset: ImageFiles, max_images: int) -> ImageFiles:
    """Keep the first images of each class: about `max_images` in total, at least two per class."""
    per_class = max(2, max_images // len(dataset.classes))
    targets = np.array(dataset.targets)
    chosen = [np.flatnonzero(targets == label)[:per_class] for label in np.unique(targets)]
    return dataset.subset(np.sort(np.concatenate(chosen)).tolist())
