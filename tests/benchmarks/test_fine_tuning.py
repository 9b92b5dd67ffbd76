"""The ablation of fine-tuning trains what its recipe says."""

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
