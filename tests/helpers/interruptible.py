"""A training run to interrupt, for a process of its own."""

import os
import random
import signal

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from course_utils import training
from course_utils.datasets import InMemoryDataset, make_loader

EPOCHS = 12
BATCH_SIZE = 16


class Report(training.Callback):
    """Uses every random generator, as an augmentation would, and sends the number of epochs."""

    def __init__(self, connection):
        self.connection, self.total = connection, 0.0

    def on_train_begin(self, run):
        self.connection.send("started")

    def on_batch_end(self, run, loss):
        self.total += loss * random.random() * np.random.rand() * torch.rand(()).item()

    def on_epoch_end(self, run):
        run.history.rows[-1]["total"], self.total = self.total, 0.0
        self.connection.send(len(run.history))


def loader(seed, shuffle):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 3, (128,), generator=generator)
    noise = torch.randint(0, 200, (128, 1, 8, 8), generator=generator)
    images = (noise + 20 * targets[:, None, None, None]).to(torch.uint8)
    data = InMemoryDataset(
        images, targets, ["a", "b", "c"], batch_transform=lambda x: x.float() / 255
    )
    return make_loader(data, BATCH_SIZE, shuffle=shuffle, seed=seed)


def die_when(moment, number):
    """Kill the process when it writes its `number`-th checkpoint."""
    name = {"half": "fsync", "flushed": "fsync", "renamed": "replace"}[moment]
    original, calls = getattr(os, name), []

    def last_time(*arguments):
        calls.append(None)
        if len(calls) == number:
            if moment == "half":
                os.truncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(os, name, last_time)


def main(folder, connection, moment="", number=1):
    """Train, or resume from `run.pt` in the folder; write the complete state to `result.pt`.

    With `moment`, the process kills itself while it writes its `number`-th checkpoint: when "half"
    of the bytes are written, before the file is "flushed", or before it is "renamed".
    """
    torch.set_num_threads(1)
    # A process that was started in the background ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if moment:
        die_when(moment, number)
    training.seed_everything(0)
    # The wide layer makes the file large, so that many random moments fall into writing it.
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(144, 2000), nn.ReLU(), nn.Linear(2000, 3),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = OneCycleLR(optimizer, 1e-3, epochs=EPOCHS, steps_per_epoch=128 // BATCH_SIZE)
    stopping = training.EarlyStopping(patience=EPOCHS)
    history = training.fit(
        model, loader(1, True), loader(2, False), optimizer, EPOCHS, scheduler=scheduler,
        schedule_every="batch", callbacks=[Report(connection), stopping],
        checkpoint=folder / "run.pt", resume=True,
    )  # fmt: skip
    state = {
        "weights": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "history": [row | {"seconds": 0.0} for row in history.rows],
        "random": [random.random(), np.random.rand(), torch.rand(()).item()],
        "training": model.training,
    }
    torch.save(state, folder / "result.pt")
