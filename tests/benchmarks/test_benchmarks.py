"""The benchmarks start, and their table shows what was measured."""

import argparse
import gzip
import runpy
import sys

import numpy as np
import pytest
import torch

from benchmarks import course, features, feeding, reference, solar, timing, to_accuracy, vit
from course_utils.datasets import InMemoryDataset
from course_utils.models import count_parameters


def test_the_command_explains_itself(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("benchmarks", run_name="__main__")
    assert (
        "--only {fashion,cifar,feeding,step,transfer,features,labels,course,vit,solar}"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(("unit", "ratio"), [("s", 0.5), ("MB", 0.5), ("images/s", 2.0)])
def test_a_larger_ratio_is_better_in_every_unit(unit, ratio):
    found = timing.rows("a", {"reference": [1.0, 9.0, 2.0], "ours": [4.0]}, unit)
    assert [row.value for row in found] == [2.0, 4.0]
    assert [row.ratio for row in found] == [1.0, ratio]
    assert found[0].runs == [1.0, 9.0, 2.0]
    assert f"{ratio:.2f}x" in timing.table(found).splitlines()[-1]


def test_contenders_alternate():
    turns = []
    values = timing.alternate(
        {name: lambda name=name: turns.append(name) or len(turns) for name in "ab"}, 3
    )
    assert turns == list("abbaab")
    assert values == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_every_network_accepts_its_images():
    gray, colored = torch.zeros(2, 1, 28, 28), torch.zeros(2, 3, 32, 32)
    assert reference.tutorial_cnn()(gray).shape == (2, 10)
    assert reference.resnet8()(colored).shape == (2, 10)
    for images in (torch.randn(50, 1, 28, 28), torch.randn(50, 3, 32, 32)):
        assert to_accuracy.fast_net(images, (4, 8, 8))(images[:2]).shape == (2, 10)


def test_mirrored_images_are_averaged_in_eval_mode_only():
    net = to_accuracy.MirrorAverage(torch.nn.Flatten())
    images = torch.randn(2, 1, 1, 3)
    assert torch.equal(net(images), images.flatten(1))
    assert torch.allclose(net.eval()(images), (images + images.flip(3)).flatten(1) / 2)


@pytest.mark.parametrize("shift", [0, 2])
def test_the_fast_training_learns_and_records_the_time(shift):
    torch.manual_seed(0)
    targets = torch.arange(300) % 2
    images = torch.randint(100, (300, 1, 28, 28)) + 100 * targets[:, None, None, None]
    data = InMemoryDataset(images.to(torch.uint8), targets, ["dark", "bright"])
    sets = {"train": data, "test": data}
    curve = to_accuracy.train_fast((4, 8, 8), sets, epochs=2, batch_size=8, shift=shift)
    seconds, accuracies = zip(*curve, strict=True)
    assert 0 < seconds[0] < seconds[1]
    assert accuracies[1] > 0.9


def test_a_reference_runs_to_its_goal_and_no_further():
    curve = iter([(1.0, 0.5), (2.0, 0.9), (3.0, 0.95)])
    assert to_accuracy.follow(curve, 0.9) == [(1.0, 0.5), (2.0, 0.9)]
    assert next(curve) == (3.0, 0.95)


def test_the_loaders_are_compared_on_the_same_photographs(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    monkeypatch.setattr(feeding, "COUNT", 30)
    monkeypatch.setattr(feeding, "SIZES", ((320, 240),))
    found = feeding.compare(argparse.Namespace(rounds=1))
    assert len(found) == 6
    assert all(row.value > 0 for row in found)


def test_features_are_compared_with_their_limit(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    monkeypatch.setattr(feeding, "COUNT", 4)
    found = features.compare(argparse.Namespace(rounds=1))
    assert [row.contender for row in found][1] == "compute_features"
    assert "of the limit" in found[1].note


def test_a_command_is_measured_with_its_children():
    child = "import time; data = b'x' * 200_000_000; time.sleep(1)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    _, peak = course.watch("-c", parent)
    assert peak > 200
    with pytest.raises(RuntimeError, match="too bad"):
        course.watch("-c", "raise SystemExit('too bad')")


def write_idx(file, array):
    """Write an array of bytes as a compressed IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    file.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()))


def test_transformer_and_cnn_are_compared_on_the_idx_files(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "output"))
    generator = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 20)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = (np.arange(count) % 10).astype(np.uint8)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels)
    monkeypatch.setattr(vit, "EPOCHS", 1)
    found = vit.compare(argparse.Namespace(fashion_mnist=tmp_path, long_rounds=1))
    assert [row.contender for row in found] == ["CNN", "vision transformer"]
    assert all("after 1 epochs" in row.note for row in found)


def test_transformer_and_cnn_have_about_equal_parameters():
    sizes = [count_parameters(network) for network in (vit.small_vit(), vit.small_cnn())]
    assert abs(sizes[0] / sizes[1] - 1) < 0.02
    assert all(
        network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
        for network in (vit.small_vit(), vit.small_cnn())
    )


def test_solar_cells_are_each_predicted_once_by_all_contenders(monkeypatch):
    is_bright = np.arange(24) % 2 == 0
    images = torch.from_numpy(np.where(is_bright, 200, 50)).to(torch.uint8).view(-1, 1, 1, 1)
    labels, strata = is_bright.astype(float), np.where(is_bright, "mono_100", "mono_0")
    labels[0] = 0.33
    cells = images.expand(-1, 1, 64, 64), labels, strata
    monkeypatch.setattr(solar, "load_cells", lambda: cells)
    monkeypatch.setattr(solar, "IMAGE_SIZE", 64)
    monkeypatch.setattr(solar, "BATCH_SIZE", 4)
    found = solar.compare(argparse.Namespace(long_rounds=1))
    assert [len(row.runs) for row in found] == [1, 1, 1, 1]
    assert found[0].value == pytest.approx(23 / 24)  # the bright cell that counts as functional
    assert found[2].value == pytest.approx(1)
    assert "mean of 1 runs: " in found[3].note
