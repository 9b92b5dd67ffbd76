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

PARTS = ("optimizer", "model", "scaler", "scheduler")  # attributes of `TrainerState`


def save_checkpoint(run: Any, path: str | Path) -> None:
    """Save everything needed to resume a run bit for bit; raise TrainingError if writing fails."""
    state = {key: getattr(run, key).state_dict() for key in PARTS if getattr(run, key) is not None}
    state |= {"history": run.history.rows, "best_weights": run.best_weights, "stop": run.stop}
    state["random"] = get_random_state(run.train_loader)
    try:
        save_atomically(state, path)
    except WeightsError as error:
        raise TrainingError(str(error)) from error


def load_checkpoint(run: Any, path: str | Path) -> None:
    """Restore a `TrainerState` from a checkpoint."""
    state, name = read_file(path), Path(path).name
    if "optimizer" not in state:
        raise WeightsError(f"{name} contains only weights, no run to resume: use load_weights.")
    _require_fit(run.model, state["model"], name)
    if ("scheduler" in state) != (run.scheduler is not None):
        raise WeightsError(f"{name} belongs to a different run: only one of them has a scheduler.")
    try:
        for part in PARTS:
            if part in state:
                getattr(run, part).load_state_dict(state[part])
        set_random_state(state["random"], run.train_loader)
    except Exception as error:  # optimizers and schedulers raise many types of errors
        raise WeightsError(f"{name} belongs to a different run: {error}.") from error
    run.history.rows[:] = state["history"]
    run.best_weights, run.stop = state["best_weights"], state["stop"]


def save_atomically(state: dict[str, Any], path: str | Path) -> None:
    """Write a state dict atomically: a crash leaves the previous file unchanged."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    # If torch.save writes to a file itself, Ctrl-C or a full disk can crash the process.
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
    """Load weights from a file written by `fit` or `save_atomically`; see `read_weights`."""
    load_into(model, read_weights(path), Path(path).name)


def load_into(model: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    """Load weights read from the file `name`; raise WeightsError unless all of them fit."""
    _require_fit(model, weights, name)
    model.load_state_dict(weights)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict, or the weights of a checkpoint (with early stopping, the best ones)."""
    state = read_file(path)
    weights = state.get("best_weights") or state.get("model", state)
    if not isinstance(weights, dict) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise WeightsError(f"{Path(path).name} does not contain a state dict and was not loaded.")
    return weights


def read_file(path: str | Path) -> dict[str, Any]:
    """Load a dictionary of tensors, numbers and strings on the CPU; no code in the file is run."""
    path = Path(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WeightsError(f"There is no file {path}.") from None
    except (IsADirectoryError, PermissionError) as error:
        raise WeightsError(f"{path.name} could not be read: {error.strerror}.") from error
    except Exception as error:  # many types, including OSError, for damaged files
        message = f"{path.name} is damaged or holds more than weights, and was not loaded."
        raise WeightsError(message) from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path.name} does not contain a state dict and was not loaded.")
    return state


def _require_fit(model: nn.Module, weights: dict[str, Any], name: str) -> None:
    """Raise WeightsError before anything is loaded; `load_state_dict` first loads what fits."""
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(getattr(value, "shape", ())) for key, value in weights.items()}
    for key in own | given:
        if own.get(key) != given.get(key):
            raise WeightsError(
                f"{name} does not fit this network: {key} is {given.get(key, 'missing')} in the "
                f"file and {own.get(key, 'missing')} in the network."
            )


def get_random_state(loader: DataLoader) -> dict[str, Any]:
    """Return the states of all random generators that training uses, including the loader's."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "mps": torch.mps.get_rng_state() if torch.backends.mps.is_available() else None,
        "loader": [generator.get_state() for generator in _generators(loader)],
    }


def set_random_state(state: dict[str, Any], loader: DataLoader) -> None:
    """Restore the states from `get_random_state`, for the same loader or one built alike."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    torch.cuda.set_rng_state_all(state["cuda"])
    if state["mps"] is not None and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
    for generator, kept in zip(_generators(loader), state["loader"], strict=True):
        generator.set_state(kept)


def _generators(loader: DataLoader) -> list[torch.Generator]:
    """Return the generators that determine the order of a loader."""
    found = [loader.generator, getattr(loader.sampler, "generator", None)]
    return [generator for generator in found if generator is not None]
