"""The learning rate range test."""

import copy
from collections.abc import Iterator

import numpy as np
import pandas as pd
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from course_utils.checkpoints import get_random_state, set_random_state
from course_utils.errors import TrainingError
from course_utils.training import default_loss


def learning_rate_range_test(
    model: nn.Module,
    loader: DataLoader,
    optimizer: Optimizer,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
    loss_fn: nn.Module | None = None,
) -> pd.DataFrame:
    """Train for a few steps with an ever larger learning rate, to see which rates work.

    From L. N. Smith, Cyclical Learning Rates for Training Neural Networks (2015). Model, optimizer,
    loader and random generators are as before afterwards.

    Args:
        model: The network, on its device.
        loader: Batches for training; it is started again when it ends.
        optimizer: Several parameter groups keep the ratio of their rates.
        low: The first learning rate (of the first group).
        high: The last one.
        steps: How many batches; the test ends early when the loss explodes.
        loss_fn: See `fit`.

    Returns:
        One row a step: learning_rate, loss, and smoothed (the loss averaged over the last steps).

    Raises:
        TrainingError: The loader has no batch.
    """
    loss_fn = loss_fn or default_loss
    device = next(model.parameters()).device
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    generators, was_training = get_random_state(loader), model.training
    shares = [group["lr"] / optimizer.param_groups[0]["lr"] for group in optimizer.param_groups]
    rates = np.geomspace(low, high, steps)
    rows: list[tuple[float, float, float]] = []
    try:
        model.train()
        for rate, (images, targets) in zip(rates, _endless(loader), strict=False):
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = float(rate) * share
            loss = loss_fn(model(images.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average = 0.8 * rows[-1][2] + 0.2 * loss.item() if rows else loss.item()
            rows.append((float(rate), loss.item(), average))
            if not average < 4 * min(row[2] for row in rows):
                break
    finally:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
        optimizer.zero_grad()
        model.train(was_training)
        set_random_state(generators, loader)
    return pd.DataFrame(rows, columns=["learning_rate", "loss", "smoothed"])


def suggest_learning_rate(test: pd.DataFrame) -> float:
    """Suggest a learning rate: where the loss falls fastest, over the logarithm of the rate.

    Args:
        test: What `learning_rate_range_test` returned.

    Returns:
        A learning rate of the test.

    Raises:
        ValueError: The test has fewer than three steps.
    """
    if len(test) < 3:
        raise ValueError(f"{len(test)} steps are too few to suggest a rate: give more `steps`.")
    # The first steps are noise, and after the lowest point the loss only explodes.
    until = max(int(test["smoothed"].idxmin()), 5)
    slopes = np.gradient(test["smoothed"][: until + 1], np.log(test["learning_rate"][: until + 1]))
    return float(test["learning_rate"].iloc[int(np.argmin(slopes))])


def _endless(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Go through a loader again and again."""
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise TrainingError("The training loader has no batch: is the dataset empty?")
