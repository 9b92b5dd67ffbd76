"""The ablation of fine-tuning trains what its recipe says."""

import pandas as pd
import pytest
import torch

from benchmarks import fine_tuning


@pytest.mark.parametrize("batch_norm", ["eval mode", "train mode"])
def test_batch_norm_moves_in_train_mode_only(batch_norm):
    torch.manual_seed(0)
    maps, targets = torch.randn(16, 2, 192, 2, 2), torch.arange(16) % 2
    recipe = {"optimizer": "SGD", "head first": False, "ratio": 0.1, "rate": 0.01}
    net = fine_tuning.fine_tune(maps, targets, recipe | {"batch norm": batch_norm}, epochs=1)
    _, before = fine_tuning.split_backbone()
    moved = [
        name
        for name, value in before.state_dict().items()
        if not torch.equal(value, net[0].state_dict()[name])
    ]
    assert any("conv" in name for name in moved)
    assert any("running_mean" in name for name in moved) == (batch_norm == "train mode")


@pytest.mark.parametrize(
    ("accuracies", "at_edge"), [([0.8, 0.9, 0.7], False), ([0.9, 0.8, 0.7], True)]
)
def test_a_best_rate_at_the_edge_of_the_grid_is_marked(accuracies, at_edge):
    recipe = {"optimizer": "SGD", "head first": True, "batch norm": "eval mode", "ratio": 0.1}
    rates = fine_tuning.GRIDS["SGD"]
    table = pd.DataFrame(
        [
            recipe | {"rate": rate, "accuracy": accuracy}
            for rate, accuracy in zip(rates, accuracies, strict=True)
        ]
    )
    best = fine_tuning.best_rates(table)
    assert best["accuracy"].tolist() == [0.9]
    assert best["at_edge"].tolist() == [at_edge]
