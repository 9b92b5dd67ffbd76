"""Save and load training runs and weights."""

import copy
import glob
import io
import os
import random
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.errors import TrainingError

if TYPE_CHECKING:
    from course_utils.training import TrainerState

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


def save_checkpoint(run: "TrainerState", path: str | Path) -> None:
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


def load_checkpoint(run: "TrainerState", path: str | Path) -> None:
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
        if not isinstance(state["scaler"], dict):
            raise TypeError("its scaler is no dict")
        _set_run_state(run, state)
    except Exception as error:  # what a file of other hands holds may be anything
        _set_run_state(run, before)
        raise TrainingError(
            f"{name} was written by another run, with another optimizer perhaps: {error}."
        ) from error


def _run_state(run: "TrainerState") -> dict[str, Any]:
    """Collect all that a run needs to go on."""
    return {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scheduler": run.scheduler.state_dict() if run.scheduler else None,
        "scaler": run.scaler.state_dict(),
        "callbacks": [callback.state_dict() for callback in run.callbacks],
        "history": run.history.rows,
        "stop": run.stop,
        "random": get_random_state(run.train_loader),
    }


def _set_run_state(run: "TrainerState", state: dict[str, Any]) -> None:
    """Bring a run into a state that `_run_state` gave."""
    run.optimizer.load_state_dict(state["optimizer"])
    run.model.load_state_dict(state["model"])
    if run.scheduler is not None:
        run.scheduler.load_state_dict(state["scheduler"])
    run.scaler.load_state_dict(state["scaler"])
    for callback, kept in zip(run.callbacks, state["callbacks"], strict=True):
        callback.load_state_dict(kept)
    run.history.rows[:] = state["history"]
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


def get_random_state(loader: DataLoader) -> dict[str, Any]:
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
        state: What `get_random_state` gave.
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
