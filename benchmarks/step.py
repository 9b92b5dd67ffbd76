"""Benchmark of `fit` against a bare loop and the training loops of other libraries."""

import argparse
import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from benchmarks.timing import Row, alternate, rows, seconds
from course_utils import models, training
from course_utils.datasets import load_in_memory, make_loader

EPOCHS = 3
SETTINGS = ((64, 16), (32, 2))  # batch size, width of the network


def bare_loop(net: nn.Module, train: DataLoader, val: DataLoader) -> None:
    """Train and evaluate in plain torch."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        loss_sum = correct = 0
        net.train()
        for images, labels in train:
            logits = net(images)
            loss = cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
        net.eval()
        with torch.no_grad():
            for images, labels in val:
                logits = net(images)
                loss_sum += cross_entropy(logits, labels).item() * len(labels)
                correct += (logits.argmax(1) == labels).sum().item()


def fit(net: nn.Module, train: DataLoader, val: DataLoader) -> None:
    """Train with the course's `fit`."""
    training.fit(net, train, val, torch.optim.AdamW(net.parameters(), lr=1e-3), EPOCHS)


def lightning_trainer(net: nn.Module, train: DataLoader, val: DataLoader) -> None:
    """Train with Lightning's Trainer, without logger, checkpoints and progress bar."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: list[torch.Tensor], name: str = "train") -> torch.Tensor:
            images, labels = batch
            logits = self.net(images)
            loss = cross_entropy(logits, labels)
            accuracy = (logits.argmax(1) == labels).float().mean()
            values = {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
            self.log_dict(values, on_epoch=True, on_step=False, batch_size=len(labels))
            return loss

        def validation_step(self, batch: list[torch.Tensor]) -> None:
            self.training_step(batch, "val")

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Module(), train, val)


def fastai_learner(net: nn.Module, train: DataLoader, val: DataLoader) -> None:
    """Train with fastai's Learner."""
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from fastai.optimizer import OptimWrapper

    def optimizer(parameters: list, lr: float) -> OptimWrapper:
        return OptimWrapper(parameters, torch.optim.AdamW, lr=lr)

    data = DataLoaders(train, val, device=torch.device("cpu"))
    loss_fn = nn.CrossEntropyLoss()
    Learner(data, net, loss_func=loss_fn, opt_func=optimizer, metrics=accuracy, lr=1e-3).fit(EPOCHS)


def compare(options: argparse.Namespace) -> list[Row]:
    """Time each loop with the same network, images and order."""
    sets = load_in_memory("fashion-mini", 28)
    loops: dict[str, Callable] = {"bare loop": bare_loop, "fit": fit}
    for name, loop in {"lightning": lightning_trainer, "fastai": fastai_learner}.items():
        try:
            importlib.import_module(name)
            loops[name] = loop
        except Exception as error:  # not installed, or not compatible with this torch
            print(f"    skipped: {name} ({error})")

    def measure(loop: Callable, batch_size: int, width: int) -> float:
        torch.manual_seed(0)
        net = models.SmallCNN(1, 10, width)
        train = make_loader(sets["train"], batch_size, shuffle=True)
        val = make_loader(sets["val"], 500)
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            return seconds(lambda: loop(net, train, val))

    found = []
    for batch_size, width in SETTINGS:
        contenders = {
            name: lambda loop=loop, b=batch_size, w=width: measure(loop, b, w)
            for name, loop in loops.items()
        }
        title = f"step, {EPOCHS} epochs of 5,000 images, batches of {batch_size}, width {width}"
        found += rows(title, alternate(contenders, 2 * options.rounds + 1), "s")
    return found
