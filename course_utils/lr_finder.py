"""The learning rate range test."""

import copy
from itertools import chain, repeat

import numpy as np
import pandas as pd
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from course_utils.checkpoints import get_random_state, set_random_state
from course_utils.training import default_loss


def learning_rate_range_test(
    model: nn.Module,
    loader: DataLoader,
    optimizer: Optimizer,
    low: float = 1e-6,
    high: float = 1.0,
    steps: int = 100,
) -> pd.DataFrame:
    """Train for `steps` batches with an exponentially increasing learning rate (Smith 2015).

    The test stops early if the loss diverges. All parameter groups get the same rate. The model,
    optimizer, loader and random generators are not changed. The column `smoothed` is an
    exponential moving average of the loss.
    """
    random_state = get_random_state(loader)
    model, optimizer = copy.deepcopy((model, optimizer))  # only the copies are trained
    if not model.training:  # otherwise, layers in eval mode were frozen deliberately
        model.train()
    device = next(model.parameters()).device
    rates, batches = np.geomspace(low, high, steps), chain.from_iterable(repeat(loader, steps))
    rows: list[tuple[float, float, float]] = []
    for rate, (images, targets) in zip(rates.tolist(), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = default_loss(model(images.to(device)), targets.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        smoothed = 0.8 * rows[-1][2] + 0.2 * loss.item() if rows else loss.item()
        rows.append((rate, loss.item(), smoothed))
        if not smoothed < 4 * min(row[2] for row in rows):
            break
    set_random_state(random_state, loader)
    return pd.DataFrame(rows, columns=["learning_rate", "loss", "smoothed"])


def suggest_learning_rate(test: pd.DataFrame) -> float:
    """Suggest the rate at which the smoothed loss falls most steeply over the log of the rate."""
    # The first steps are noisy, and beyond the minimum the loss only diverges.
    until = max(int(test["smoothed"].idxmin()), 5)
    slopes = np.gradient(test["smoothed"][: until + 1], np.log(test["learning_rate"][: until + 1]))
    return float(test["learning_rate"].iloc[int(np.argmin(slopes))])
