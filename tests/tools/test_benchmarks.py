"""The benchmarks start, and their table says what was measured."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import reference, timing, to_accuracy
from course_utils.datasets import InMemoryDataset

ROOT = Path(__file__).resolve().parents[2]


def test_the_command_explains_itself():
    command = [sys.executable, "-m", "benchmarks", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--only {fashion,cifar,feeding,step,transfer,labels,course}" in done.stdout


@pytest.mark.parametrize(("unit", "ratio"), [("s", 0.5), ("MB", 0.5), ("images/s", 2.0)])
def test_more_is_better_but_for_seconds_and_memory(unit, ratio):
    found = timing.rows("a", {"reference": [1.0, 9.0, 2.0], "ours": [4.0]}, unit)
    assert [row.value for row in found] == [2.0, 4.0]
    assert [row.ratio for row in found] == [1.0, ratio]
    assert found[0].runs == [1.0, 9.0, 2.0]
    assert f"{ratio:.2f}x" in timing.table(found).splitlines()[-1]


def test_contenders_take_turns():
    turns = []
    values = timing.alternate(
        {name: lambda name=name: turns.append(name) or len(turns) for name in "ab"}, 3
    )
    assert turns == list("abbaab")
    assert values == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_every_network_fits_its_images():
    gray, colored = torch.zeros(2, 1, 28, 28), torch.zeros(2, 3, 32, 32)
    assert reference.tutorial_cnn()(gray).shape == (2, 10)
    assert reference.ResNet8()(colored).shape == (2, 10)
    for images in (torch.randn(50, 1, 28, 28), torch.randn(50, 3, 32, 32)):
        assert to_accuracy.fast_net(images, (4, 8, 8))(images[:2]).shape == (2, 10)


@pytest.mark.parametrize("shift", [0, 2])
def test_the_fast_training_learns_and_notes_the_time(shift):
    torch.manual_seed(0)
    targets = torch.arange(300) % 2
    images = torch.randint(100, (300, 1, 28, 28)) + 100 * targets[:, None, None, None]
    data = InMemoryDataset(images.to(torch.uint8), targets, ["dark", "bright"])
    sets = {"train": data, "test": data}
    curve = to_accuracy.train_fast((4, 8, 8), sets, epochs=2, batch_size=8, shift=shift)
    seconds, accuracies = zip(*curve, strict=True)
    assert 0 < seconds[0] < seconds[1]
    assert accuracies[1] > 0.9


def test_a_reference_is_followed_to_its_goal_and_no_further():
    curve = iter([(1.0, 0.5), (2.0, 0.9), (3.0, 0.95)])
    assert to_accuracy.listen(curve, 0.9) == [(1.0, 0.5), (2.0, 0.9)]
    assert next(curve) == (3.0, 0.95)
