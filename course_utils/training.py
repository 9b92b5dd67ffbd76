"""Train a network: the loop of notebook 02, with a history, callbacks and checkpoints."""

import copy
import glob
import io
import math
import os
import random
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
CHECKPOINT_KEYS = {
    "model",
    "optimizer",
    "scheduler",
    "scaler",
    "callbacks",
    "history",
    "stop",
    "random",
}
LEFT_BEHIND = 600  # seconds after which a half-written file belongs to nobody any more


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why and what to try.

    Attributes:
        history: The epochs that were complete, where `fit` raised the error.
    """

    history: "History | None" = None


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


def autocast(device: torch.device, amp: bool = True) -> torch.autocast:
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
class Run:
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

    def on_train_begin(self, run: Run) -> None:
        """Called once before the first batch."""

    def on_batch_end(self, run: Run, loss: float) -> None:
        """Called after each training batch, with its mean loss; gradients are still there."""

    def on_epoch_end(self, run: Run) -> None:
        """Called after each epoch; `run.history.rows[-1]` is the new row."""

    def on_train_end(self, run: Run) -> None:
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

    def on_train_begin(self, run: Run) -> None:
        """Forget an earlier run, unless this one goes on with it."""
        if not run.history:
            self.best, self.best_epoch, self.weights = math.inf, 0, {}

    def on_epoch_end(self, run: Run) -> None:
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

    def on_train_end(self, run: Run) -> None:
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
            with autocast(device, amp):
                logits = model(images)
                loss = loss_fn(logits, targets)
            loss_sum += loss.item() * len(targets)
            correct += count_correct(logits, targets)
            count += len(targets)
    if count == 0:
        raise TrainingError("There is no batch to measure on: is the data set empty?")
    return loss_sum / count, correct / count


def _train_one_epoch(run: Run, loss_fn: nn.Module, device: torch.device, per_batch: bool) -> tuple:
    """Train on all batches once; give loss and accuracy averaged over samples."""
    run.model.train()
    loss_sum, correct, count = 0.0, 0, 0
    epoch = len(run.history) + 1
    batches = Progress(run.train_loader, f"epoch {epoch}/{run.epochs}", run.epochs - epoch)
    for number, (images, targets) in enumerate(batches, start=1):
        images, targets = images.to(device), targets.to(device)
        with autocast(device, run.amp):
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
        raise TrainingError("The training loader has no batch: is the data set empty?")
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
    run = Run(model, optimizer, scheduler, train_loader, epochs, callbacks, amp, scaler)
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


def learning_rate_range_test(
    model: nn.Module,
    loader: DataLoader,
    optimizer: Optimizer,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    loss_fn: nn.Module | None = None,
) -> pd.DataFrame:
    """Train for a few steps with an ever larger learning rate, to see which rates work.

    From L. N. Smith, Cyclical Learning Rates for Training Neural Networks (2015). Model, optimizer,
    loader and random generators are as before afterwards.

    Args:
        model: The network, on its device.
        loader: Batches for training; it is started again when it ends.
        optimizer: Several parameter groups keep the ratio of their rates.
        low: The first learning rate (of the first group).
        high: The last one.
        steps: How many batches; the test ends early when the loss explodes.
        loss_fn: See `fit`.

    Returns:
        One row a step: learning_rate, loss, and smoothed (the loss averaged over the last steps).

    Raises:
        TrainingError: The loader has no batch.
    """
    loss_fn = loss_fn or default_loss
    device = next(model.parameters()).device
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    generators, was_training = random_state(loader), model.training
    shares = [group["lr"] / optimizer.param_groups[0]["lr"] for group in optimizer.param_groups]
    rates = np.geomspace(low, high, steps)
    rows: list[tuple[float, float, float]] = []
    try:
        model.train()
        for rate, (images, targets) in zip(rates, _endless(loader), strict=False):
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = float(rate) * share
            loss = loss_fn(model(images.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average = 0.8 * rows[-1][2] + 0.2 * loss.item() if rows else loss.item()
            rows.append((float(rate), loss.item(), average))
            if not average < 4 * min(row[2] for row in rows):
                break
    finally:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
        optimizer.zero_grad()
        model.train(was_training)
        set_random_state(generators, loader)
    return pd.DataFrame(rows, columns=["learning_rate", "loss", "smoothed"])


def suggest_learning_rate(test: pd.DataFrame) -> float:
    """Suggest a learning rate: where the loss falls fastest, over the logarithm of the rate.

    Args:
        test: What `learning_rate_range_test` returned.

    Returns:
        A learning rate of the test.

    Raises:
        ValueError: The test has fewer than three steps.
    """
    if len(test) < 3:
        raise ValueError(f"{len(test)} steps are too few to suggest a rate: give more `steps`.")
    # The first steps are noise, and after the lowest point the loss only explodes.
    until = max(int(test["smoothed"].idxmin()), 5)
    slopes = np.gradient(test["smoothed"][: until + 1], np.log(test["learning_rate"][: until + 1]))
    return float(test["learning_rate"].iloc[int(np.argmin(slopes))])


def _endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Go through a loader again and again."""
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise TrainingError("The training loader has no batch: is the data set empty?")


def save_checkpoint(run: Run, path: str | Path) -> None:
    """Write all that a run needs to go on, in one step: the file is whole or not there.

    Args:
        run: The training run.
        path: The file to write.

    Raises:
        TrainingError: It cannot be written; the last good file stays.
    """
    save_atomically(_run_state(run), path)


def save_atomically(state: dict[str, Any], path: str | Path) -> None:
    """Write a state dict so that a crash in the middle leaves the file that was there before.

    Args:
        state: Anything that `torch.load(…, weights_only=True)` can read back.
        path: The file to write; its folder is made.

    Raises:
        TrainingError: It cannot be written.
    """
    path = Path(path)
    scratch = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # By way of memory: Ctrl-C or a full disk while `torch.save` writes to a file becomes an
        # error about the inside of its format, or ends the process.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with open(scratch, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        _remove_left_behind(path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TrainingError(f"{path.name} could not be written: {reason}.") from error
    finally:
        with suppress(OSError):  # it is there only when something failed
            scratch.unlink()


def _remove_left_behind(path: Path) -> None:
    """Remove what killed processes left half-written; a young file may be another's at work."""
    for scratch in path.parent.glob(f".{glob.escape(path.name)}-*"):
        with suppress(OSError):
            if time.time() - scratch.stat().st_mtime > LEFT_BEHIND:
                scratch.unlink()


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load the weights of a file that `fit` or `save_atomically` wrote.

    The file is read with `weights_only=True`: unlike an ordinary pickle it cannot run code, so it
    may come from anyone.

    Args:
        model: Gets the weights; every name and shape must fit.
        path: A checkpoint of `fit`, or a plain state dict.

    Raises:
        TrainingError: The file is missing, damaged, or of another network.
    """
    load_into(model, read_weights(path), Path(path).name)


def load_into(model: nn.Module, weights: Any, name: str) -> None:
    """Load weights only if all of them fit.

    Args:
        model: Gets the weights; every name and shape must fit.
        weights: Tensors by name; what came from a file may be anything.
        name: Of the file, for the message.

    Raises:
        TrainingError: They are no weights, or those of another network.
    """
    _require_tensors(weights, name)
    _require_fit(model, weights, name)
    model.load_state_dict(weights)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read weights without running code from the file.

    Args:
        path: A checkpoint of `fit`, or a plain state dict.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        TrainingError: The file is missing or damaged, or holds more than weights.
    """
    state = read_file(path)
    weights = state.get("model", state)
    _require_tensors(weights, Path(path).name)
    return weights


def load_checkpoint(run: Run, path: str | Path) -> None:
    """Bring a run into the state in which a checkpoint was written.

    Args:
        run: A run with the same network, optimizer, scheduler and callbacks; changed in place.
        path: A file that `fit` wrote.

    Raises:
        TrainingError: The file is missing, damaged, or of another run.
    """
    state = read_file(path)
    name = Path(path).name
    if "optimizer" not in state:
        raise TrainingError(f"{name} holds weights only, and no run to go on with: load_weights.")
    if missing := CHECKPOINT_KEYS - state.keys():
        raise TrainingError(
            f"{name} is no whole checkpoint: it lacks {', '.join(sorted(missing))}."
        )
    _require_tensors(state["model"], name)
    _require_fit(run.model, state["model"], name)
    if not isinstance(state["callbacks"], list) or len(state["callbacks"]) != len(run.callbacks):
        count = len(state["callbacks"]) if isinstance(state["callbacks"], list) else "no"
        raise TrainingError(f"{name} was written with {count} callbacks.")
    if (state["scheduler"] is None) != (run.scheduler is None):
        raise TrainingError(f"Only one of {name} and this run has a scheduler.")
    before = copy.deepcopy(_run_state(run))
    try:
        History(state["history"]).frame.astype(float)
        if not isinstance(state["scaler"], dict):
            raise TypeError("its scaler is no dict")
        _set_run_state(run, state)
    except Exception as error:  # what a file of other hands holds may be anything
        _set_run_state(run, before)
        raise TrainingError(
            f"{name} was written by another run, with another optimizer perhaps: {error}."
        ) from error


def _run_state(run: Run) -> dict[str, Any]:
    """Collect all that a run needs to go on."""
    return {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict() if run.scheduler else None,
        "scaler": run.scaler.state_dict(),
        "callbacks": [callback.state_dict() for callback in run.callbacks],
        "history": run.history.rows,
        "stop": run.stop,
        "random": random_state(run.train_loader),
    }


def _set_run_state(run: Run, state: dict[str, Any]) -> None:
    """Bring a run into a state that `_run_state` gave."""
    rows = [{column: row[column] for column in COLUMNS} for row in state["history"]]
    run.optimizer.load_state_dict(state["optimizer"])
    run.model.load_state_dict(state["model"])
    if run.scheduler is not None:
        run.scheduler.load_state_dict(state["scheduler"])
    run.scaler.load_state_dict(state["scaler"])
    for callback, kept in zip(run.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(kept)
    run.history.rows[:] = rows
    run.stop = bool(state["stop"])
    set_random_state(state["random"], run.train_loader)


def _require_tensors(weights: Any, name: str) -> None:
    """Refuse anything but tensors by name, of kinds that can be copied into a network."""
    if not isinstance(weights, dict):
        raise TrainingError(f"{name} holds no weights by name, and was not loaded.")
    for key, value in weights.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided
        odd = plain and (value.is_meta or value.is_nested or value.is_quantized)
        if not plain or odd or value.is_complex():
            raise TrainingError(f"{name} holds no numbers for {key!r}, and was not loaded.")


def _require_fit(model: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    """Refuse weights that do not fit, before any of them is loaded.

    `load_state_dict` complains too, but only after it has loaded those that fit.
    """
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items()}
    if own == given:
        return
    odd = next(key for key in [*own, *given] if own.get(key) != given.get(key))
    raise TrainingError(
        f"{name} does not fit this network: {odd} is {given.get(odd, 'missing')} in the file and "
        f"{own.get(odd, 'missing')} in the network."
    )


def read_file(path: str | Path) -> dict[str, Any]:
    """Read a file of torch.save without running code from it.

    Args:
        path: A file that holds a dict.

    Returns:
        Its content, tensors on the CPU.

    Raises:
        TrainingError: The file is missing or damaged, or holds more than numbers and text.
    """
    path = Path(path)
    if not path.is_file():
        raise TrainingError(f"There is no file {path}.")
    try:
        with open(path, "rb") as file:
            if file.read(2) == b"PK" and (part := zipfile.ZipFile(file).testzip()):
                # torch writes checksums, but it does not look at them.
                raise zipfile.BadZipFile(part)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged and for hostile files
        raise TrainingError(
            f"{path.name} is damaged or holds more than weights, and was not loaded."
        ) from error
    if not isinstance(state, dict):
        raise TrainingError(f"{path.name} holds no weights by name, and was not loaded.")
    return state


def random_state(loader: DataLoader) -> dict[str, Any]:
    """Collect the state of every random generator that training draws from.

    Args:
        loader: Its own generators count, too.

    Returns:
        States by the name of the generator, in a form that a checkpoint can keep.
    """
    version, internal, gauss = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "python": [version, list(internal), gauss],
        "numpy": [numpy_state[0], torch.from_numpy(numpy_state[1].copy()), *numpy_state[2:]],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "loader": [generator.get_state() for generator in _generators(loader)],
    }


def set_random_state(state: dict[str, Any], loader: DataLoader) -> None:
    """Bring every random generator back to an earlier state.

    Args:
        state: What `random_state` gave.
        loader: The loader that it was asked about, or one like it.
    """
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy(), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    for generator, kept in zip(_generators(loader), state["loader"], strict=True):
        generator.set_state(kept)


def _generators(loader: DataLoader) -> list[torch.Generator]:
    """Find the generators that decide the order of a loader; each once."""
    found = [loader.generator, getattr(loader.sampler, "generator", None)]
    unique = {id(generator): generator for generator in found if generator is not None}
    return list(unique.values())
