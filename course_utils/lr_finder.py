"""The learning rate range test."""

import copy
from itertools import chain, repeat

import numpy as np
import pandas as pd
from torch import nn
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
) -> pd.DataFrame:
    """Train for a few steps while the learning rate grows, to see which rates work (Smith 2015).

    It ends early when the loss diverges. Parameter groups keep the ratios of their rates. Model,
    optimizer, loader and random generators are as before afterwards.

    Returns:
        One row per step: learning_rate (of the first group), loss, and smoothed (a running mean).
    """
    first, device = optimizer.param_groups[0]["lr"], next(model.parameters()).device
    if min(low, first) <= 0:
        raise ValueError(f"Learning rates must be positive: low is {low}, the optimizer's {first}.")
    ratios = [group["lr"] / first for group in optimizer.param_groups]
    state = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    modes = [(module, module.training) for module in model.modules()]
    generators = get_random_state(loader)
    rates, batches = np.geomspace(low, high, steps), chain.from_iterable(repeat(loader, steps))
    rows: list[tuple[float, float, float]] = []
    try:
        if not model.training:  # otherwise, layers in eval mode were frozen by hand
            model.train()
        for rate, (images, targets) in zip(rates.tolist(), batches, strict=False):
            for group, ratio in zip(optimizer.param_groups, ratios, strict=True):
                group["lr"] = rate * ratio
            loss = default_loss(model(images.to(device)), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            smoothed = 0.8 * rows[-1][2] + 0.2 * loss.item() if rows else loss.item()
            rows.append((rate, loss.item(), smoothed))
            if not smoothed < 4 * min(row[2] for row in rows):
                break
    finally:
        model.load_state_dict(state[0])
        optimizer.load_state_dict(state[1])
        optimizer.zero_grad()
        for module, training in modes:
            module.training = training
        set_random_state(generators, loader)
    if not rows:
        raise TrainingError("The loader has no batch: is the dataset empty?")
    return pd.DataFrame(rows, columns=["learning_rate", "loss", "smoothed"])


def suggest_learning_rate(test: pd.DataFrame) -> float:
    """Suggest the rate of a range test where the loss falls fastest over the rate's logarithm."""
    if len(test) < 3:
        raise ValueError(f"{len(test)} steps are too few to suggest a rate: use more `steps`.")
    # The first steps are noise, and after the minimum the loss only diverges.
    until = max(int(test["smoothed"].idxmin()), 5)
    slopes = np.gradient(test["smoothed"][: until + 1], np.log(test["learning_rate"][: until + 1]))
    return float(test["learning_rate"].iloc[int(np.argmin(slopes))])
