"""Resuming is exact, a file that does not fit loads nothing, and no file runs code."""

import ast
import copy
import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import Draws, assert_same, loaders, network, train
from torch.optim import lr_scheduler

from course_utils import checkpoints, training
from course_utils.checkpoints import load_weights, read_weights, save_atomically
from course_utils.errors import TrainingError, WeightsError
from course_utils.training import fit

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("schedule", ["epoch", "batch", "plateau"])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_resuming_is_exact(schedule, stop_after, tmp_path):
    def run(epochs, **options):
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        if schedule == "plateau":  # every second epoch is one
            scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, threshold=10)
        else:
            scheduler = lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=30)
            options["schedule_every"] = schedule
        options |= {"scheduler": scheduler, "callbacks": [Draws()]}
        history = fit(model, *loaders(), optimizer, epochs, **options)
        assert len(set(history["learning_rate"])) > 1 or epochs < 4
        return model.state_dict(), history, torch.rand(1), random.random(), np.random.rand()

    training.seed_everything(3)
    uninterrupted = run(4)
    training.seed_everything(3)
    path = tmp_path / "run.pt"
    run(stop_after, checkpoint=path)
    training.seed_everything(99)  # as in another process
    resumed = run(4, resume=True, checkpoint=path)
    assert_same(resumed[0], uninterrupted[0])
    assert resumed[1:] == uninterrupted[1:]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_resuming_in_reduced_precision_is_exact(dtype, monkeypatch, tmp_path):
    monkeypatch.setattr(training, "amp_dtype", lambda device: dtype)
    whole, _ = train(3, amp=True)
    path = tmp_path / "run.pt"
    train(2, amp=True, checkpoint=path)
    assert bool(torch.load(path, weights_only=True)["scaler"]) == (dtype == torch.float16)
    resumed, history = train(3, amp=True, checkpoint=path, resume=True)
    assert len(history) == 3
    assert_same(whole.state_dict(), resumed.state_dict())


def test_resuming_without_a_file_and_after_the_end(tmp_path):
    options = {"checkpoint": tmp_path / "run.pt", "resume": True}
    model, history = train(2, **options)
    again, same_history = train(2, **options)
    assert len(history) == len(same_history) == 2
    assert_same(again.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outputs": 5}, "run.pt does not fit this network"),
        ({"scheduler": None}, "belongs to a different run: only one of them has a scheduler"),
        ({"one_group": False}, "run.pt belongs to a different run: .*parameter group"),
    ],
)
def test_a_checkpoint_of_a_different_run_loads_nothing(change, message, tmp_path):
    path, state = tmp_path / "run.pt", {}

    def run(epochs, outputs=3, one_group=True, **options):
        model = network(outputs)
        state.update(before=copy.deepcopy(model.state_dict()), after=model.state_dict())
        groups = [{"params": layer.parameters()} for layer in model]
        optimizer = torch.optim.Adam(model.parameters() if one_group else groups)
        options.setdefault("scheduler", lr_scheduler.StepLR(optimizer, 1))
        fit(model, *loaders(), optimizer, epochs, checkpoint=path, resume=True, **options)

    run(1)
    content = path.read_bytes()
    with pytest.raises(WeightsError, match=message):
        run(2, **change)
    assert_same(state["after"], state["before"])
    assert path.read_bytes() == content


def test_weights_are_not_a_run(tmp_path):
    save_atomically(network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(WeightsError, match="contains only weights"):
        train(2, checkpoint=tmp_path / "weights.pt", resume=True)


def test_save_and_load_weights(tmp_path):
    model, other = network(), network(outputs=3)
    torch.nn.init.zeros_(other[0].weight)
    save_atomically(model.state_dict(), tmp_path / "new" / "weights.pt")
    load_weights(other, tmp_path / "new" / "weights.pt")
    assert_same(other.state_dict(), model.state_dict())
    assert os.listdir(tmp_path / "new") == ["weights.pt"]


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="weights.pt could not be written: "):
        save_atomically({}, tmp_path / "file" / "weights.pt")
    with pytest.raises(TrainingError, match="run.pt could not be written") as caught:
        train(2, checkpoint=tmp_path / "file" / "run.pt")
    assert len(caught.value.history) == 1


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_the_last_good_file_survives_a_full_disk(moment, tmp_path, monkeypatch):
    path = tmp_path / "weights.pt"
    save_atomically({"a": torch.ones(3)}, path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, moment, fail)
    with pytest.raises(WeightsError, match="weights.pt could not be written: No space left"):
        save_atomically({"a": torch.zeros(3)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["weights.pt"]


def test_files_that_cannot_be_read(tmp_path):
    path, folder = tmp_path / "weights.pt", tmp_path / "folder.pt"
    with pytest.raises(WeightsError, match=r"There is no file .*weights\.pt"):
        read_weights(path)
    folder.mkdir()
    with pytest.raises(WeightsError, match="folder.pt could not be read: "):
        read_weights(folder)
    save_atomically({"weight": torch.zeros(10_000)}, path)
    content = path.read_bytes()
    for length in (0, 1, 900, 5000):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="weights.pt is damaged"):
            read_weights(path)
    for value in (torch.ones(3), {"a": [0.0]}, {"model": "text"}):
        torch.save(value, path)
        with pytest.raises(WeightsError, match="does not contain a state dict"):
            read_weights(path)


@pytest.mark.parametrize("damage", ["another shape", "missing", "unknown", "a list"])
def test_weights_that_do_not_fit_load_nothing(damage, tmp_path):
    path, model = tmp_path / "weights.pt", network()
    before = copy.deepcopy(model.state_dict())
    weights = {name: tensor + 1 for name, tensor in before.items()}
    if damage == "missing":
        del weights["5.bias"]
    else:
        name = "extra" if damage == "unknown" else "5.bias"
        weights[name] = [0.0] * 3 if damage == "a list" else torch.zeros(7)
    torch.save(weights, path)
    message = {
        "another shape": r"does not fit this network: 5\.bias is \(7,\) in the file and \(3,\) in",
        "missing": r"5\.bias is missing in the file",
        "unknown": r"extra is \(7,\) in the file and missing in the network",
        "a list": "does not contain a state dict",
    }[damage]
    with pytest.raises(WeightsError, match=message):
        load_weights(model, path)
    with pytest.raises(WeightsError, match="does not fit this network"):
        checkpoints.load_into(model, weights, "weights.pt")
    assert_same(model.state_dict(), before)


def test_every_load_in_the_packages_is_of_weights_only():
    paths = [*ROOT.glob("course_utils/*.py"), *ROOT.glob("image_classifier/*.py")]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    loads = [
        {word.arg: ast.unparse(word.value) for word in node.keywords}
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"
    ]
    assert loads
    assert all(arguments.get("weights_only") == "True" for arguments in loads)


class Runs:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def as_plain_pickle(path, value):
    path.write_bytes(pickle.dumps(value, protocol=2))


def as_torch_file(path, value):
    torch.save(value, path)


def as_old_torch_file(path, value):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def in_place_of_good_weights(path, value):
    """A good file in which only the pickle was replaced."""
    good = io.BytesIO()
    torch.save({"model": torch.zeros(2)}, good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            is_pickle = name.endswith("data.pkl")
            content = pickle.dumps(value, protocol=2) if is_pickle else source.read(name)
            target.writestr(name, content)


@pytest.mark.parametrize(
    "write", [as_plain_pickle, as_torch_file, as_old_torch_file, in_place_of_good_weights]
)
def test_code_in_a_file_is_not_run(write, tmp_path):
    path, proof = tmp_path / "model.pt", tmp_path / "it ran"
    write(path, {"model": network().state_dict(), "extra": Runs(proof)})
    pickle.loads(pickle.dumps(Runs(proof)))
    proof.rmdir()  # it existed, so the file is dangerous
    with pytest.raises(WeightsError, match="damaged or holds more than weights"):
        load_weights(network(), path)
    with pytest.raises(WeightsError, match="damaged or holds more than weights"):
        train(1, checkpoint=path, resume=True)
    assert not proof.exists()


def test_restored_random_state_continues_the_sequences():
    loader = loaders()[0]
    state = checkpoints.get_random_state(loader)

    def draw():
        return random.random(), torch.rand(2).tolist(), next(iter(loader))[1].tolist()

    first = draw()
    assert draw() != first
    checkpoints.set_random_state(state, loader)
    assert draw() == first
