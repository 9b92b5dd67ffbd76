"""Save and load weights and training runs."""

import io
import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from course_utils.errors import TrainingError, WeightsError


def save_checkpoint(run: Any, path: str | Path) -> None:
    """Write the state of a `TrainerState`; raise TrainingError if it cannot be written."""
    try:
        save_atomically(run.state_dict(), path)
    except WeightsError as error:
        raise TrainingError(str(error)) from error


def load_checkpoint(run: Any, path: str | Path) -> None:
    """Bring a `TrainerState` into the state in which a checkpoint was written."""
    state, name = read_file(path), Path(path).name
    if "optimizer" not in state:
        raise WeightsError(f"{name} holds weights only, and no run to resume: use load_weights.")
    _require_fit(run.model, state["model"], name)
    try:
        run.load_state_dict(state)
    except Exception as error:  # optimizers, schedulers and callbacks raise many kinds
        raise WeightsError(f"{name} belongs to a different run: {error}.") from error


def save_atomically(state: dict[str, Any], path: str | Path) -> None:
    """Write a state dict; a crash while writing leaves the previous file as it was."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    # Ctrl-C or a full disk while torch.save writes to a file can end the process; not in memory.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise WeightsError(f"{path.name} could not be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):  # it exists only if something failed
            partial.unlink()


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load the weights of a file that `fit` or `save_atomically` wrote; see `read_weights`."""
    load_into(model, read_weights(path), Path(path).name)


def load_into(model: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    """Load weights from the file `name` if all of them fit; otherwise raise WeightsError."""
    _require_fit(model, weights, name)
    model.load_state_dict(weights)


def _require_fit(model: nn.Module, weights: Any, name: str) -> None:
    """Refuse weights that do not fit; `load_state_dict` does so after loading those that fit."""
    _require_weights(weights, name)
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items()}
    for key in own | given:
        if own.get(key) != given.get(key):
            raise WeightsError(
                f"{name} does not fit this network: {key} is {given.get(key, 'missing')} in the "
                f"file and {own.get(key, 'missing')} in the network."
            )


def _require_weights(weights: Any, name: str) -> None:
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise WeightsError(f"{name} holds no weights by name, and was not loaded.")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a checkpoint, or a plain state dict; see `read_file`.

    With early stopping, a checkpoint has those of the last epoch to resume from, and the best so
    far, which are returned.
    """
    state = read_file(path)
    weights = state.get("best_weights") or state.get("model", state)
    _require_weights(weights, Path(path).name)
    return weights


def read_file(path: str | Path) -> dict[str, Any]:
    """Read a dictionary that `torch.save` wrote, to the CPU, without running code from the file.

    Raises:
        WeightsError: It cannot be read, or contains more than tensors, numbers and text.
    """
    path = Path(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"There is no file {path}.") from None
    except OSError as error:
        raise WeightsError(f"{path.name} could not be read: {error.strerror}.") from error
    except Exception as error:  # torch raises many kinds for damaged and for hostile files
        message = f"{path.name} is damaged or holds more than weights, and was not loaded."
        raise WeightsError(message) from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path.name} holds no weights by name, and was not loaded.")
    return state


def get_random_state(loader: DataLoader) -> dict[str, Any]:
    """Collect the states of all random generators that training uses, also those of a loader."""
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
    """Restore what `get_random_state` returned, for the same loader or an equal one."""
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
    """Find the generators that decide the order of a loader, each once."""
    found = [loader.generator, getattr(loader.sampler, "generator", None)]
    return list({id(generator): generator for generator in found if generator is not None}.values())
