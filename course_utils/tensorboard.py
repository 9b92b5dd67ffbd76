"""Log a training run for TensorBoard, and read the logs.

>>> logger = TensorBoardLogger("build/logs/first run", {"train": train_loader, "val": val_loader})
>>> fit(model, train_loader, val_loader, optimizer, epochs=5, callbacks=[logger])
>>> read_logs("build/logs")
"""

import copy
import re
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import summary_v2
from tensorboard.util.tensor_util import make_ndarray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid

from course_utils import plots
from course_utils.checkpoints import get_random_state, set_random_state
from course_utils.errors import CourseError
from course_utils.evaluation import predict_logits
from course_utils.models import count_parameters
from course_utils.training import Callback, TrainerState

PARTS = "scalars images histograms graph confusion_matrix pr_curves embedding text hparams".split()
QUANTITIES = ("loss", "accuracy")
GRID_IMAGES = 16
IMAGE_SIZE = 112  # pixels; smaller images are enlarged so that browsers do not blur them
EMBEDDED_IMAGES = 500
SPRITE_SIZE = 32  # pixels per image; the sprite may have at most 8192 pixels per side
DECODERS = {
    "scalars": float,
    "images": lambda array: Image.open(BytesIO(array[2])),  # after width and height
    "text": lambda array: array.item().decode(),
}


class TensorBoardLogger(Callback):
    """Logs everything about a training run that TensorBoard can display.

    Results on one set of images go to a separate run (`<folder>/train`, `<folder>/val`), under the
    same tag, so that TensorBoard draws both in one chart; everything else goes to `<folder>`. The
    step is the epoch. A new run replaces earlier logs, a resumed run continues them. Logging does
    not change training, bit for bit; `seconds` is the time that it took.
    """

    def __init__(
        self,
        folder: str | Path,
        loaders: Mapping[str, DataLoader],
        hparams: Mapping[str, bool | float | str] | None = None,
        skip: Sequence[str] = (),
    ) -> None:
        """Log all `PARTS` except `skip`; `loaders` ("train", "val") must not shuffle or augment."""
        if unknown := set(skip) - set(PARTS):
            raise ValueError(f"There is no part {min(unknown)!r}; choose from {', '.join(PARTS)}.")
        self.folder, self.loaders, self.hparams = Path(folder), dict(loaders), dict(hparams or {})
        self.parts = set(PARTS) - set(skip)
        self.seconds = 0.0
        self._writers: dict[str, SummaryWriter] = {}
        self._first_step = 1

    def on_train_begin(self, run: TrainerState) -> None:
        """Log the description, the graph and sample images."""
        self._first_step = len(run.history) + 1
        if run.history:
            return
        with self._without_side_effects(run):
            for name in ("", "train", "val", *self.loaders):
                for file in (self.folder / name).glob("events.out.tfevents.*"):
                    file.unlink()
            (self.folder / "projector_config.pbtxt").unlink(missing_ok=True)
            if "text" in self.parts:
                self._writer().add_text("run", self._describe(run))
            if "graph" in self.parts:
                _add_graph(self._writer(), run.model, _some_images(run.train_loader, 1)[0])
            if "images" in self.parts:
                for name, loader in self.loaders.items():
                    self._add_images(name, "images", loader, epoch=0)

    def on_epoch_end(self, run: TrainerState) -> None:
        """Log the results of the epoch."""
        epoch, seconds_before = len(run.history), self.seconds
        with self._without_side_effects(run):
            if "scalars" in self.parts:
                self._add_scalars(run.history.rows[-1], epoch)
            if "histograms" in self.parts:
                _add_histograms(self._writer(), run.model, epoch)
            if "images" in self.parts:
                self._add_images("", "training images", run.train_loader, epoch)
            if self.parts & {"confusion_matrix", "pr_curves"}:
                for name, loader in self.loaders.items():
                    self._add_predictions(name, run.model, loader, epoch)
            for writer in self._writers.values():
                writer.flush()
        if "scalars" in self.parts:
            self._writer().add_scalar("seconds/logging", self.seconds - seconds_before, epoch)

    def on_train_end(self, run: TrainerState) -> None:
        """Log the embedding and the hyperparameters, and close the files."""
        with self._without_side_effects(run):
            if run.history and "embedding" in self.parts and self.loaders:
                self._add_embedding(run.model, epoch=len(run.history))
            if run.history and "hparams" in self.parts and self.hparams:
                self._add_hparams()
            while self._writers:
                self._writers.popitem()[1].close()

    @contextmanager
    def _without_side_effects(self, run: TrainerState) -> Iterator[None]:
        start = time.perf_counter()
        loaders = [run.train_loader, *self.loaders.values()]
        states = [get_random_state(loader) for loader in loaders]
        try:
            yield
        finally:
            for state, loader in zip(states, loaders, strict=True):
                set_random_state(state, loader)
            self.seconds += time.perf_counter() - start

    def _writer(self, name: str = "") -> SummaryWriter:
        """Open a run when it is first needed: TensorBoard would also list an empty run."""
        if name not in self._writers:
            # A resumed run logs the steps after its last checkpoint again.
            self._writers[name] = SummaryWriter(self.folder / name, purge_step=self._first_step)
        return self._writers[name]

    def _describe(self, run: TrainerState) -> str:
        """Describe a run in a Markdown table."""
        rows = {
            "what": "value",
            "---": "---",
            "network": f"{type(run.model).__name__}, {count_parameters(run.model):,} parameters",
            "optimizer": type(run.optimizer).__name__,
            "scheduler": type(run.scheduler).__name__ if run.scheduler else "none",
            "batch size": run.train_loader.batch_size,
            "epochs": run.epochs,
            "training images": len(run.train_loader.dataset),
        }
        rows |= {f"images of {name}": len(self.loaders[name].dataset) for name in self.loaders}
        return "\n".join(f"| {name} | {value} |" for name, value in rows.items())

    def _add_scalars(self, row: Mapping[str, float], epoch: int) -> None:
        for name in ("train", "val"):
            for quantity in QUANTITIES:
                self._writer(name).add_scalar(quantity, row[f"{name}_{quantity}"], epoch)
        self._writer().add_scalar("learning_rate", row["learning_rate"], epoch)
        self._writer().add_scalar("seconds/training", row["seconds"], epoch)

    def _add_images(self, name: str, tag: str, loader: DataLoader, epoch: int) -> None:
        images = _rescale(_some_images(loader, GRID_IMAGES)[0])
        factor = max(1, IMAGE_SIZE // images.shape[-1])
        images = nn.functional.interpolate(images, scale_factor=factor)
        self._writer(name).add_image(tag, make_grid(images, pad_value=1), epoch)

    def _add_predictions(self, name: str, model: nn.Module, loader: DataLoader, epoch: int) -> None:
        logits, targets = predict_logits(model, loader)
        classes, probabilities = _class_names(loader), _probabilities(logits)
        if "confusion_matrix" in self.parts:
            predictions = probabilities.argmax(dim=1)
            matrix = confusion_matrix(targets, predictions, labels=range(len(classes)))
            figure = plots.confusion_heatmap(matrix, classes, f"{name}, epoch {epoch}")
            # The same color scale for all epochs, so that they can be compared.
            figure.axes[0].collections[0].set_clim(0, matrix.sum(axis=1).max())
            self._writer(name).add_figure("confusion_matrix", figure, epoch)
            recalls = np.diag(matrix) / matrix.sum(axis=1).clip(1)
            for title, recall in zip(classes, recalls, strict=True):
                self._writer(name).add_scalar(f"recall/{title}", recall, epoch)
        if "pr_curves" in self.parts:
            for label, title in enumerate(classes):
                scores = probabilities[:, label]
                self._writer(name).add_pr_curve(f"pr/{title}", targets == label, scores, epoch)

    def _add_embedding(self, model: nn.Module, epoch: int) -> None:
        """Log the inputs of the last linear layer, or else the logits, for the projector."""
        loader = self.loaders.get("val", next(iter(self.loaders.values())))
        images, targets = _some_images(loader, EMBEDDED_IMAGES)
        inputs: list[Tensor] = []
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]
        hooks = [m.register_forward_pre_hook(lambda _, args: inputs.extend(args)) for m in linear]
        batches = list(zip(images.split(100), targets.split(100), strict=True))
        logits, _ = predict_logits(model, batches)
        for hook in hooks:
            hook.remove()
        features = torch.cat(inputs).flatten(1).cpu() if inputs else logits
        classes, predictions = _class_names(loader), _probabilities(logits).argmax(dim=1)
        names = [[classes[t], classes[p]] for t, p in zip(targets, predictions, strict=True)]
        sprites = nn.functional.interpolate(_rescale(images), (SPRITE_SIZE, SPRITE_SIZE))
        shutil.rmtree(self.folder / f"{epoch:05}", ignore_errors=True)
        header = ["true", "predicted"]
        self._writer().add_embedding(features, names, sprites, epoch, "features", header)

    def _add_hparams(self) -> None:
        """Log the hyperparameters in this run; `SummaryWriter.add_hparams` would add another."""
        groups, writer = ("val", "train"), self._writer().file_writer
        metrics = [summary_v2.Metric(tag, group=name) for name in groups for tag in QUANTITIES]
        names = [summary_v2.HParam(name) for name in self.hparams]
        writer.add_summary(summary_v2.hparams_config_pb(names, metrics))
        writer.add_summary(summary_v2.hparams_pb(self.hparams, self.folder.name))


def _class_names(loader: DataLoader) -> list[str]:
    dataset = loader.dataset
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return list(dataset.classes)


def _some_images(loader: DataLoader, limit: int) -> tuple[Tensor, Tensor]:
    """Return up to `limit` images, evenly spaced in the dataset, as one batch of its loader."""
    count = len(loader.dataset)
    indices = np.linspace(0, count - 1, min(limit, count)).round().astype(int).tolist()
    subset = Subset(loader.dataset, indices)
    return next(iter(DataLoader(subset, batch_size=len(indices), collate_fn=loader.collate_fn)))


def _rescale(images: Tensor) -> Tensor:
    """Rescale each channel to 0..1, since the normalization is not known here."""
    low, high = images.amin(dim=(0, 2, 3), keepdim=True), images.amax(dim=(0, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-6)


def _probabilities(logits: Tensor) -> Tensor:
    """Compute probabilities with one column per class, also from a single logit."""
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return logits.softmax(dim=1).nan_to_num()


def _add_graph(writer: SummaryWriter, model: nn.Module, images: Tensor) -> None:
    """Trace a copy of the network with one image."""
    with warnings.catch_warnings(action="ignore"):  # of tracing, which do not matter for a graph
        try:
            writer.add_graph(copy.deepcopy(model).cpu().eval(), images)
        except Exception as error:  # anything that the network raises
            raise CourseError(f"This network cannot be traced ({error}): skip 'graph'.") from error


def _add_histograms(writer: SummaryWriter, model: nn.Module, epoch: int) -> None:
    """Log the weights of each layer and the gradients of the last batch."""
    for name, parameter in model.named_parameters():
        for kind, values in (("weights", parameter), ("gradients", parameter.grad)):
            if values is not None and (values := values[values.isfinite()].detach()).numel():
                writer.add_histogram(f"{kind}/{name}", values.float().cpu(), epoch)


def read_tags(folder: str | Path) -> pd.DataFrame:
    """List run, kind, tag, number of steps and last step of all logs below a folder."""
    groups = _read(Path(folder)).groupby(["run", "kind", "tag"])["step"]
    return groups.agg(steps="count", last_step="max").reset_index()


def read_logs(folder: str | Path, kind: str = "scalars") -> pd.DataFrame:
    """Read run, tag, step, wall_time (seconds since 1970) and value from all logs below a folder.

    >>> frame = read_logs("build/logs")
    >>> frame[frame.tag == "loss"].pivot(index="step", columns="run", values="value")

    The values of "scalars" are floats, those of "images" PIL images, and those of "text" strings.
    "histograms" are arrays of rows (left edge, right edge, count). "pr_curves" are arrays of six
    rows: true positives, false positives, true negatives, false negatives, precision and recall,
    for thresholds from 0 to 1 in equal steps.
    """
    frame = _read(Path(folder))
    frame = frame[frame.kind == kind].drop(columns="kind").reset_index(drop=True)
    decode = DECODERS.get(kind, lambda array: array)
    frame["value"] = frame.pop("tensor").map(make_ndarray).map(decode)
    return frame


def _read(folder: Path) -> pd.DataFrame:
    """Read run, kind, tag, step, wall_time and tensor of all values below a folder."""
    # Sort the files of a run by the numbers in their names: as text, 10 would precede 9.
    files = sorted(
        folder.rglob("*tfevents*"),
        key=lambda file: (file.parent, [int(n) for n in re.findall(r"\d+", file.name)]),
    )
    if not files:
        raise CourseError(f"There are no logs in {folder}: is it the right folder?")
    rows, kinds = [], {}
    for file in files:
        run = file.parent.relative_to(folder).as_posix()
        for event in EventFileLoader(str(file)).Load():
            if event.session_log.status == event.session_log.START:  # resumed: steps are repeated
                rows = [row for row in rows if row[0] != run or row[3] < event.step]
            for value in event.summary.value:
                # Only the first value of a tag has to specify its kind.
                kind = kinds.setdefault((run, value.tag), value.metadata.plugin_data.plugin_name)
                rows.append((run, kind, value.tag, event.step, event.wall_time, value.tensor))
    frame = pd.DataFrame(rows, columns=["run", "kind", "tag", "step", "wall_time", "tensor"])
    frame = frame[frame.kind != "graph_tagged_run_metadata"]
    return frame.replace({"kind": {"graphs": "graph"}})
