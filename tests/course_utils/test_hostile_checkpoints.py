"""Checkpoints from strangers run no code, and a file that is not right changes nothing."""

import ast
import copy
import io
import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from test_training import DrawsAndRemembers, assert_same, loaders, network

from course_utils import checkpoints, training
from course_utils.checkpoints import load_weights, read_weights
from course_utils.errors import TrainingError
from course_utils.training import fit

PACKAGE = Path(__file__).resolve().parents[2] / "course_utils"


def calls(name):
    """Every call of a function in the package, as (file, arguments by name)."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                yield path.name, {word.arg: ast.unparse(word.value) for word in node.keywords}


def test_every_load_in_the_package_is_of_weights_only():
    found = list(calls("torch.load"))
    assert found
    assert all(arguments.get("weights_only") == "True" for _, arguments in found)


def test_the_only_pickles_are_those_whose_checksum_is_known():
    assert [file for file, _ in calls("pickle.load")] == ["catalog.py"]
    assert list(calls("pickle.loads")) == list(calls("pickle.Unpickler")) == []


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
            target.writestr(
                name, pickle.dumps(value, protocol=2) if is_pickle else source.read(name)
            )


WAYS = [as_plain_pickle, as_torch_file, as_old_torch_file, in_place_of_good_weights]


@pytest.mark.parametrize("write", WAYS)
def test_code_in_a_file_is_not_run(write, tmp_path):
    path, proof = tmp_path / "model.pt", tmp_path / "it ran"
    write(path, {"model": network().state_dict(), "extra": Runs(proof)})
    pickle_runs_it = tmp_path / "plain.pt"
    as_plain_pickle(pickle_runs_it, Runs(proof))
    pickle.loads(pickle_runs_it.read_bytes())
    assert proof.exists()  # so the file is as bad as it should be
    proof.rmdir()
    for load in (read_weights, lambda name: load_weights(network(), name)):
        with pytest.raises(TrainingError, match="damaged or holds more than weights"):
            load(path)
    model = network()
    optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(TrainingError, match="damaged or holds more than weights"):
        fit(model, *loaders(), optimizer, 1, checkpoint=path, resume=True)
    assert not proof.exists()


class Started:
    """A run with everything that a checkpoint holds."""

    def __init__(self):
        torch.manual_seed(1)
        self.model = network()
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, 1)
        self.callbacks = [DrawsAndRemembers(), training.EarlyStopping()]
        self.train_loader, self.val_loader = loaders()
        self.run = training.TrainerState(
            self.model, self.optimizer, self.scheduler, self.train_loader, 2, self.callbacks
        )

    def fit(self, path):
        fit(
            self.model, self.train_loader, self.val_loader, self.optimizer, 2,
            scheduler=self.scheduler, callbacks=self.callbacks, checkpoint=path,
        )  # fmt: skip

    def state(self):
        return copy.deepcopy(training._run_state(self.run))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "run.pt"
    Started().fit(path)
    return path


def assert_unchanged(started, before):
    after = started.state()
    assert_same(after["model"], before["model"])
    for key in ("optimizer", "scheduler", "callbacks", "history", "stop", "random"):
        assert str(after[key]) == str(before[key]), key


def change(state, where, value):
    *path, last = where
    for key in path:
        state = state[key]
    if value is KeyError:
        del state[last]
    else:
        state[last] = value


WRONG = [
    *[
        ((key,), KeyError)
        for key in sorted(checkpoints.CHECKPOINT_KEYS)
        if key not in ("optimizer", "model")
    ],
    *[((key,), "text") for key in sorted(checkpoints.CHECKPOINT_KEYS) if key != "stop"],
    *[((key,), [1, 2]) for key in sorted(checkpoints.CHECKPOINT_KEYS) if key != "stop"],
    (("history", 0, "epoch"), KeyError),
    (("history", 0, "val_loss"), "text"),
    (("optimizer", "param_groups"), []),
    (("optimizer", "state"), 5),
    (("callbacks", 1), {}),
    (("callbacks", 0), []),
    (("random", "torch"), torch.zeros(3)),
    (("random", "python"), []),
    (("random", "loader"), []),
    (("random", "numpy"), ["MT19937", torch.zeros(3), 0, 0, 0.0]),
    (("model", "0.weight"), torch.zeros(1)),
    (("model", "0.weight"), "text"),
]
ODD_TENSORS = {
    "sparse": torch.zeros(3).to_sparse(),
    "complex": torch.zeros(3, dtype=torch.complex64),
    "meta": torch.zeros(3, device="meta"),
    "quantized": torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.quint8),
    "a list": [0.0, 0.0, 0.0],
}


@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_weights_of_an_odd_kind_change_nothing(kind, tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    before = copy.deepcopy(model.state_dict())
    # The first tensor fits, so loading one after the other would change the model.
    weights = {key: value + 1 for key, value in before.items()} | {"1.weight": ODD_TENSORS[kind]}
    torch.save(weights, tmp_path / "model.pt")
    with pytest.raises(TrainingError, match=r"model\.pt"):
        load_weights(model, tmp_path / "model.pt")
    assert_same(model.state_dict(), before)


def test_a_number_in_place_of_a_scalar_tensor_changes_nothing(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    before = copy.deepcopy(model.state_dict())
    torch.save({**before, "0.bias": before["0.bias"] + 1, "1.num_batches_tracked": 5},
               tmp_path / "model.pt")  # fmt: skip
    with pytest.raises(TrainingError, match=r"no numbers for '1\.num_batches_tracked'"):
        load_weights(model, tmp_path / "model.pt")
    assert_same(model.state_dict(), before)


@pytest.mark.parametrize("place", WRONG, ids=str)
def test_a_checkpoint_with_something_wrong_changes_nothing(place, good, tmp_path):
    state = torch.load(good, weights_only=True)
    change(state, *place)
    path = tmp_path / "run.pt"
    torch.save(state, path)
    started = Started()
    before = started.state()
    with pytest.raises(TrainingError, match=r"run\.pt"):
        checkpoints.load_checkpoint(started.run, path)
    assert_unchanged(started, before)


def test_a_damaged_checkpoint_is_refused_or_right(good, tmp_path):
    content, path = good.read_bytes(), tmp_path / "run.pt"
    rng = random.Random(0)
    cut = [content[: rng.randrange(len(content))] for _ in range(50)]
    flipped = []
    for _ in range(150):
        data = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        flipped.append(bytes(data))
    refused = 0
    started = Started()
    before = started.state()
    checkpoints.load_checkpoint(started.run, good)
    right = started.state()
    training._set_run_state(started.run, copy.deepcopy(before))
    for data in cut + flipped:
        path.write_bytes(data)
        try:
            checkpoints.load_checkpoint(started.run, path)
        except TrainingError as error:
            assert "run.pt" in str(error)
            assert_unchanged(started, before)
            refused += 1
        else:
            assert_unchanged(started, right)
            training._set_run_state(started.run, copy.deepcopy(before))
    assert refused >= 50
