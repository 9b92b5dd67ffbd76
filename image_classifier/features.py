"""Compute features of many image files: in a pipeline, with a cache and several processes."""

import copy
import hashlib
import sqlite3
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils.errors import CourseError, DataError
from course_utils.paths import output_folder
from course_utils.progress import progress
from course_utils.training import amp_dtype, mixed_precision
from image_classifier.model import ImageClassifier

BATCH_SIZE = 32
DECODING = 2  # increase it when image files are decoded to different pixels than before


class _ConvTracer(fx.Tracer):
    """Treats convolutions and batch norms, including those of timm, as leaf modules."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        is_leaf = isinstance(m, nn.Conv2d | nn.BatchNorm2d)
        return is_leaf or super().is_leaf_module(m, module_qualified_name)


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """Copy a network for prediction, with each batch norm folded into the convolution before it.

    In eval mode, the outputs are the same up to floating-point error (Jacob et al. 2018, section
    3.2). Tracing finds the layer before each batch norm.
    """
    net = copy.deepcopy(net).eval()
    calls = [node for node in _ConvTracer().trace(net).nodes if node.op == "call_module"]
    names = [node.target for node in calls]
    modules = dict(net.named_modules())
    for node in calls:
        before, norm = node.all_input_nodes[0], modules[node.target]
        conv = modules.get(before.target) if before.op == "call_module" else None
        once = len(before.users) == names.count(node.target) == names.count(before.target) == 1
        if once and isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            net.set_submodule(before.target, fuse_conv_bn_eval(conv, norm))
            # timm's batch norm includes the activation.
            net.set_submodule(node.target, getattr(norm, "act", nn.Identity()))
    return net.requires_grad_(False)


class FeatureCache:
    """A cache of features on disk; the key is the content of the image file and the setting."""

    def __init__(self, path: Path, setting: str) -> None:
        """Open or create an SQLite file, which several processes may share."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.setting = setting
        self.connection = sqlite3.connect(path, timeout=60)
        with self.connection:
            self.connection.execute(
                "CREATE TABLE IF NOT EXISTS features (digest, setting, vector, "
                "PRIMARY KEY (digest, setting)) WITHOUT ROWID"
            )

    def get(self, digest: str) -> Tensor | None:
        """Return the features of the file with this digest, or None."""
        query = "SELECT vector FROM features WHERE digest = ? AND setting = ?"
        row = self.connection.execute(query, (digest, self.setting)).fetchone()
        return torch.frombuffer(bytearray(row[0]), dtype=torch.float16) if row else None

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def put(self, digests: Sequence[str], features: Tensor) -> None:
        """Store float16 features (count, num_features) in one transaction."""
        pairs = zip(digests, features.numpy(), strict=True)
        rows = [(digest, self.setting, vector.tobytes()) for digest, vector in pairs]
        with self.connection:
            self.connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", rows)


def file_digests(paths: Sequence[str]) -> list[str]:
    """Compute the first 16 hexadecimal digits of the SHA-256 of each file; "" if unreadable."""

    def digest(path: str) -> str:
        try:
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()[:16]
        except OSError:
            return ""  # decoding reports why

    with ThreadPoolExecutor() as threads:
        return list(progress(threads.map(digest, paths), "reading files", len(paths)))


def distinct_indices(digests: Sequence[str], leave_out: Collection[str] = ()) -> list[int]:
    """Return the indices of distinct files (the first of copies), without those to leave out."""
    first = {digest: index for index, digest in reversed([*enumerate(digests)])}
    return sorted(first[digest] for digest in first.keys() - set(leave_out))


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes; (0, 1) without torchrun."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def compute_features(
    classifier: ImageClassifier, paths: Sequence[str], digests: Sequence[str] | None = None
) -> tuple[Tensor, dict[int, str]]:
    """Compute the features of image files, with folded batch norm and mixed precision.

    Threads decode images while the network computes. With `digests` of the files, features are
    cached on disk. In a process group of `torch.distributed`, each process computes a part.

    Returns:
        Features of shape (count, num_features), zeros for unreadable files; and the error messages
        of those by index.
    """
    rank, world_size = rank_and_world_size()
    part = range(rank, len(paths), world_size)
    features = torch.zeros(len(paths), classifier.net.backbone.num_features)
    problems: dict[int, str] = {}
    if digests is None:
        results = _computed(classifier, paths, part, problems)
    else:
        results = _cached(classifier, paths, part, problems, digests)
    for indices, values in results:
        features[indices] = values.float()
    return _gather(features, problems) if world_size > 1 else (features, problems)


def _computed(
    classifier: ImageClassifier, paths: Sequence[str], wanted: Sequence[int], problems: dict
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield indices and float16 features in batches; collect problems."""
    compute = feature_function(classifier)
    for indices, images in _batches(classifier, paths, wanted, problems):
        yield indices, compute(images)


def _cached(
    classifier: ImageClassifier,
    paths: Sequence[str],
    wanted: Sequence[int],
    problems: dict,
    digests: Sequence[str],
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the same, from the cache where possible; compute identical files only once."""
    copies: dict[str | int, list[int]] = {}
    for index in wanted:
        copies.setdefault(digests[index] or index, []).append(index)
    copies_of = {indices[0]: indices for indices in copies.values()}
    path = output_folder("cache") / "features.sqlite"
    try:
        with closing(FeatureCache(path, _setting(classifier))) as cache:
            missing = []
            for index, indices in copies_of.items():
                if (vector := cache.get(digests[index])) is None:
                    missing.append(index)
                else:
                    yield indices, vector
            for indices, values in _computed(classifier, paths, missing, problems):
                cache.put([digests[index] for index in indices], values)
                for index, vector in zip(indices, values, strict=True):
                    yield copies_of[index], vector
    except sqlite3.Error as error:
        raise CourseError(f"{path} cannot be used ({error}). Delete this file.") from error
    for index in problems.keys() & copies_of.keys():
        problems |= dict.fromkeys(copies_of[index], problems[index])


def _setting(classifier: ImageClassifier) -> str:
    """Return a key for everything but the image file that features depend on."""
    digest = hashlib.sha256()
    for tensor in classifier.net.backbone.state_dict().values():
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy())
    device = classifier.mean.device
    parts = DECODING, classifier.backbone, classifier.image_size, classifier.resize_mode
    return " ".join(map(str, (*parts, digest.hexdigest()[:16], device.type, amp_dtype(device))))


def feature_function(classifier: ImageClassifier) -> Callable[[Tensor], Tensor]:
    """Return a function that computes float16 features, as cached, from uint8 images."""
    backbone = fold_batch_norm(classifier.net.backbone).to(memory_format=torch.channels_last)
    device = classifier.mean.device

    @torch.inference_mode()
    def compute(images: Tensor) -> Tensor:
        with mixed_precision(device):
            return backbone(classifier.normalize(images.to(device))).half().cpu()

    return compute


def _batches(
    classifier: ImageClassifier, paths: Sequence[str], wanted: Sequence[int], problems: dict
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield indices and uint8 images in batches, decoded two batches ahead; collect problems."""

    def decode(index: int) -> Tensor | str:
        try:
            return classifier.load(paths[index])
        except DataError as error:
            return str(error)

    batches = [wanted[start : start + BATCH_SIZE] for start in range(0, len(wanted), BATCH_SIZE)]
    with ThreadPoolExecutor() as threads:
        ahead = deque([threads.submit(decode, i) for i in batch] for batch in batches[:2])
        for number, batch in enumerate(progress(batches, "computing features")):
            if number + 2 < len(batches):
                ahead.append([threads.submit(decode, index) for index in batches[number + 2]])
            decoded = {i: task.result() for i, task in zip(batch, ahead.popleft(), strict=True)}
            problems |= {i: value for i, value in decoded.items() if isinstance(value, str)}
            images = {i: value for i, value in decoded.items() if isinstance(value, Tensor)}
            if images:
                yield list(images), torch.stack(list(images.values()))


def _gather(features: Tensor, problems: dict[int, str]) -> tuple[Tensor, dict[int, str]]:
    """Combine the results of all processes."""
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    features = features.to(device)  # zeros where another process computed
    dist.all_reduce(features)
    everyone: list[dict] = [{}] * dist.get_world_size()
    dist.all_gather_object(everyone, problems)
    return features.cpu(), {k: v for part in everyone for k, v in part.items()}
