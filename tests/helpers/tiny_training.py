"""A tiny network, its data, and a training run for tests."""

import random

import numpy as np
import torch
from torch import nn
from torch.optim import SGD

from course_utils.datasets import InMemoryDataset, make_loader
from course_utils.training import Callback, fit


def data(count=50, classes=3, seed=0):
    """Small images whose brightness depends on their class."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, classes, (count,), generator=generator)
    noise = torch.randint(0, 100, (count, 1, 4, 4), generator=generator)
    images = (noise + 50 * targets[:, None, None, None]).to(torch.uint8)
    names = [str(label) for label in range(classes)]
    return InMemoryDataset(images, targets, names, batch_transform=lambda x: x.float() / 255)


def loaders(batch_size=8):
    return make_loader(data(), batch_size, shuffle=True), make_loader(data(23, seed=1), batch_size)


def network(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(16, outputs),
    )  # fmt: skip


def train(epochs=2, lr=0.05, batch_size=8, **options):
    """Train a new network; return it and its history."""
    model = network()
    history = fit(model, *loaders(batch_size), SGD(model.parameters(), lr=lr), epochs, **options)
    return model, history


class Draws(Callback):
    """Uses every random generator, as an augmentation might, and replaces the seconds by it."""

    def on_epoch_end(self, run):
        drawn = random.random() * np.random.rand() * torch.rand(()).item()
        run.history.rows[-1]["seconds"] = drawn


def assert_same(one, two):
    assert one.keys() == two.keys()
    for key in one:
        assert torch.equal(one[key], two[key]), key
