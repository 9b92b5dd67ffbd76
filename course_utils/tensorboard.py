"""Follow training in TensorBoard, and read its logs back without it.

>>> logger = TensorBoardLogger("build/logs/first run", {"train": train_loader, "val": val_loader})
>>> fit(model, train_loader, val_loader, optimizer, epochs=5, callbacks=[logger])
>>> read_logs("build/logs", "scalars")

TensorFlow is not needed.
"""

import copy
import re
import shutil
import struct
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.data_compat import migrate_event
from tensorboard.plugins.hparams import summary_v2
from tensorboard.util.tensor_util import make_ndarray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from course_utils import plots
from course_utils.checkpoints import get_random_state, set_random_state
from course_utils.evaluation import confusion_matrix, predict_logits
from course_utils.models import count_parameters
from course_utils.training import Callback, TrainerState

PARTS = (
    "scalars",
    "images",
    "histograms",
    "graph",
    "confusion_matrix",
    "pr_curves",
    "embedding",
    "text",
    "hparams",
)
QUANTITIES = ("loss", "accuracy")
IMAGES_SHOWN = 16
IMAGE_SIZE = 112  # pixels
POINTS_SHOWN = 500  # in the projector
SPRITE = 32  # pixels; browsers refuse sprites of more than 8192 pixels in all


class LogError(RuntimeError):
    """Logs cannot be written or read; the message says why and what to do."""


class TensorBoardLogger(Callback):
    """Writes everything about a training run that TensorBoard can show.

    What belongs to one set of images is written into a run of its own (`<folder>/train`,
    `<folder>/val`) under the same tag, so that TensorBoard draws both in one chart. Everything
    else is written into `<folder>`. The step is the epoch everywhere, except in `<folder>/batches`.

    Network, loaders and random generators are left as they were: the training comes out the same,
    bit for bit, as without the logger. A run that starts anew replaces the logs which an earlier
    one left in its folder; one that `fit` resumes goes on with them.

    Attributes:
        seconds: The time that logging has taken so far; TensorBoard shows it too.
    """

    def __init__(
        self,
        folder: str | Path,
        loaders: Mapping[str, DataLoader],
        hparams: Mapping[str, bool | float | str] | None = None,
        skip: Sequence[str] = (),
        every: int = 0,
    ) -> None:
        """Say where to write what.

        Args:
            folder: The run; its name is what TensorBoard shows.
            loaders: What to predict after each epoch, by name: "train" and "val", and others if you
                like. Batches (images, targets), neither shuffled nor augmented.
            hparams: The settings of this run, for comparing it with others.
            skip: The `PARTS` to leave out.
            every: Log loss and learning rate after every so many batches, too; 0 never does.

        Raises:
            ValueError: There is no such part.
        """
        unknown = sorted(set(skip) - set(PARTS))
        if unknown:
            raise ValueError(
                f"There is no part {unknown[0]!r} to skip; choose of: {', '.join(PARTS)}."
            )
        self.folder = Path(folder)
        self.loaders = dict(loaders)
        self.hparams = dict(hparams or {})
        self.parts = set(PARTS) - set(skip)
        self.every = every
        self.seconds = 0.0
        self.batch = 0
        self._seconds_shown = 0.0
        self._rates: list[float] = []
        self._writers: dict[str, SummaryWriter] = {}
        self._first_epoch = 1

    def on_train_begin(self, run: TrainerState) -> None:
        """Write what does not change: the graph, some images, a description."""
        self._first_epoch = len(run.history) + 1
        self._rates = _learning_rates(run)
        with self._unnoticed(run):
            if run.history:
                return
            self.seconds, self._seconds_shown, self.batch = 0.0, 0.0, 0
            _remove_logs(self.folder, ["train", "val", "batches", *self.loaders])
            if "text" in self.parts:
                self._writer().add_text("run", _description(run, self.loaders))
            if "graph" in self.parts:
                images, _ = _some_images(run.train_loader, 1)
                _add_graph(self._writer(), run.model, images)
            if "images" in self.parts:
                for name, loader in self.loaders.items():
                    self._add_images(name, "images", loader, epoch=0)

    def on_batch_end(self, run: TrainerState, loss: float) -> None:
        """Write loss and learning rate, if this is asked for."""
        self.batch += 1
        if self.every and self.batch % self.every == 0:
            start = time.perf_counter()
            writer = self._writer("batches")
            writer.add_scalar("batch/loss", loss, self.batch)
            writer.add_scalar("batch/learning_rate", _learning_rates(run)[0], self.batch)
            self.seconds += time.perf_counter() - start

    def on_epoch_end(self, run: TrainerState) -> None:
        """Write what changed in this epoch."""
        row = run.history.rows[-1]
        epoch = int(row["epoch"])
        with self._unnoticed(run):
            if "scalars" in self.parts:
                self._add_scalars(row, epoch)
            if "histograms" in self.parts:
                _add_histograms(self._writer(), run.model, epoch)
            if "images" in self.parts:
                self._add_images("", "training images", run.train_loader, epoch)
            if self.parts & {"confusion_matrix", "pr_curves"}:
                for name, loader in self.loaders.items():
                    self._add_predictions(name, run.model, loader, epoch)
            self._flush()
        if "scalars" in self.parts:
            seconds = self.seconds - self._seconds_shown
            self._writer().add_scalar("seconds/logging", seconds, epoch)
        self._seconds_shown = self.seconds
        self._rates = _learning_rates(run)

    def on_train_end(self, run: TrainerState) -> None:
        """Write what is known at the end, and close the files."""
        with self._unnoticed(run):
            if run.history:
                if "embedding" in self.parts and self.loaders:
                    _add_embedding(self._writer(), run.model, self.loaders, len(run.history))
                if "hparams" in self.parts and self.hparams:
                    self._add_hparams()
            for writer in self._writers.values():
                writer.close()
            self._writers = {}

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed run must know."""
        return {"seconds": self.seconds, "batch": self.batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.seconds, self.batch = state["seconds"], state["batch"]
        self._seconds_shown = self.seconds

    @contextmanager
    def _unnoticed(self, run: TrainerState) -> Iterator[None]:
        """Leave no trace in the training run, except for the time it takes."""
        start = time.perf_counter()
        loaders = [run.train_loader, *self.loaders.values()]
        states = [(loader, get_random_state(loader)) for loader in loaders]
        modes = [(module, module.training) for module in run.model.modules()]
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise LogError(f"Cannot write logs to {self.folder}: {reason}.") from error
        finally:
            for module, mode in modes:
                module.training = mode
            for loader, state in states:
                set_random_state(state, loader)
            self.seconds += time.perf_counter() - start

    def _writer(self, name: str = "") -> SummaryWriter:
        """Open a run when it is needed first: an empty one would only be in the way."""
        if name not in self._writers:
            # What a run wrote after its last checkpoint is done again when it is resumed.
            start = self.batch if name == "batches" else self._first_epoch
            resumed = self._first_epoch > 1
            self._writers[name] = SummaryWriter(
                str(self.folder / name), purge_step=start if resumed else None
            )
        return self._writers[name]

    def _flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def _add_scalars(self, row: Mapping[str, float], epoch: int) -> None:
        for name in ("train", "val"):
            for quantity in QUANTITIES:
                self._writer(name).add_scalar(quantity, row[f"{name}_{quantity}"], epoch)
        for number, rate in enumerate(self._rates):
            tag = "learning_rate" if len(self._rates) == 1 else f"learning_rate/group {number}"
            self._writer().add_scalar(tag, rate, epoch)
        self._writer().add_scalar("seconds/training", row["seconds"], epoch)

    def _add_images(self, name: str, tag: str, loader: DataLoader, epoch: int) -> None:
        images, _ = _some_images(loader, IMAGES_SHOWN)
        # Small images are enlarged to squares of pixels, or the browser would blur them.
        larger = max(1, IMAGE_SIZE // images.shape[-1])
        images = _visible(images).repeat_interleave(larger, 2).repeat_interleave(larger, 3)
        self._writer(name).add_image(tag, make_grid(images, pad_value=1), epoch)

    def _add_predictions(self, name: str, model: nn.Module, loader: DataLoader, epoch: int) -> None:
        logits, targets = predict_logits(model, loader)
        classes, scores = _class_names(loader), _probabilities(logits)
        if "confusion_matrix" in self.parts:
            matrix = confusion_matrix(targets, scores.argmax(dim=1), len(classes))
            figure = plots.confusion_heatmap(matrix, classes, f"{name}, epoch {epoch}")
            # One scale for all epochs, or the colors could not be compared.
            figure.axes[0].collections[0].set_clim(0, matrix.sum(axis=1).max())
            self._writer(name).add_figure("confusion_matrix", figure, epoch)
        if "pr_curves" in self.parts:
            for label, title in enumerate(classes):
                truth = targets == label
                self._writer(name).add_pr_curve(f"pr/{title}", truth, scores[:, label], epoch)

    def _add_hparams(self) -> None:
        """Write the settings, and where the results of this run are.

        `SummaryWriter.add_hparams` would make another run, named by the time of day.
        """
        metrics = [
            summary_v2.Metric(quantity, group=name, display_name=f"{name} {quantity}")
            for name in ("val", "train")
            for quantity in QUANTITIES
        ]
        names = [summary_v2.HParam(name) for name in self.hparams]
        experiment = summary_v2.hparams_config_pb(names, metrics)
        for summary in (experiment, summary_v2.hparams_pb(self.hparams, self.folder.name)):
            self._writer().file_writer.add_summary(summary)


def _remove_logs(folder: Path, names: Sequence[str]) -> None:
    """Remove what a logger wrote into a folder, and nothing else."""
    for run in (folder, *(folder / name for name in names)):
        for file in run.glob("events.out.tfevents.*"):
            file.unlink()
    for points in folder.glob("[0-9]*/features"):
        shutil.rmtree(points.parent)
    (folder / "projector_config.pbtxt").unlink(missing_ok=True)


def _learning_rates(run: TrainerState) -> list[float]:
    return [group["lr"] for group in run.optimizer.param_groups]


def _class_names(loader: DataLoader) -> list[str]:
    """Give the class names of a loader's dataset, which may be a part of another one."""
    dataset = loader.dataset
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return list(dataset.classes)


def _some_images(loader: DataLoader, most: int) -> tuple[Tensor, Tensor]:
    """Give a few images of all parts of a dataset, as its loader would give them."""
    count = len(loader.dataset)
    indices = np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist()
    some = Subset(loader.dataset, indices)
    return next(iter(DataLoader(some, batch_size=len(indices), collate_fn=loader.collate_fn)))


def _visible(images: Tensor) -> Tensor:
    """Stretch each channel to 0..1: what normalized it is not known here."""
    low, high = images.amin(dim=(0, 2, 3), keepdim=True), images.amax(dim=(0, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-6)


def _probabilities(logits: Tensor) -> Tensor:
    """Give a column for each class, also where one logit answers yes or no."""
    if logits.shape[1] > 1:
        return logits.softmax(dim=1).nan_to_num()
    yes = logits.sigmoid().nan_to_num()
    return torch.cat([1 - yes, yes], dim=1)


def _description(run: TrainerState, loaders: Mapping[str, DataLoader]) -> str:
    """Describe a run in Markdown, as TensorBoard shows text."""
    rows = {
        "network": f"{type(run.model).__name__}, {count_parameters(run.model):,} parameters",
        "optimizer": type(run.optimizer).__name__,
        "scheduler": type(run.scheduler).__name__ if run.scheduler else "none",
        "batch size": run.train_loader.batch_size,
        "epochs": run.epochs,
        "training images": len(run.train_loader.dataset),
        **{f"images of {name}": len(loader.dataset) for name, loader in loaders.items()},
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    layers = "\n".join(f"    {line}" for line in str(run.model).splitlines())
    return f"| what | value |\n| --- | --- |\n{table}\n\n{layers}"


def _add_graph(writer: SummaryWriter, model: nn.Module, images: Tensor) -> None:
    """Write how data flows through a network, found by sending an image through a copy."""
    still = copy.deepcopy(model).cpu().eval()
    with warnings.catch_warnings():
        # TensorBoard draws what the old tracer records; torch advises against it for other uses.
        warnings.simplefilter("ignore")
        try:
            writer.add_graph(still, images)
        except Exception as error:  # whatever the network itself raises
            raise LogError(f"This network has no graph to draw ({error}): skip 'graph'.") from error


def _add_histograms(writer: SummaryWriter, model: nn.Module, epoch: int) -> None:
    """Write the weights of each layer, and the gradients that the last batch left."""
    for name, parameter in model.named_parameters():
        for kind, values in (("weights", parameter), ("gradients", parameter.grad)):
            if values is None:
                continue
            values = values.detach().float().cpu()
            values = values[values.isfinite()]
            if len(values):
                writer.add_histogram(f"{kind}/{name}", values, epoch)


@torch.no_grad()
def _add_embedding(
    writer: SummaryWriter, model: nn.Module, loaders: Mapping[str, DataLoader], epoch: int
) -> None:
    """Write what the last linear layer is given for each image, for the projector."""
    loader = loaders.get("val", next(iter(loaders.values())))
    images, targets = _some_images(loader, POINTS_SHOWN)
    seen: list[Tensor] = []
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]
    hooks = [m.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for m in last]
    device = next(model.parameters()).device
    model.eval()
    logits = torch.cat([model(part.to(device)) for part in images.split(100)]).cpu()
    for hook in hooks:
        hook.remove()
    features = torch.cat(seen).flatten(1).cpu() if seen else logits
    classes = _class_names(loader)
    predictions = _probabilities(logits).argmax(dim=1)
    names = [[classes[t], classes[p]] for t, p in zip(targets, predictions, strict=True)]
    sprites = nn.functional.interpolate(_visible(images), (SPRITE, SPRITE), mode="nearest")
    shutil.rmtree(Path(writer.log_dir) / f"{epoch:05}", ignore_errors=True)
    writer.add_embedding(
        features, names, sprites, epoch, tag="features", metadata_header=["true", "predicted"]
    )


def read_tags(folder: str | Path) -> pd.DataFrame:
    """List what is in the logs of a folder and of all folders below it.

    Args:
        folder: The folder that TensorBoard would be started with.

    Returns:
        One row for each tag of each run: `run`, `kind` (see `read_logs`), `tag`, how many `steps`
        it has, and the `last_step`.

    Raises:
        LogError: There are no logs, or they are damaged.
    """
    entries = [entry[:4] for entry in _read(Path(folder))]
    frame = pd.DataFrame(entries, columns=["run", "kind", "tag", "step"])
    groups = frame.groupby(["run", "kind", "tag"])["step"]
    return groups.agg(steps="count", last_step="max").reset_index()


def read_logs(folder: str | Path, kind: str = "scalars") -> pd.DataFrame:
    """Read one kind of values from the logs of a folder and of all folders below it.

    Args:
        folder: The folder that TensorBoard would be started with.
        kind: "scalars", "images", "histograms", "pr_curves" or "text".

    Returns:
        One row for each value: `run`, `tag`, `step`, `wall_time` (seconds since 1970) and `value`.
        That is a float for scalars, a PIL image for images, a string for text. For a histogram it
        is an array of rows (left edge, right edge, count). For a precision-recall curve it is an
        array whose six rows are true positives, false positives, true negatives, false negatives,
        precision and recall, for thresholds that go from 0 to 1 in equal steps.

    Raises:
        LogError: There are no logs, or they are damaged.

    Example:
        >>> frame = read_logs("build/logs")
        >>> frame[frame.tag == "loss"].pivot(index="step", columns="run", values="value")
    """
    entries = [
        (run, tag, step, wall_time, _value(found, tensor))
        for run, found, tag, step, wall_time, tensor in _read(Path(folder))
        if found == kind
    ]
    return pd.DataFrame(entries, columns=["run", "tag", "step", "wall_time", "value"])


def save_images(images: pd.DataFrame, folder: str | Path) -> list[Path]:
    """Write images of logs as PNG files, `<folder>/<run>/<tag>_<step>.png`.

    Args:
        images: What `read_logs(…, "images")` gave, or some rows of it.
        folder: Where to write; it is made if need be.

    Returns:
        The files, in the order of the rows.
    """
    files = []
    for row in images.itertuples():
        tag = re.sub(r"[^\w-]+", "_", row.tag)
        file = Path(folder) / row.run / f"{tag}_{row.step:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        row.value.save(file)
        files.append(file)
    return files


def _read(folder: Path) -> list[tuple]:
    """Collect (run, kind, tag, step, wall time, tensor) of everything below a folder."""
    if not folder.is_dir():
        raise LogError(f"There is no folder {folder}.")
    files = sorted(folder.rglob("*tfevents*"))
    if not files:
        raise LogError(f"{folder} holds no logs: has the run been started, is it the right folder?")
    entries = []
    for parent in sorted({file.parent for file in files}):
        run = parent.relative_to(folder).as_posix()
        found = _read_run(sorted((f for f in files if f.parent == parent), key=_numbers_in_name))
        entries += [(run, *entry) for entry in found]
    return entries


def _numbers_in_name(file: Path) -> list[int]:
    """Order the files of a run by time, and by the number that they have within a second."""
    return [int(number) for number in re.findall(r"\d+", file.name)]


def _read_run(files: Sequence[Path]) -> list[tuple]:
    """Collect what the files of one run hold, in the order in which it was written."""
    entries: list[tuple] = []
    kinds: dict[str, str] = {}
    for file in files:
        for record in _records(file):
            # Event files come in two styles; this turns the old one (torch's) into the new one.
            event = migrate_event(Event.FromString(record))
            if event.session_log.status == SessionLog.START:  # resumed: what follows counts
                entries = [entry for entry in entries if entry[2] < event.step]
            if event.graph_def:
                entries.append(("graph", "", event.step, event.wall_time, None))
            for value in event.summary.value:
                # Only the first value of a tag has to say of which kind it is.
                kind = kinds.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
                entries.append((kind, value.tag, event.step, event.wall_time, value.tensor))
    return entries


def _records(file: Path) -> Iterator[bytes]:
    """Yield the records of an event file up to one that is still being written.

    TensorBoard itself stops at a damaged record without a word.
    """
    length, position = file.stat().st_size, 0
    for record in RawEventFileLoader(str(file)).Load():
        position += len(record) + 16  # its length, and checksums of the length and of itself
        yield record
    if position + 12 <= length:
        with open(file, "rb") as stream:
            stream.seek(position)
            size, checksum = struct.unpack("<QI", stream.read(12))
        if checksum != masked_crc32c(struct.pack("<Q", size)) or position + size + 16 <= length:
            raise LogError(f"{file} is damaged: delete it, or log this run again.")


def _value(kind: str, tensor: Any) -> Any:
    """Turn a value of an event file into what a reader wants of its kind."""
    array = make_ndarray(tensor)
    if kind == "scalars":
        return float(array)
    if kind == "images":  # width, height, and the file itself
        return Image.open(BytesIO(array[2]))
    if kind == "text":
        return array.item().decode()
    return array
