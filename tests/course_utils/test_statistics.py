"""Counts, means and standard deviations against NumPy."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from course_utils import statistics
from course_utils.datasets import ImageFiles, InMemoryDataset, image_folder

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"


def test_counts_without_opening_an_image(monkeypatch):
    folder = image_folder(PHOTOS)
    parts = {"train": folder.subset([0, 1, 8]), "val": folder.subset([23])}
    monkeypatch.setattr(Image, "open", None)
    counts = statistics.class_counts(parts)
    assert counts.index.tolist() == ["birds", "fruit", "vehicles"]
    assert counts.index.name == "class"
    assert counts["train"].tolist() == [2, 1, 0]
    assert counts["val"].tolist() == [0, 0, 1]
    in_memory = InMemoryDataset(
        torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([2, 0, 2]), folder.classes
    )
    assert statistics.class_counts({"all": in_memory})["all"].tolist() == [1, 0, 2]


def test_nothing_is_lost_to_cancellation():
    generator = torch.Generator().manual_seed(0)
    images = 1e6 + torch.rand(40, 1, 50, 50, generator=generator, dtype=torch.float64)
    _, std = statistics.mean_and_std([(batch, None) for batch in images.split(3)])
    np.testing.assert_allclose(std, images.numpy().std(), rtol=1e-6)


def test_properties_come_from_the_headers(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    Image.new("L", (5, 7)).save(tmp_path / "b.jpg")
    (tmp_path / "c.png").write_text("no image")
    names = ["a.png", "b.jpg", "c.png"]
    samples = [(str(tmp_path / name), number % 2) for number, name in enumerate(names)]
    frame = statistics.image_properties(ImageFiles(samples, ["x", "y"]))
    assert frame["path"].tolist() == [path for path, _ in samples]
    assert frame["class"].tolist() == ["x", "y", "x"]
    assert frame["width"].tolist() == [30, 5, 0]
    assert frame["height"].tolist() == [20, 7, 0]
    assert frame["mode"].tolist() == ["RGB", "L", "unreadable"]
