"""Train a network: the loop of notebook 02, with a history, callbacks and checkpoints."""

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import DataLoader

from course_utils.checkpoints import load_checkpoint, save_checkpoint
from course_utils.errors import TrainingError
from course_utils.progress import Progress

COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "val_loss",
    "val_accuracy",
    "learning_rate",
    "seconds",
)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, and make cuDNN choose the same algorithms every time.

    Args:
        seed: Any whole number from 0 to 2**32 - 1.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries draw from the global generator
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def best_device() -> torch.device:
    """Choose the fastest device of this machine: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def amp_dtype(device: torch.device) -> torch.dtype | None:
    """Choose the short kind of numbers that a device computes with faster than with float32.

    Args:
        device: Where to compute.

    Returns:
        bfloat16 on GPUs and processors that are built for it, float16 on other GPUs of NVIDIA,
        and None where float32 is as fast or where nobody measured it.
    """
    if device.type == "cuda":
        fits = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fits else torch.float16
    if device.type == "cpu":
        features = getattr(torch.cpu, "get_capabilities", dict)()  # not in older releases
        if any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
            return torch.bfloat16
    return None


def mixed_precision(device: torch.device, amp: bool = True) -> torch.autocast:
    """Make a context in which a network computes with short numbers where that is faster.

    Weights, losses and batch norm statistics stay float32; see `torch.autocast`.

    Args:
        device: Where to compute.
        amp: False changes nothing, which saves an `if` around every forward pass.

    Returns:
        A context for `with`.
    """
    dtype = amp_dtype(device) if amp else None
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


@dataclass
class History:
    """What happened in each epoch.

    Attributes:
        rows: One dictionary an epoch, with the keys of `COLUMNS`.
    """

    rows: list[dict[str, float]] = field(default_factory=list)

    @property
    def frame(self) -> pd.DataFrame:
        """The history as a data frame, one row an epoch; losses and accuracies are per sample."""
        frame = pd.DataFrame(self.rows, columns=list(COLUMNS))
        return frame.astype({"epoch": int})

    def __len__(self) -> int:
        """Count the epochs."""
        return len(self.rows)

    def __getitem__(self, column: str) -> list[float]:
        """Give one column as a list, for example `history["val_loss"]`."""
        return [row[column] for row in self.rows]


@dataclass
class TrainerState:
    """A training run as callbacks see it, and as a checkpoint keeps it.

    Attributes:
        model: The network.
        optimizer: Changes its weights.
        scheduler: Changes the learning rate, or None.
        train_loader: Batches for training.
        epochs: The epoch at which the run ends.
        amp: Whether it computes with short numbers where that is faster.
        scaler: Keeps gradients of float16 from vanishing; does nothing with other numbers.
        callbacks: Called after every epoch.
        history: The epochs so far.
        stop: A callback sets this to end the run after the current epoch.
    """

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    train_loader: DataLoader
    epochs: int
    callbacks: Sequence["Callback"] = ()
    amp: bool = False
    scaler: torch.amp.GradScaler = field(
        default_factory=lambda: torch.amp.GradScaler(enabled=False)
    )
    history: History = field(default_factory=History)
    stop: bool = False


class Callback:
    """Something that is done during training; override what you need.

    A callback that remembers something from epoch to epoch also overrides `state_dict` and
    `load_state_dict`, so that a resumed run goes on as if nothing had happened.
    """

    def on_train_begin(self, run: TrainerState) -> None:
        """Called once before the first batch."""

    def on_batch_end(self, run: TrainerState, loss: float) -> None:
        """Called after each training batch, with its mean loss; gradients are still there."""

    def on_epoch_end(self, run: TrainerState) -> None:
        """Called after each epoch; `run.history.rows[-1]` is the new row."""

    def on_train_end(self, run: TrainerState) -> None:
        """Called once after the last epoch, also when the user interrupted the run."""

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint must keep: numbers, strings, tensors, and lists of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


class EarlyStopping(Callback):
    """Stop when the validation set sees no progress any more, and go back to the best weights.

    Attributes:
        best: The best value so far.
        best_epoch: Its epoch.
    """

    def __init__(
        self, patience: int = 5, monitor: str = "val_loss", min_delta: float = 0.0
    ) -> None:
        """Say what progress is.

        Args:
            patience: How many epochs without progress to wait for.
            monitor: A column of the history; an accuracy should grow, everything else shrink.
            min_delta: Smaller steps are no progress.
        """
        if monitor not in COLUMNS:
            raise ValueError(f"monitor must be one of {', '.join(COLUMNS)}, not {monitor!r}.")
        self.patience = patience
        self.monitor = monitor
        self.min_delta = min_delta
        self.best = math.inf
        self.best_epoch = 0
        self.weights: dict[str, Tensor] = {}

    def on_train_begin(self, run: TrainerState) -> None:
        """Forget an earlier run, unless this one goes on with it."""
        if not run.history:
            self.best, self.best_epoch, self.weights = math.inf, 0, {}

    def on_epoch_end(self, run: TrainerState) -> None:
        """Keep the weights if they are the best so far, and stop after too long a wait."""
        row = run.history.rows[-1]
        sign = -1 if self.monitor.endswith("accuracy") else 1
        value = row[self.monitor]
        if sign * value < sign * self.best - self.min_delta or not self.weights:
            self.best, self.best_epoch = value, row["epoch"]
            state = run.model.state_dict()
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        elif row["epoch"] - self.best_epoch >= self.patience:
            run.stop = True

    def on_train_end(self, run: TrainerState) -> None:
        """Go back to the best weights."""
        if self.weights:
            run.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Give what a resumed run must know."""
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.best, self.best_epoch, self.weights = (
            state[key] for key in ("best", "best_epoch", "weights")
        )


def count_correct(logits: Tensor, targets: Tensor) -> int:
    """Count right predictions.

    Args:
        logits: Shape (batch, classes), or (batch, 1) for a yes-or-no question.
        targets: Class indices of shape (batch,); 0 or 1 for a yes-or-no question.

    Returns:
        How many of the largest logits (or signs) agree with the targets.
    """
    predictions = logits.argmax(dim=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
    return int((predictions == targets).sum())


def binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean cross-entropy of a yes-or-no question.

    Args:
        logits: Shape (batch, 1); positive means yes.
        targets: 0 or 1, int64 of shape (batch,), as loaders give them.

    Returns:
        A scalar.
    """
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype))


def default_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean cross-entropy, of two outcomes where there is only one logit."""
    if logits.shape[1] == 1:
        return binary_loss(logits, targets)
    return nn.functional.cross_entropy(logits, targets)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch a network to eval mode for a while; afterwards every layer is as it was before.

    Args:
        model: The network.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DataLoader,
    loss_fn: nn.Module | None = None,
    device: torch.device | None = None,
    amp: bool = False,
) -> tuple[float, float]:
    """Measure a network on all batches of a loader, without changing it.

    Args:
        model: The network; its mode (train or eval) is restored afterwards.
        loader: Batches (images, targets).
        loss_fn: Takes logits and targets and gives the mean loss of the batch; cross-entropy when
            left out.
        device: Where to compute; where the model is when left out.
        amp: See `fit`.

    Returns:
        Loss and accuracy, both averaged over samples: a smaller last batch counts for less.

    Raises:
        TrainingError: The loader has no batch.
    """
    loss_fn = loss_fn or default_loss
    device = device or next(model.parameters()).device
    loss_sum, correct, count = 0.0, 0, 0
    with eval_mode(model):
        for images, targets in loader:
            images, targets = images.to(device), targets.to(device)
            with mixed_precision(device, amp):
                logits = model(images)
                loss = loss_fn(logits, targets)
            loss_sum += loss.item() * len(targets)
            correct += count_correct(logits, targets)
            count += len(targets)
    if count == 0:
        raise TrainingError("There is no batch to measure on: is the dataset empty?")
    return loss_sum / count, correct / count


def _train_one_epoch(
    run: TrainerState, loss_fn: nn.Module, device: torch.device, per_batch: bool
) -> tuple:
    """Train on all batches once; give loss and accuracy averaged over samples."""
    run.model.train()
    loss_sum, correct, count = 0.0, 0, 0
    epoch = len(run.history) + 1
    batches = Progress(run.train_loader, f"epoch {epoch}/{run.epochs}", run.epochs - epoch)
    for number, (images, targets) in enumerate(batches, start=1):
        images, targets = images.to(device), targets.to(device)
        with mixed_precision(device, run.amp):
            logits = run.model(images)
            loss = loss_fn(logits, targets)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss became {value} in epoch {epoch}, batch {number}, at a learning rate of "
                f"{run.optimizer.param_groups[0]['lr']:g}. Try a tenth of that rate; if it happens "
                f"again, look for images that are not finite numbers."
            )
        run.optimizer.zero_grad()
        run.scaler.scale(loss).backward()
        run.scaler.step(run.optimizer)
        run.scaler.update()
        if per_batch:
            run.scheduler.step()
        loss_sum += value * len(targets)
        correct += count_correct(logits, targets)
        count += len(targets)
        for callback in run.callbacks:
            callback.on_batch_end(run, value)
    if count == 0:
        raise TrainingError("The training loader has no batch: is the dataset empty?")
    return loss_sum / count, correct / count


def fit(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    optimizer: Optimizer,
    epochs: int,
    *,
    loss_fn: nn.Module | None = None,
    scheduler: LRScheduler | None = None,
    schedule_every: str = "epoch",
    callbacks: Sequence[Callback] = (),
    device: torch.device | None = None,
    amp: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> History:
    """Train a network and measure it on the validation set after every epoch.

    A run can be interrupted with the stop button or Ctrl-C: the epochs that are complete stay in
    the history, and the network keeps its weights.

    Args:
        model: The network, on `device` already if its optimizer was made there.
        train_loader: Batches (images, targets) for training.
        val_loader: Batches for measuring.
        optimizer: Holds the parameters of `model`.
        epochs: How many epochs the whole run has, those before a resumption included.
        loss_fn: Takes logits and targets and gives the mean loss of the batch; cross-entropy when
            left out.
        scheduler: Changes the learning rate; `ReduceLROnPlateau` is given the validation loss.
        schedule_every: "epoch" or "batch": when the scheduler takes its step.
        callbacks: See `Callback`.
        device: Where to train; where the model is when left out.
        amp: Compute with short numbers where the device is faster with them (`amp_dtype`); results
            then differ a little from those of other machines.
        checkpoint: A file to write after every epoch, with all that is needed to go on.
        resume: Go on from `checkpoint` if that file exists. The result is the same, bit for bit,
            as that of a run which was never interrupted.

    Returns:
        One row an epoch; `history.frame` is a data frame.

    Raises:
        TrainingError: The loss is no longer a finite number, or there is nothing to train on.
        ValueError: `schedule_every` is neither "epoch" nor "batch", or does not fit the scheduler.

    Example:
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        >>> history = fit(model, train_loader, val_loader, optimizer, epochs=5)
        >>> history.frame.val_accuracy.max()
    """
    if schedule_every not in ("epoch", "batch"):
        raise ValueError(f"schedule_every must be 'epoch' or 'batch', not {schedule_every!r}.")
    on_plateau = isinstance(scheduler, ReduceLROnPlateau)
    if on_plateau and schedule_every == "batch":
        raise ValueError(
            "ReduceLROnPlateau waits for the validation loss: set schedule_every to 'epoch'."
        )
    device = device or next(model.parameters()).device
    model.to(device)
    loss_fn = loss_fn or default_loss
    # A gradient that is too small for float16 would become 0; see Micikevicius et al. (2018).
    needs_scaling = amp and amp_dtype(device) is torch.float16
    scaler = torch.amp.GradScaler(device.type, init_scale=1024.0, enabled=needs_scaling)
    run = TrainerState(model, optimizer, scheduler, train_loader, epochs, callbacks, amp, scaler)
    if resume and checkpoint is not None and Path(checkpoint).exists():
        load_checkpoint(run, checkpoint)
    for callback in callbacks:
        callback.on_train_begin(run)
    try:
        while len(run.history) < epochs and not run.stop:
            start = time.perf_counter()
            learning_rate = optimizer.param_groups[0]["lr"]
            per_batch = scheduler is not None and schedule_every == "batch"
            train = _train_one_epoch(run, loss_fn, device, per_batch)
            val = evaluate(model, val_loader, loss_fn, device, amp)
            if on_plateau:
                scheduler.step(val[0])
            elif scheduler is not None and not per_batch:
                scheduler.step()
            seconds = time.perf_counter() - start
            row = (len(run.history) + 1, *train, *val, learning_rate, seconds)
            run.history.rows.append(dict(zip(COLUMNS, row, strict=True)))
            for callback in callbacks:
                callback.on_epoch_end(run)
            if checkpoint is not None:
                save_checkpoint(run, checkpoint)
    except KeyboardInterrupt:
        print(f"Stopped by you after {len(run.history)} complete epochs.")
    except TrainingError as error:
        error.history = run.history
        raise
    finally:
        for callback in callbacks:
            callback.on_train_end(run)
    return run.history
