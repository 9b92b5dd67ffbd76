"""Train a network: the loop of notebook 02 with a history, callbacks and checkpoints."""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

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
READ_AT_ONCE = ("cpu",)  # other devices finish all queued work before a value can be read
Loss = Callable[[Tensor, Tensor], Tensor]


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (0 to 2**32 - 1), and make cuDNN deterministic."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries use the global generator
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def best_device() -> torch.device:
    """Choose the fastest device of this machine: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def amp_dtype(device: torch.device) -> torch.dtype | None:
    """Choose the reduced precision in which a device computes faster than in float32, or None."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if supported else torch.float16
    if device.type == "cpu":
        features = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older releases
        if any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
            return torch.bfloat16
    return None


def mixed_precision(device: torch.device, enabled: bool = True) -> torch.autocast:
    """Create a `torch.autocast` context with `amp_dtype`; it does nothing where that is None."""
    dtype = amp_dtype(device) if enabled else None
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


@dataclass
class History:
    """The metrics of a run: a dictionary per epoch; `history["val_loss"]` is a list."""

    rows: list[dict[str, float]] = field(default_factory=list)

    @property
    def frame(self) -> pd.DataFrame:
        """The history as a data frame, one row per epoch."""
        return pd.DataFrame(self.rows, columns=COLUMNS).astype({"epoch": int})

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> list[float]:
        return [row[column] for row in self.rows]


@dataclass
class TrainerState:
    """A training run as callbacks see it and as a checkpoint stores it."""

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler | None
    train_loader: DataLoader
    epochs: int  # in all
    callbacks: Sequence["Callback"] = ()
    amp: bool = False
    scaler: GradScaler = field(default_factory=partial(GradScaler, enabled=False))
    history: History = field(default_factory=History)
    best_weights: dict[str, Tensor] | None = None  # what a callback restores after training
    stop: bool = False  # set by a callback to end the run after this epoch

    def _parts(self) -> dict[str, Any]:
        """Everything with a state dict, by its name in a checkpoint."""
        parts = {"optimizer": self.optimizer, "model": self.model, "scaler": self.scaler}
        parts |= {"scheduler": self.scheduler} if self.scheduler else {}
        return parts | {f"callback {i}": callback for i, callback in enumerate(self.callbacks)}

    def state_dict(self) -> dict[str, Any]:
        """Collect everything that a bit-for-bit resume needs."""
        state = {name: part.state_dict() for name, part in self._parts().items()}
        state |= {"history": self.history.rows, "best_weights": self.best_weights}
        random_state = checkpoints.get_random_state(self.train_loader)
        return state | {"stop": self.stop, "random": random_state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state; raise ValueError if it belongs to a different run."""
        parts = self._parts()
        if different := state.keys() ^ {*parts, "history", "best_weights", "stop", "random"}:
            raise ValueError(f"only one of the two has a {min(different)}")
        for name, part in parts.items():
            part.load_state_dict(state[name])
        self.history.rows[:] = state["history"]
        self.best_weights, self.stop = state["best_weights"], state["stop"]
        checkpoints.set_random_state(state["random"], self.train_loader)


class Callback:
    """Code that runs during training; override what you need.

    One with a state also overrides `state_dict` and `load_state_dict`, for runs that are resumed.
    """

    def on_train_begin(self, run: TrainerState) -> None:
        """Run once before the first batch."""

    def on_batch_end(self, run: TrainerState, loss: float) -> None:
        """Run after each training batch, with its mean loss, while gradients still exist."""

    def on_epoch_end(self, run: TrainerState) -> None:
        """Run after each epoch; `run.history.rows[-1]` is the new row."""

    def on_train_end(self, run: TrainerState) -> None:
        """Run once after the last epoch, also after an interruption or an error."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must store: numbers, strings, tensors, and lists of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class EarlyStopping(Callback):
    """Stop when the validation loss no longer improves, then restore the best weights."""

    def __init__(self, patience: int = 5) -> None:
        """Stop after `patience` epochs without improvement."""
        self.patience, self.history = patience, History()

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss."""
        return int(np.nan_to_num(self.history["val_loss"], nan=np.inf).argmin()) + 1

    def on_train_begin(self, run: TrainerState) -> None:
        """Watch the history of a run."""
        self.history = run.history

    def on_epoch_end(self, run: TrainerState) -> None:
        """Keep the weights if they are the best so far; stop if that was long ago."""
        if self.best_epoch == len(run.history):
            state = run.model.state_dict()
            run.best_weights = {name: tensor.cpu().clone() for name, tensor in state.items()}
        run.stop |= len(run.history) - self.best_epoch >= self.patience

    def on_train_end(self, run: TrainerState) -> None:
        """Restore the best weights."""
        if run.best_weights is not None:
            run.model.load_state_dict(run.best_weights)


def count_correct(logits: Tensor, targets: Tensor) -> Tensor:
    """Count correct predictions of logits (batch, classes), or (batch, 1) for a binary problem.

    Targets are indices (batch,) or, as from MixUp, probabilities (batch, classes). The result is
    an integer tensor on the same device.
    """
    predictions = logits.argmax(dim=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
    return (predictions == (targets.argmax(dim=1) if targets.ndim == 2 else targets)).sum()


def binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean binary cross-entropy of logits (batch, 1) and targets 0 or 1 (batch,)."""
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype))


def default_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean cross-entropy, binary if there is only one logit."""
    loss_fn = binary_loss if logits.shape[1] == 1 else nn.functional.cross_entropy
    return loss_fn(logits, targets)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch a network to eval mode; afterwards each layer has the mode that it had before."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _run_epoch(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Loss | None,
    amp: bool,
    step: Callable[[Tensor], None] = lambda loss: None,
) -> tuple[float, float]:
    """Call `step` with the loss of each batch; return loss and accuracy, averaged over samples."""
    device, loss_fn = next(model.parameters()).device, loss_fn or default_loss
    if isinstance(loss_fn, nn.Module):
        loss_fn.to(device)
    has_weights = isinstance(loss_fn, nn.CrossEntropyLoss | nn.NLLLoss)
    class_weights = loss_fn.weight if has_weights else None
    losses, weights, correct, count = [], [], 0, 0  # read at the end: until then a GPU can run on
    for batch in batches:
        images, targets = (part.to(device, non_blocking=True) for part in batch)
        with mixed_precision(device, amp):
            logits = model(images)
            loss = loss_fn(logits, targets)
        step(loss)
        losses.append(loss.detach())
        # The weighted mean of a batch was divided by the sum of the weights of its targets.
        weighted = class_weights is not None and targets.ndim == 1
        weights.append(class_weights[targets].sum() if weighted else len(targets))
        correct, count = correct + count_correct(logits, targets), count + len(targets)
    if not count:
        raise TrainingError("The loader has no batch: is the dataset empty?")
    loss_sum = 0.0
    for loss, weight in zip(torch.stack(losses).tolist(), weights, strict=True):
        loss_sum += loss * float(weight)
    return loss_sum / float(sum(weights)), int(correct) / count


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: DataLoader, loss_fn: Loss | None = None, amp: bool = False
) -> tuple[float, float]:
    """Compute loss and accuracy, averaged over all samples of a loader; see `fit`."""
    with eval_mode(model):
        return _run_epoch(model, loader, loss_fn, amp)


def _train_one_epoch(
    run: TrainerState, loss_fn: Loss | None, per_batch: bool, max_grad_norm: float | None
) -> tuple[float, float]:
    """Train on all batches once; return loss and accuracy averaged over samples."""
    epoch, losses, rates = len(run.history) + 1, [], []
    listeners = [c for c in run.callbacks if type(c).on_batch_end is not Callback.on_batch_end]
    at_once = listeners or next(run.model.parameters()).device.type in READ_AT_ONCE

    def step(loss: Tensor) -> None:
        losses.append(loss.detach())
        rates.append(run.optimizer.param_groups[0]["lr"])
        if at_once:
            _require_finite([loss.item()], epoch, rates)
        run.optimizer.zero_grad()
        run.scaler.scale(loss).backward()
        if max_grad_norm is not None:
            run.scaler.unscale_(run.optimizer)
            nn.utils.clip_grad_norm_(run.model.parameters(), max_grad_norm)
        run.scaler.step(run.optimizer)
        run.scaler.update()
        if per_batch:
            run.scheduler.step()
        for callback in listeners:
            callback.on_batch_end(run, loss.item())

    run.model.train()
    batches = progress(run.train_loader, f"epoch {epoch}/{run.epochs}")
    result = _run_epoch(run.model, batches, loss_fn, run.amp, step)
    _require_finite(torch.stack(losses).tolist(), epoch, rates)
    return result


def _require_finite(losses: list[float], epoch: int, rates: list[float]) -> None:
    """Check the losses of the last batches; `rates` has the learning rates of all batches."""
    for batch, value in enumerate(losses, start=len(rates) - len(losses)):
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss became {value} in epoch {epoch}, batch {batch + 1}, at a learning rate "
                f"of {rates[batch]:g}. Try a tenth of that rate; if it happens again, look for "
                f"images that are not finite numbers."
            )


def fit(
    model: nn.Module,
    train_loader: DataLoader,
    val_loader: DataLoader,
    optimizer: Optimizer,
    epochs: int,
    *,
    loss_fn: Loss | None = None,
    scheduler: LRScheduler | None = None,
    schedule_every: str = "epoch",
    callbacks: Sequence[Callback] = (),
    device: torch.device | None = None,
    amp: bool = False,
    max_grad_norm: float | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
) -> History:
    """Train a network and evaluate it on the validation set after every epoch.

    Ctrl-C ends the run after the last complete epoch.

    Args:
        model: The network.
        train_loader: Batches (images, targets).
        val_loader: Batches (images, targets).
        optimizer: Updates the parameters of `model`.
        epochs: The length of the whole run, including epochs before it was resumed.
        loss_fn: Takes logits and targets and returns the mean loss; default: cross-entropy.
        scheduler: Changes the learning rate; `ReduceLROnPlateau` gets the validation loss.
        schedule_every: "epoch" or "batch": when the scheduler takes a step.
        callbacks: See `Callback`.
        device: Where to train; default: where the model is.
        amp: Use mixed precision where the device is faster with it (`amp_dtype`).
        max_grad_norm: Longer gradients are scaled down to this norm.
        checkpoint: A file to write after every epoch.
        resume: Continue from `checkpoint` if it exists; the result is the same bit for bit.

    Raises:
        TrainingError: Training cannot continue; `history` of the error has the complete epochs.
        WeightsError: The checkpoint cannot be read or belongs to a different run.
    """
    if schedule_every not in ("epoch", "batch"):
        raise ValueError(f"schedule_every must be 'epoch' or 'batch', not {schedule_every!r}.")
    on_plateau = isinstance(scheduler, ReduceLROnPlateau)
    per_batch = scheduler is not None and schedule_every == "batch"
    if on_plateau and per_batch:
        raise ValueError("ReduceLROnPlateau needs the validation loss: use schedule_every='epoch'.")
    device = device or next(model.parameters()).device
    model.to(device)
    # Small gradients would become 0 in float16; see Micikevicius et al. (2018).
    needs_scaling = amp and amp_dtype(device) is torch.float16
    scaler = GradScaler(device.type, init_scale=1024.0, enabled=needs_scaling)
    run = TrainerState(model, optimizer, scheduler, train_loader, epochs, callbacks, amp, scaler)
    if resume and checkpoint is not None and Path(checkpoint).exists():
        checkpoints.load_checkpoint(run, checkpoint)
    for callback in callbacks:
        callback.on_train_begin(run)
    try:
        while len(run.history) < epochs and not run.stop:
            start, rate = time.perf_counter(), optimizer.param_groups[0]["lr"]
            train = _train_one_epoch(run, loss_fn, per_batch, max_grad_norm)
            val = evaluate(model, val_loader, loss_fn, amp)
            if on_plateau:
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
        print(f"Stopped by you after {len(run.history)} complete epochs.")
    except TrainingError as error:
        error.history = run.history
        raise
    finally:
        for callback in callbacks:
            callback.on_train_end(run)
    return run.history
