"""Train a network: the loop of notebook 02 with a history, callbacks and checkpoints."""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import DataLoader

from course_utils import checkpoints
from course_utils.errors import TrainingError
from course_utils.progress import progress

COLUMNS = "epoch train_loss train_accuracy val_loss val_accuracy learning_rate seconds".split()
Loss = Callable[[Tensor, Tensor], Tensor]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (0 to 2**32 - 1), and make cuDNN deterministic."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries use the global generator
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True


def best_device() -> torch.device:
    """Return the fastest device of this machine: CUDA, Apple's MPS, or the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def amp_dtype(device: torch.device) -> torch.dtype | None:
    """Return the reduced-precision dtype that is faster than float32 on a device, or None."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if supported else torch.float16
    if device.type == "cpu":
        features = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older releases
        if any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
            return torch.bfloat16
    return None


def mixed_precision(device: torch.device, enabled: bool = True) -> torch.autocast:
    """Create a `torch.autocast` context with `amp_dtype`, disabled if that is None."""
    dtype = amp_dtype(device) if enabled else None
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


@dataclass
class History:
    """The metrics of a run: one dictionary per epoch; `history["val_loss"]` is a list."""

    rows: list[dict[str, float]] = field(default_factory=list)

    @property
    def frame(self) -> pd.DataFrame:
        """The history as a data frame, one row per epoch."""
        return pd.DataFrame(self.rows, columns=COLUMNS).astype({"epoch": int})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> list[float]:
        return [row[column] for row in self.rows]

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss."""
        return int(np.nan_to_num(self["val_loss"], nan=np.inf).argmin()) + 1


@dataclass
class TrainerState:
    """The state of a training run, passed to callbacks and stored in checkpoints."""

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    scaler: GradScaler  # does nothing unless training is in float16
    train_loader: DataLoader
    epochs: int  # in total
    callbacks: Sequence["Callback"] = ()
    amp: bool = False
    history: History = field(default_factory=History)
    best_weights: dict[str, Tensor] | None = None  # what a callback restores after training
    stop: bool = False  # set by a callback to end the run after this epoch


class Callback:
    """Base class of callbacks; `run.history` has all epochs so far, also after a resume."""

    def on_train_begin(self, run: TrainerState) -> None:
        """Run once before the first batch."""

    def on_batch_end(self, run: TrainerState, loss: float) -> None:
        """Run after each training batch, with its mean loss, before the gradients are cleared."""

    def on_epoch_end(self, run: TrainerState) -> None:
        """Run after each epoch; `run.history.rows[-1]` is the new row."""

    def on_train_end(self, run: TrainerState) -> None:
        """Run once after the last epoch, also after an interruption or an error."""


class EarlyStopping(Callback):
    """Stop when the validation loss no longer improves, then restore the best weights."""

    def __init__(self, patience: int = 5) -> None:
        """Stop after `patience` epochs without improvement."""
        self.patience = patience

    def on_epoch_end(self, run: TrainerState) -> None:
        """Keep the best weights so far; stop after `patience` epochs without improvement."""
        epochs_since = len(run.history) - run.history.best_epoch
        if epochs_since == 0:
            run.best_weights = {k: v.cpu().clone() for k, v in run.model.state_dict().items()}
        run.stop |= epochs_since >= self.patience

    def on_train_end(self, run: TrainerState) -> None:
        """Restore the best weights."""
        if run.best_weights is not None:
            run.model.load_state_dict(run.best_weights)


def default_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean cross-entropy, or binary cross-entropy for logits of shape (batch, 1)."""
    if logits.shape[1] > 1:
        return nn.functional.cross_entropy(logits, targets)
    targets = targets.to(logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch a network to eval mode; restore the mode of each layer afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _run_epoch(
    model: nn.Module, batches: Iterable, loss_fn: Loss, amp: bool, step: Callable | None = None
) -> tuple[float, float, list[float]]:
    """Compute mean loss, accuracy, and all batch losses; `step` is called with each loss."""
    device = next(model.parameters()).device
    if isinstance(loss_fn, nn.Module):
        loss_fn.to(device)
    class_weights = loss_fn.weight if isinstance(loss_fn, nn.CrossEntropyLoss) else None
    losses, weights, correct, count = [], [], 0, 0  # read at the end, so that a GPU need not wait
    for batch in batches:
        images, targets = (part.to(device, non_blocking=True) for part in batch)
        with mixed_precision(device, amp):
            logits = model(images)
            loss = loss_fn(logits, targets)
        if step is not None:
            step(loss)
        losses.append(loss.detach())
        # With class weights, the batch mean is divided by the sum of the weights of its targets.
        weights.append(len(targets) if class_weights is None else class_weights[targets].sum())
        predictions = logits.argmax(dim=1) if logits.shape[1] > 1 else logits[:, 0] > 0
        correct += (predictions == targets).sum()
        count += len(targets)
    if not count:
        raise TrainingError("The loader has no batch: is the dataset empty?")
    loss_sum, losses = 0.0, torch.stack(losses).tolist()
    for loss, weight in zip(losses, weights, strict=True):
        loss_sum += loss * float(weight)
    return loss_sum / float(sum(weights)), int(correct) / count, losses


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: DataLoader, loss_fn: Loss = default_loss, amp: bool = False
) -> tuple[float, float]:
    """Compute loss and accuracy, averaged over all samples of a loader; see `fit`."""
    with eval_mode(model):
        return _run_epoch(model, loader, loss_fn, amp)[:2]


def _train_one_epoch(run: TrainerState, loss_fn: Loss, per_batch: bool) -> tuple[float, float]:
    """Train on all batches once; return loss and accuracy, averaged over samples."""
    listeners = [c for c in run.callbacks if type(c).on_batch_end is not Callback.on_batch_end]
    epoch, rates = len(run.history) + 1, []

    def step(loss: Tensor) -> None:
        rates.append(run.optimizer.param_groups[0]["lr"])
        if listeners:  # they need the value of the loss now
            _require_finite(loss.item(), epoch, len(rates), rates[-1])
        run.optimizer.zero_grad()
        run.scaler.scale(loss).backward()
        run.scaler.step(run.optimizer)
        run.scaler.update()
        if per_batch:
            run.scheduler.step()
        for callback in listeners:
            callback.on_batch_end(run, loss.item())

    run.model.train()
    batches = progress(run.train_loader, f"epoch {epoch}/{run.epochs}")
    mean_loss, accuracy, losses = _run_epoch(run.model, batches, loss_fn, run.amp, step)
    for batch, loss in enumerate(losses):
        _require_finite(loss, epoch, batch + 1, rates[batch])
    return mean_loss, accuracy


def _require_finite(loss: float, epoch: int, batch: int, rate: float) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"The loss became {loss} in epoch {epoch}, batch {batch}, at a learning rate of "
            f"{rate:g}. Try a tenth of that rate; if it happens again, look for images that are "
            "not finite numbers."
        )


def fit(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    optimizer: Optimizer,
    epochs: int,
    *,
    loss_fn: Loss = default_loss,
    scheduler: LRScheduler | None = None,
    schedule_every: str = "epoch",
    callbacks: Sequence[Callback] = (),
    amp: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> History:
    """Train a network and evaluate it after every epoch; Ctrl-C ends the run and keeps the history.

    - `loss_fn` takes logits and targets and returns the mean loss.
    - `scheduler` steps after every "epoch" or every "batch", see `schedule_every`.
    - `amp` uses mixed precision where it is faster.
    - `checkpoint` is written after every epoch. With `resume`, training continues from it up to
      `epochs` in total, bit for bit as if it had not been interrupted.

    Raises TrainingError if training cannot continue; its `history` has the complete epochs.
    """
    if schedule_every not in ("epoch", "batch"):
        raise ValueError(f"schedule_every must be 'epoch' or 'batch', not {schedule_every!r}.")
    per_batch = scheduler is not None and schedule_every == "batch"
    device = next(model.parameters()).device
    # Small gradients would underflow to 0 in float16; see Micikevicius et al. (2018).
    needs_scaling = amp and amp_dtype(device) is torch.float16
    scaler = GradScaler(device.type, init_scale=1024.0, enabled=needs_scaling)
    run = TrainerState(model, optimizer, scheduler, scaler, train_loader, epochs, callbacks, amp)
    if resume and checkpoint is not None and Path(checkpoint).exists():
        checkpoints.load_checkpoint(run, checkpoint)
    for callback in callbacks:
        callback.on_train_begin(run)
    try:
        while len(run.history) < epochs and not run.stop:
            start, rate = time.perf_counter(), optimizer.param_groups[0]["lr"]
            train = _train_one_epoch(run, loss_fn, per_batch)
            val = evaluate(model, val_loader, loss_fn, amp)
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(val[0])
            elif scheduler is not None and not per_batch:
                scheduler.step()
            row = (len(run.history) + 1, *train, *val, rate, time.perf_counter() - start)
            run.history.rows.append(dict(zip(COLUMNS, row, strict=True)))
            for callback in callbacks:
                callback.on_epoch_end(run)
            if checkpoint is not None:
                checkpoints.save_checkpoint(run, checkpoint)
    except KeyboardInterrupt:
        print(f"Interrupted after {len(run.history)} complete epochs.")
    except TrainingError as error:
        error.history = run.history
        raise
    finally:
        for callback in callbacks:
            callback.on_train_end(run)
    return run.history
