"""Predictions in order, and intervals that cover the truth."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils.evaluation import accuracy_interval, predict


def test_predictions_come_in_the_order_of_the_loader():
    images = torch.randn(10, 1, 2, 2)
    labels = torch.arange(10)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    statistics = net[1].running_mean.clone()
    logits, targets = predict(net, DataLoader(TensorDataset(images, labels), batch_size=4))
    assert net.training and torch.equal(net[1].running_mean, statistics)
    assert torch.equal(targets, labels)
    assert not logits.requires_grad
    torch.testing.assert_close(logits, net.eval()(images).detach())


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    # Wilson's formula with z = 1.959964, computed by hand.
    [(90, 100, 0.8256343, 0.9447708), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0)],
)
def test_wilson_interval(correct, count, low, high):
    assert accuracy_interval(correct, count) == pytest.approx((low, high), abs=1e-6)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    hits = torch.distributions.Binomial(40, torch.tensor(0.85))
    torch.manual_seed(0)
    draws = hits.sample((2000,)).int().tolist()
    intervals = {correct: accuracy_interval(correct, 40) for correct in set(draws)}
    covered = sum(intervals[correct][0] <= 0.85 <= intervals[correct][1] for correct in draws)
    assert 0.92 < covered / 2000 < 0.98
