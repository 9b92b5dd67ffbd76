"""Images and their labels, from a folder, from an index file, or all in memory.

Every dataset here follows torchvision's `image_folder`: `classes`, `class_to_idx`, `samples`,
`targets` and `transform` mean the same everywhere, and `dataset[i]` is `(image, label)`.
"""

import os
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from course_utils.cache import fingerprint, read_images, write_images
from course_utils.catalog import find_dataset, missing_folder
from course_utils.errors import DataError
from course_utils.image_io import common_mode, image_files, is_image_name, load_image
from course_utils.paths import output_folder
from course_utils.statistics import mean_and_std
from course_utils.transforms import resize_to_square, scale_and_normalize

SPLIT_NAMES = {
    "train": ("train", "training", "seg_train"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing", "seg_test"),
}


class ImageFiles(Dataset):
    """Images given as a list of files and labels; the base of the datasets on disk.

    Attributes:
        samples: Pairs of path and class index.
        targets: The class indices alone, without opening a file.
        classes: Class names; the position of a name is its index.
        class_to_idx: From class name to index.
    """

    def __init__(
        self,
        samples: Sequence[tuple[str, int]],
        classes: Sequence[str],
        transform: Callable | None = None,
        mode: str = "RGB",
    ) -> None:
        """Keep the list; no file is opened.

        Args:
            samples: Pairs of path and class index.
            classes: Class names in the order of their indices.
            transform: What happens to each image; it takes a PIL image.
            mode: "RGB" or "L"; see `load_image`.
        """
        self.samples = list(samples)
        self.classes = list(classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.targets = [label for _, label in self.samples]
        self.transform = transform
        self.mode = mode

    def __len__(self) -> int:
        """Count the images."""
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Load one image.

        Args:
            index: From 0 to `len(self) - 1`.

        Returns:
            The image after the transform (a PIL image if there is none) and its class index.
        """
        path, label = self.samples[index]
        image = load_image(path, self.mode)
        return (image if self.transform is None else self.transform(image)), label

    def subset(self, indices: Iterable[int], transform: Callable | None = None) -> "ImageFiles":
        """Make a dataset of some of the images, with a transform of its own.

        Unlike `torch.utils.data.Subset`, the parts share nothing: augmenting the one for training
        leaves the one for validation as it is.

        Args:
            indices: Which images, in the order wanted.
            transform: The transform of the new dataset.

        Returns:
            A new dataset of the same classes.
        """
        samples = [self.samples[index] for index in indices]
        return ImageFiles(samples, self.classes, transform, self.mode)

    def __repr__(self) -> str:
        """Name what a reader wants to know at a glance."""
        return f"{type(self).__name__}: {len(self)} images of {len(self.classes)} classes"


class image_folder(ImageFiles):
    """A folder with one subfolder a class, as `torchvision.datasets.ImageFolder` reads it.

    The classes are the names of the subfolders in alphabetical order. Images are found at any
    depth below them. Hidden files and folders are passed over.

    Example:
        >>> dataset = image_folder("build/data/cutouts/train")
        >>> dataset.classes
        ['birds', 'flowers', 'fruit', 'mammals', 'vegetables', 'vehicles']
    """

    def __init__(
        self,
        root: str | Path,
        transform: Callable | None = None,
        mode: str | None = None,
        skip_unreadable: bool = False,
    ) -> None:
        """List the files of a folder.

        Args:
            root: The folder that holds one subfolder a class.
            transform: What happens to each image; it takes a PIL image.
            mode: "RGB" or "L"; when left out, "L" if all images are gray.
            skip_unreadable: Decode every image once and leave out, with a line for each, what
                cannot be read. Otherwise a damaged file raises an error when its turn comes.

        Raises:
            DataError: There is no such folder, it has no images, or they lie in the wrong place.
        """
        self.root = Path(root)
        classes = class_folders(self.root)
        samples = [
            (path, label)
            for label, name in enumerate(classes)
            for path in image_files(self.root / name)
        ]
        if not samples:
            kinds = ", ".join(IMG_EXTENSIONS)
            raise DataError(f"No images in {root}: its subfolders hold no file of these: {kinds}.")
        if skip_unreadable:
            samples = [sample for sample in samples if _is_readable(sample[0])]
        mode = mode or common_mode(path for path, _ in samples)
        super().__init__(samples, classes, transform, mode)


def class_folders(root: Path) -> list[str]:
    """List the subfolders of a folder of images, one a class, in alphabetical order.

    Args:
        root: The folder.

    Returns:
        At least two names.

    Raises:
        DataError: The folder is missing, or its form is not the one that is needed.
    """
    if not root.is_dir():
        raise missing_folder(root)
    names = sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."
    )
    if len(names) >= 2:
        return names
    form = "one subfolder for each class, for example cats/ and dogs/"
    if any(is_image_name(entry.name) for entry in os.scandir(root)):
        raise DataError(f"The images lie directly in {root}; sort them into {form}.")
    if not names:
        raise DataError(f"{root} is empty; it needs {form}.")
    raise DataError(
        f"{root} holds only one class ({names[0]}); a classifier needs two or more: {form}."
    )


def _is_readable(path: str) -> bool:
    try:
        load_image(path)
    except DataError as error:
        print(f"left out: {error}")
        return False
    return True


class read_label_file(ImageFiles):
    r"""Images listed in a text file with one line `path label` for each.

    The label is what follows the last space or tab, so paths may hold spaces. Relative paths start
    at the folder of the index file, `/` and `\` both separate folders, and empty lines and lines
    that start with `#` are passed over. A comment `# classes: name, name, …` gives the class
    names; without it the labels that occur are the names.
    """

    def __init__(
        self, path: str | Path, transform: Callable | None = None, mode: str | None = None
    ) -> None:
        """Read the index file; no image is opened.

        Args:
            path: The index file, in UTF-8.
            transform: What happens to each image; it takes a PIL image.
            mode: "RGB" or "L"; when left out, "L" if all images are gray.

        Raises:
            DataError: The file is missing, a line has no label, or no line lists an image.
        """
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8-sig").split("\n")
        except FileNotFoundError:
            raise DataError(f"There is no index file {path}.") from None
        except UnicodeDecodeError:
            raise DataError(f"{path} is no text in UTF-8; save it as UTF-8 again.") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror or error}).") from None
        names, pairs = _parse_index(lines, path)
        if not pairs:
            raise DataError(f"{path} lists no images.")
        labels = {label for _, _, label in pairs}
        classes = names or sorted(
            labels, key=lambda label: (not label.isdecimal(), len(label), label)
        )
        if len(set(classes)) < len(classes):
            raise DataError(f"{path} names a class twice: {', '.join(classes)}.")
        samples = [
            (_resolve(entry, path.parent), _class_index(label, classes, names, path, number))
            for number, entry, label in pairs
        ]
        super().__init__(samples, classes, transform, mode or common_mode(p for p, _ in samples))


def _parse_index(
    lines: list[str], path: Path
) -> tuple[list[str] | None, list[tuple[int, str, str]]]:
    """Give the class names, if the file has them, and number, path and label of each line."""
    names, pairs = None, []
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if line.startswith("# classes:"):
            names = [name.strip() for name in line.removeprefix("# classes:").split(",")]
        elif line and not line.startswith("#"):
            parts = line.rsplit(maxsplit=1)
            if len(parts) < 2:
                raise DataError(f"{path}, line {number} has no label: {line!r}.")
            pairs.append((number, *parts))
    return names, pairs


def _class_index(
    label: str, classes: list[str], names: list[str] | None, path: Path, number: int
) -> int:
    """Turn a label of an index file, a number or a name, into the index of its class."""
    if names is not None and label.isdecimal() and len(label) < 10 and int(label) < len(names):
        return int(label)
    if label not in classes:
        raise DataError(f"{path}, line {number}: there is no class {label!r} in {classes}.")
    return classes.index(label)


def _resolve(entry: str, folder: Path) -> str:
    """Read a path as it was written on any system, relative to the index file's folder."""
    entry = entry.strip("\"'")
    if PureWindowsPath(entry).is_absolute() or PurePosixPath(entry).is_absolute():
        return entry
    return str(folder / PurePosixPath(entry.replace("\\", "/")))


def write_label_file(dataset: ImageFiles, path: str | Path) -> None:
    """Write the images of a dataset as an index file that `read_label_file` reads back.

    Args:
        dataset: Images on disk.
        path: The text file to write; paths in it are relative to its folder where possible.

    Raises:
        DataError: A name of a file or class cannot stand in such a file, for example one with a
            line break; nothing is written.
    """
    path = Path(path)
    lines = [f"# classes: {', '.join(dataset.classes)}"]
    for sample, label in dataset.samples:
        try:
            entry = Path(os.path.relpath(sample, path.parent)).as_posix()
        except ValueError:  # another drive on Windows
            entry = Path(sample).as_posix()
        if entry[0] in "#\"'":
            entry = f"./{entry}"
        lines.append(f"{entry} {label}")
        if not _reads_back(lines[-1], entry, path):
            raise DataError(f"{sample!r} cannot stand in an index file; give it a plainer name.")
    if _parse_index(lines[:1], path)[0] != dataset.classes or "\n" in lines[0]:
        raise DataError(
            f"A class name cannot stand in an index file: {dataset.classes}. Names have no comma, "
            f"no line break, and no space at either end."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _reads_back(line: str, entry: str, path: Path) -> bool:
    """Say whether a line is read as the file that it was written for."""
    if any(character in line for character in "\r\n\\") or not line.isprintable():
        return False
    [(_, read, _)] = _parse_index([line], path)[1]
    return read == entry == read.strip("\"'")


class InMemoryDataset(Dataset):
    """All images decoded once and kept as one uint8 tensor; the way to train on small images.

    `__getitems__` hands a whole batch to the loader at once, which saves most of the time that a
    loader otherwise spends on calling `__getitem__` and stacking the results. Since the batch is
    whole already, the loader must not stack it again: `make_loader` sees to that, a `DataLoader`
    of one's own needs `collate_fn=InMemory.collate`.

    Attributes:
        images: uint8 tensor of shape (count, channels, height, width).
        targets: int64 tensor of shape (count,).
        classes: Class names in the order of their indices.
    """

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        classes: Sequence[str],
        transform: Callable | None = None,
        batch_transform: Callable | None = None,
    ) -> None:
        """Keep the tensors.

        Args:
            images: uint8 tensor of shape (count, channels, height, width).
            targets: int64 tensor of shape (count,).
            classes: Class names in the order of their indices.
            transform: What happens to each image on its own; random transforms belong here, so
                that every image draws its own numbers.
            batch_transform: What happens to a whole batch at once, after `transform`; what treats
                every image alike belongs here, such as scaling and normalizing.

        Raises:
            ValueError: The tensors do not fit together.
        """
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images must be uint8 of four dimensions, not {images.shape}.")
        if len(images) != len(targets):
            raise ValueError(f"{len(images)} images but {len(targets)} targets.")
        self.images = images
        self.targets = targets
        self.classes = list(classes)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.transform = transform
        self.batch_transform = batch_transform

    @classmethod
    def decode(
        cls,
        dataset: ImageFiles,
        resize: Callable,
        draft: int | None = None,
        cache: str | Path | None = None,
        **transforms: Callable,
    ) -> "InMemoryDataset":
        """Decode a dataset on disk, on as many cores as torch uses.

        Args:
            dataset: Images on disk; its own transform is not used.
            resize: Brings a PIL image to the common size, for example `transforms.resize(64)`; it
                draws no random numbers. With `draft`, a transform of torchvision is given a tensor.
            draft: See `load_image`; the size of the result is a good choice for large photographs.
                torch then does the resizing, faster than Pillow and to within 1 of 255.
            cache: A folder to keep the decoded images in: the next time they are read from there,
                unless a file was changed, or the way it is decoded.
            **transforms: `transform` and `batch_transform` of the result.

        Returns:
            The same images and labels in memory, or mapped into it from the cache.

        Raises:
            DataError: An image cannot be read, or the cache not be written.

        Example:
            >>> train = InMemory.decode(image_folder("photos/train"), resize(64))
        """
        targets = torch.tensor(dataset.targets, dtype=torch.int64)
        if cache is None:
            images = torch.stack(list(_decode_all(dataset, resize, draft)))
        else:
            paths = [path for path, _ in dataset.samples]
            # What a transform does is seen best in what it makes of an image.
            gradient = Image.linear_gradient("L").resize((97, 61)).convert(dataset.mode)
            probe = _to_tensor(gradient, resize, draft).numpy()
            name = fingerprint(paths, dataset.mode, draft, probe.tobytes(), repr(probe.shape))
            file = Path(cache) / f"{name}.npy"
            if not file.exists():
                write_images(_decode_all(dataset, resize, draft), len(dataset), file)
            images = read_images(file)
        return cls(images, targets, dataset.classes, **transforms)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Give one image and its class index."""
        images, targets = self.__getitems__([index])
        return images[0], targets[0]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Give a batch: images of shape (len(indices), channels, height, width) and targets."""
        images = self.images[indices]
        if self.transform is not None:
            images = torch.stack([self.transform(image) for image in images])
        if self.batch_transform is not None:
            images = self.batch_transform(images)
        return images, self.targets[indices]

    @staticmethod
    def collate(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Give a batch of `__getitems__` as it is."""
        return batch

    def __repr__(self) -> str:
        """Name what a reader wants to know at a glance."""
        return f"InMemory: {tuple(self.images.shape)} uint8, {len(self.classes)} classes"


def _decode_all(dataset: ImageFiles, resize: Callable, draft: int | None) -> Iterator[Tensor]:
    """Decode images in order; threads suffice, since Pillow lets them work at the same time."""

    def decode(sample: tuple[str, int]) -> Tensor:
        image = load_image(sample[0], dataset.mode, "white", draft)
        return _to_tensor(image, resize, draft)

    with (
        warnings.catch_warnings(action="ignore"),
        ThreadPoolExecutor(torch.get_num_threads()) as threads,
    ):
        yield from threads.map(decode, dataset.samples)


def _to_tensor(image: Image.Image, resize: Callable, draft: int | None) -> Tensor:
    """Bring an image to the common size; see `InMemory.decode`."""
    if draft is not None and isinstance(resize, v2.Transform):
        return resize(F.pil_to_tensor(image))
    return F.pil_to_tensor(resize(image))


def _seed_worker(worker_id: int) -> None:
    """Seed Python's generator in a worker too; torch seeds its own and NumPy's."""
    random.seed(torch.initial_seed())


def make_loader(
    dataset: Dataset,
    batch_size: int,
    shuffle: bool = False,
    seed: int = 0,
    sampler: Sampler | None = None,
    num_workers: int = 0,
) -> DataLoader:
    """Make a loader whose order depends on the seed and on nothing else.

    Args:
        dataset: Any dataset of this module, or of torchvision.
        batch_size: Images in a batch; the last batch may be smaller.
        shuffle: Whether to draw a new order every epoch; True for training.
        seed: Of the loader's own generator.
        sampler: Chooses the images instead of `shuffle`.
        num_workers: Processes that load images. 0 loads in this process, which is the fastest for
            images in memory and always works; see notebook 01.

    Returns:
        A loader of batches (images, targets).
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=shuffle,
        sampler=sampler,
        num_workers=num_workers,
        generator=torch.Generator().manual_seed(seed),
        worker_init_fn=_seed_worker if num_workers else None,
        collate_fn=InMemoryDataset.collate if isinstance(dataset, InMemoryDataset) else None,
        # Copies to a GPU are faster from pinned memory; without one, pinning only warns.
        pin_memory=torch.cuda.is_available(),
    )


def load_splits(data: str | Path, mode: str | None = None, seed: int = 0) -> dict[str, ImageFiles]:
    """Give the training, validation and test images of a set of the catalog or of any folder.

    A folder may hold train/, val/ and test/ (some other usual names are known) with one subfolder
    a class in each, or directly one subfolder a class. What is missing is split off, stratified: a
    folder without splits is divided 60 : 20 : 20, a missing validation set is a fifth of the
    training set, and where only training and validation sets exist, the given validation set
    becomes the test set.

    Args:
        data: A name of the catalog or the path of a folder.
        mode: "RGB" or "L"; when left out, "L" if all images are gray.
        seed: Of the splits that have to be drawn.

    Returns:
        The keys "train", "val" and "test", each with a dataset of its own and the same classes.

    Raises:
        DataError: The folder is missing or its form is not one of these.
    """
    root = find_dataset(data)
    folders = {split: _split_folder(root, names) for split, names in SPLIT_NAMES.items()}
    if folders["train"] is None:
        whole = image_folder(root, mode=mode)
        parts = stratified_split(whole.targets, {"train": 0.6, "val": 0.2, "test": 0.2}, seed)
        return {split: whole.subset(indices) for split, indices in parts.items()}
    given = {
        split: image_folder(folder, mode=mode)
        for split, folder in folders.items()
        if folder is not None
    }
    _check_same_classes(given, root)
    if "test" not in given and "val" in given:
        given["test"] = given.pop("val")
    for missing in {"val", "test"} - given.keys():
        parts = stratified_split(given["train"].targets, {"rest": 0.8, missing: 0.2}, seed)
        given[missing] = given["train"].subset(parts[missing])
        given["train"] = given["train"].subset(parts["rest"])
    return {split: given[split] for split in SPLIT_NAMES}


def has_splits(root: Path) -> bool:
    """Say whether a folder holds train/, val/ or test/, or other usual names of these."""
    return any(_split_folder(root, names) for names in SPLIT_NAMES.values())


def _split_folder(root: Path, names: Sequence[str]) -> Path | None:
    """Find the folder of a split; some archives nest it in another one of the same name."""
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and entry.name.lower() in names:
            return entry / entry.name if (entry / entry.name).is_dir() else entry
    return None


def _check_same_classes(splits: dict[str, image_folder], root: Path) -> None:
    """Refuse splits whose classes differ: the same index would mean different things."""
    classes = splits["train"].classes
    for split, dataset in splits.items():
        if odd := set(dataset.classes) ^ set(classes):
            raise DataError(
                f"The classes of {split} and train differ in {root}: {', '.join(sorted(odd))} "
                f"{'is' if len(odd) == 1 else 'are'} only in one of them."
            )


def stratified_split(
    targets: Sequence[int], fractions: Mapping[str, float], seed: int = 0
) -> dict[str, list[int]]:
    """Divide indices at random so that every part has the same mix of classes.

    Each class is shuffled and cut on its own. A class with as many images as there are parts, or
    more, is in every part.

    Args:
        targets: The class index of each image.
        fractions: The share of each part; together 1.
        seed: Of the shuffling.

    Returns:
        The indices of each part in ascending order. Every index is in exactly one part.

    Raises:
        DataError: A fraction is not more than 0, or they do not add up to 1, or there are no
            images, or a class has fewer of them than there are parts.

    Example:
        >>> parts = stratified_split([0, 0, 0, 1, 1, 1], {"train": 0.67, "test": 0.33})
        >>> [len(indices) for indices in parts.values()]
        [4, 2]
    """
    for name, fraction in fractions.items():
        if not fraction > 0:  # NaN neither
            raise DataError(f"The fraction of {name!r} must be more than 0, not {fraction:g}.")
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise DataError(f"The fractions add up to {sum(fractions.values()):.7g}, not to 1.")
    if len(targets) == 0:
        raise DataError("There are no images to divide: is the dataset empty?")
    generator = np.random.default_rng(seed)
    targets = np.asarray(targets)
    parts: dict[str, list[int]] = {name: [] for name in fractions}
    for label in np.unique(targets):
        indices = generator.permutation(np.flatnonzero(targets == label))
        if len(indices) < len(parts):
            raise DataError(
                f"Class {label} has {len(indices)} images, too few for {len(parts)} parts; add "
                f"images or leave the class out."
            )
        for name, chosen in zip(
            parts, np.split(indices, _cuts(len(indices), fractions)), strict=True
        ):
            parts[name].extend(chosen.tolist())
    return {name: sorted(indices) for name, indices in parts.items()}


def _cuts(count: int, fractions: Mapping[str, float]) -> list[int]:
    """Place the cuts so that each part has at least one of `count` items."""
    shares = np.cumsum(list(fractions.values()))[:-1]
    cuts = np.round(shares * count).astype(int)
    for number in range(len(cuts)):
        at_least = (cuts[number - 1] if number else 0) + 1
        at_most = count - (len(cuts) - number)
        cuts[number] = min(max(cuts[number], at_least), at_most)
    return cuts.tolist()


def load_in_memory(
    data: str | Path,
    image_size: int,
    mode: str | None = None,
    max_images: int | None = None,
    transform: Callable | None = None,
    seed: int = 0,
    fast: bool = False,
) -> dict[str, InMemoryDataset]:
    """Load the training, validation and test images of a set, all of one size and normalized.

    Args:
        data: A name of the catalog or the path of a folder; see `datasets.load_splits`.
        image_size: The side of the images in pixels; they are padded to a square.
        mode: "RGB" or "L"; when left out, "L" if all images are gray.
        max_images: About how many images of each part to keep, for quick trials; None keeps all.
        transform: Turns a batch of uint8 images into what the network sees. When left out, the
            mean and standard deviation of the training images normalize all three parts.
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
        name: InMemoryDataset.decode(part, resize_to_square(image_size), **options)
        for name, part in parts.items()
    }
    transform = transform or scale_and_normalize(*mean_and_std(make_loader(memory["train"], 256)))
    for part in memory.values():
        part.batch_transform = transform
    return memory


def first_of_each_class(dataset: ImageFiles, max_images: int) -> ImageFiles:
    """Keep the first images of each class, equally many where there are enough.

    Args:
        dataset: Images on disk.
        max_images: How many to keep in all; at least two of each class are kept.

    Returns:
        A smaller dataset of the same classes, in the same order.
    """
    per_class = max(2, max_images // len(dataset.classes))
    targets = np.array(dataset.targets)
    chosen = [np.flatnonzero(targets == label)[:per_class] for label in np.unique(targets)]
    return dataset.subset(np.sort(np.concatenate(chosen)).tolist())
