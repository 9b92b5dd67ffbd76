"""Images and their labels: from a folder, from a label file, or all in memory.

Every dataset has the attributes of `torchvision.datasets.ImageFolder`: `classes`, `class_to_idx`,
`targets` and `transform`, on disk also `samples`; `dataset[i]` is `(image, label)`.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from course_utils.catalog import find_dataset
from course_utils.errors import DataError
from course_utils.image_io import common_mode, image_files, is_image_name, load_image, subfolders
from course_utils.statistics import mean_and_std
from course_utils.transforms import resize_to_square, scale_and_normalize

SPLIT_NAMES = {
    "train": ("train", "training", "seg_train"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing", "seg_test"),
}


@dataclass(eq=False, repr=False)
class ImageFiles(Dataset):
    """Image files with labels."""

    samples: list[tuple[str, int]]  # path and class index
    classes: list[str]
    transform: Callable | None = None  # called with each PIL image
    mode: str = "RGB"  # or "L"

    def __post_init__(self) -> None:
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.targets = [label for _, label in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        path, label = self.samples[index]
        image = load_image(path, self.mode)
        return (image if self.transform is None else self.transform(image)), label

    def __repr__(self) -> str:
        return f"ImageFiles: {len(self)} images of {len(self.classes)} classes"

    def subset(self, indices: Iterable[int], transform: Callable | None = None) -> "ImageFiles":
        """Select images; unlike `torch.utils.data.Subset`, each part has its own transform."""
        samples = [self.samples[index] for index in indices]
        return ImageFiles(samples, self.classes, transform, self.mode)


def image_folder(
    root: str | Path, transform: Callable | None = None, mode: str | None = None
) -> ImageFiles:
    """List a folder with one subfolder per class, as `torchvision.datasets.ImageFolder` does.

    A class without images is an error; hidden folders, `__MACOSX`, and links that lead back to the
    root are not classes. Without a `mode`, it is "L" if all images are gray, else "RGB".
    """
    folders = subfolders(Path(root))
    if len(folders) < 2:
        where = "directly" if any(map(is_image_name, os.listdir(root))) else "not"
        raise DataError(
            f"{root} has {len(folders)} class folders, and images lie {where} in it; one subfolder "
            f"per class is needed, for example cats/ and dogs/."
        )
    files = {folder.name: image_files(folder) for folder in folders}
    if empty := [name for name, found in files.items() if not found]:
        raise DataError(f"No images in {root}: {', '.join(empty)}. Add some or remove the folder.")
    samples = [(path, label) for label, found in enumerate(files.values()) for path in found]
    return ImageFiles(samples, list(files), transform, mode or common_mode(p for p, _ in samples))


def read_label_file(
    path: str | Path, transform: Callable | None = None, mode: str | None = None
) -> ImageFiles:
    """Read a text file (UTF-8) with one line `path label` per image.

    The label follows the last space or tab; relative paths start at the folder of the file. Lines
    that start with `#` are comments. After `# classes: name, name, ...`, labels are either all
    names or all indices of these classes; without it, the labels that occur are the classes.
    """
    path = Path(path)
    try:
        classes, files, targets = _parse_label_file(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"The label file {path} could not be read ({reason}).") from None
    samples = [(str(path.parent / file), label) for file, label in zip(files, targets, strict=True)]
    return ImageFiles(samples, classes, transform, mode or common_mode(p for p, _ in samples))


def _parse_label_file(text: str) -> tuple[list[str], list[str], list[int]]:
    """Return classes, paths, and class indices."""
    classes, files, labels = None, [], []
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip()
        if line.startswith("# classes:"):
            classes = [name.strip() for name in line.removeprefix("# classes:").split(",")]
        elif line and not line.startswith("#"):
            file, *label = line.rsplit(maxsplit=1)
            if not label:
                raise DataError(f"line {number} has no label: {line!r}")
            files.append(file)
            labels += label
    if not files:
        raise DataError("it lists no images")
    if classes is None:  # numbers in their order, then names
        classes = sorted(set(labels), key=lambda label: (not label.isdecimal(), len(label), label))
    for names in (classes, map(str, range(len(classes)))):
        indices = {name: index for index, name in enumerate(names)}
        if indices.keys() >= set(labels):
            return classes, files, [indices[label] for label in labels]
    odd = next(label for label in labels if label not in classes)
    raise DataError(f"there is no class {odd!r} in {', '.join(classes)}")


def write_label_file(dataset: ImageFiles, path: str | Path) -> None:
    """Write image files as a label file that `read_label_file` reads back.

    The labels are indices, or names if indices could be taken for names. Names that do not fit
    into such a file, for example one with a line break, are a DataError.
    """
    path = Path(path)
    files = [Path(os.path.relpath(file, path.parent)).as_posix() for file, _ in dataset.samples]
    files = [f"./{file}" if file.startswith("#") else file for file in files]
    for names in (range(len(dataset.classes)), dataset.classes):
        lines = [f"# classes: {', '.join(dataset.classes)}"]
        lines += [f"{file} {names[k]}" for file, k in zip(files, dataset.targets, strict=True)]
        text = "\n".join(lines) + "\n"
        with suppress(DataError, UnicodeEncodeError):
            content = text.encode()
            if _parse_label_file(text) == (dataset.classes, files, dataset.targets):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                return
    raise DataError(f"A file or class name does not fit into {path}; use plainer names.")


@dataclass(eq=False, repr=False)
class InMemoryDataset(Dataset):
    """All images decoded once, as one uint8 tensor: the fastest way to train on small images.

    A loader gets whole batches from `__getitems__` and must not stack them again: `make_loader`
    takes care of that, another `DataLoader` needs `collate_fn=InMemoryDataset.collate`.
    """

    images: Tensor  # uint8, of shape (count, channels, height, width)
    targets: Tensor  # int64, of shape (count,)
    classes: list[str]
    transform: Callable | None = None  # called with each image; random transforms belong here
    batch_transform: Callable | None = None  # called with each batch, after `transform`

    def __post_init__(self) -> None:
        dtype, shape, count = self.images.dtype, tuple(self.images.shape), len(self.targets)
        if dtype != torch.uint8 or len(shape) != 4 or shape[0] != count:
            expected = f"uint8 of shape ({count}, channels, height, width)"
            raise ValueError(f"images must be {expected}, not {dtype} of shape {shape}.")
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
        draft: int | None = None,
        cache: str | Path | None = None,
        **transforms: Callable,
    ) -> "InMemoryDataset":
        """Decode image files, ignoring their transform, with as many threads as torch uses.

        `resize` resizes PIL images to a common size, without randomness. With a `draft` size (see
        `load_image`), a transform of torchvision gets tensors, which is faster and differs by 1 of
        255. A folder `cache` keeps the results until a file or its decoding changes.
        """

        def to_tensor(image: Image.Image) -> Tensor:
            if draft is not None and isinstance(resize, v2.Transform):
                return resize(F.pil_to_tensor(image))
            return F.pil_to_tensor(resize(image))

        def decode_all() -> Iterator[Tensor]:  # Pillow lets threads work at the same time
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                load = partial(load_image, mode=dataset.mode, draft=draft)
                yield from threads.map(lambda path: to_tensor(load(path)), paths)

        paths = [path for path, _ in dataset.samples]
        if cache is None:
            images = torch.stack(list(decode_all()))
        else:  # what a transform does is seen best in what it makes of an image
            probe = to_tensor(Image.linear_gradient("L").resize((97, 61)).convert(dataset.mode))
            file = Path(cache, f"{_fingerprint(paths, dataset.mode, draft, probe.tolist())}.npy")
            if not file.exists():
                _write_images(decode_all(), (len(dataset), *probe.shape), file)
            images = torch.from_numpy(np.load(file, mmap_mode="c"))  # writes stay in memory
        targets = torch.tensor(dataset.targets, dtype=torch.int64)
        return cls(images, targets, dataset.classes, **transforms)


def _fingerprint(paths: list[str], *settings: object) -> str:
    """Make a name that changes with the files and with what is done to them."""
    stats = [os.stat(path) if os.path.exists(path) else None for path in paths]
    times = [(stat.st_size, stat.st_mtime_ns) if stat else None for stat in stats]
    key = repr([settings, [os.path.abspath(path) for path in paths], times])
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _write_images(images: Iterable[Tensor], shape: tuple[int, ...], file: Path) -> None:
    """Write images into a `.npy` file one by one; the file appears when it is complete."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            with open(Path(folder, file.name), "wb") as stream:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(stream, header)
                stream.writelines(image.numpy().tobytes() for image in images)
            os.replace(Path(folder, file.name), file)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{file.parent} could not be written ({reason}).") from error


def make_loader(
    dataset: Dataset,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    sampler: Sampler | None = None,
    num_workers: int = 0,
) -> DataLoader:
    """Make a loader of batches (images, targets) whose order depends only on the seed."""
    base = dataset
    while isinstance(base, Subset):
        base = base.dataset
    return DataLoader(
        dataset,
        batch_size,
        shuffle,
        sampler,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(seed),
        collate_fn=getattr(base, "collate", None),
        # Copies to a GPU are faster from pinned memory; without one, pinning only warns.
        pin_memory=torch.cuda.is_available(),
    )


def split_folders(root: str | Path) -> dict[str, Path]:
    """Find train/, val/ and test/ (or other usual names); empty if the classes lie in the root.

    Only a folder that holds class folders is a split: a folder `train` with images is a class.
    """
    found, others = {}, []
    for folder in subfolders(Path(root)):
        inside = subfolders(folder)
        if [path.name for path in inside] == [folder.name]:  # some archives repeat the name
            folder, inside = inside[0], subfolders(inside[0])
        name = folder.name.lower()
        split = next((split for split, names in SPLIT_NAMES.items() if name in names), None)
        if split is None:
            others.append(folder)
        elif inside:
            found.setdefault(split, folder)
    if found and "train" not in found:
        names = " and ".join(folder.name for folder in found.values())
        raise DataError(f"{root} has {names} with class folders but no train; add or rename it.")
    if len(found) == 1 and (classes := [folder.name for folder in others if image_files(folder)]):
        raise DataError(
            f"It is not clear whether {found['train'].name} in {root} is the training set or a "
            f"class beside {', '.join(classes)}; rename it or move the others."
        )
    return {split: found[split] for split in SPLIT_NAMES if split in found}


def has_splits(root: str | Path) -> bool:
    """Say whether a folder is divided into splits; see `split_folders`."""
    return bool(split_folders(root))


def load_splits(data: str | Path, mode: str | None = None, seed: int = 0) -> dict[str, ImageFiles]:
    """Return the splits "train", "val" and "test" of a dataset.

    What is missing is split off, stratified: a folder without splits, or with only train/, is
    divided 60 : 20 : 20; a missing validation set is a fifth of the training set. Without test/,
    the validation set becomes the test set.

    Args:
        data: A name of the catalog or the path of a folder.
        mode: "RGB" or "L"; by default "L" if all images of all splits are gray.
        seed: Seed of the division.
    """
    root = find_dataset(data)
    parts = {split: image_folder(path, mode="RGB") for split, path in split_folders(root).items()}
    if len(parts) < 2:
        whole = parts["train"] if parts else image_folder(root, mode="RGB")
        parts = _divide(whole, {"train": 0.6, "val": 0.2, "test": 0.2}, seed)
    for split, part in parts.items():
        if odd := set(part.classes) ^ set(parts["train"].classes):
            raise DataError(
                f"The classes of {split} and train differ in {root}: {', '.join(sorted(odd))}."
            )
    if "test" not in parts:
        parts["test"] = parts.pop("val")
    if "val" not in parts:
        parts |= _divide(parts["train"], {"train": 0.8, "val": 0.2}, seed)
    mode = mode or common_mode(path for part in parts.values() for path, _ in part.samples)
    for part in parts.values():
        part.mode = mode
    return {split: parts[split] for split in SPLIT_NAMES}


def _divide(
    dataset: ImageFiles, fractions: Mapping[str, float], seed: int
) -> dict[str, ImageFiles]:
    names = [dataset.classes[label] for label in dataset.targets]
    parts = stratified_split(names, fractions, seed)
    return {part: dataset.subset(indices) for part, indices in parts.items()}


def stratified_split(
    targets: Sequence[int | str], fractions: Mapping[str, float], seed: int = 0
) -> dict[str, list[int]]:
    """Divide indices at random so that every part has the same mix of classes.

    Args:
        targets: The class index or name of each image.
        fractions: The share of each part; together 1.
        seed: Seed of the shuffling.

    Returns:
        The indices of each part in ascending order. Every class is in every part.
    """
    shares = np.array(list(fractions.values()))
    if not (shares > 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise DataError(f"Fractions must be positive and add up to 1, not {dict(fractions)}.")
    generator = np.random.default_rng(seed)
    targets = np.asarray(targets)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for label in np.unique(targets):
        indices = generator.permutation(np.flatnonzero(targets == label))
        if len(indices) < len(parts):
            raise DataError(
                f"Class {label} has {len(indices)} images, too few for {len(parts)} parts; add "
                f"images or remove the class."
            )
        cuts = np.round(np.cumsum(shares)[:-1] * len(indices)).astype(int)
        for number in range(len(cuts)):  # at least one for each part
            least = cuts[number - 1] + 1 if number else 1
            cuts[number] = np.clip(cuts[number], least, len(indices) - len(cuts) + number)
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

    About `max_images` per split are kept, for quick trials. `transform` replaces normalization by
    the mean and standard deviation of the training images.
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
    """Keep the first images of each class, about `max_images` in all and at least two per class."""
    per_class = max(2, max_images // len(dataset.classes))
    targets = np.array(dataset.targets)
    chosen = [np.flatnonzero(targets == label)[:per_class] for label in np.unique(targets)]
    return dataset.subset(np.sort(np.concatenate(chosen)).tolist())
