"""Muon: its steps are orthogonal, keep the norm, and continue from a saved state."""

import copy

import pytest
import torch
from torch import nn

from benchmarks.muon import Muon, orthogonalize
from course_utils.models import ConvBlock


@pytest.mark.parametrize("shape", [(16, 72), (72, 16), (24, 24)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape):
    torch.manual_seed(0)
    u, _, vh = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -1, min(shape))
    found = orthogonalize(u @ values.diag() @ vh, steps=5)
    inner = u.T @ found @ vh.T
    assert 0.6 < inner.diag().min() and inner.diag().max() < 1.3
    assert (inner - inner.diag().diag()).abs().max() < 1e-4


def test_a_gradient_of_any_size_gives_the_same_direction():
    torch.manual_seed(0)
    matrix = torch.randn(8, 18)
    torch.testing.assert_close(
        orthogonalize(matrix), orthogonalize(1e-3 * matrix), rtol=0, atol=1e-3
    )
    assert torch.equal(orthogonalize(torch.zeros(8, 18)), torch.zeros(8, 18))


def test_a_convolution_turns_by_its_learning_rate_and_keeps_its_norm():
    torch.manual_seed(0)
    block = ConvBlock(3, 8)
    weight = block[0].weight
    before = weight.detach().clone()
    (block(torch.randn(4, 3, 8, 8)) * torch.randn(4, 8, 8, 8)).sum().backward()
    Muon(block.parameters(), lr=0.1).step()
    torch.testing.assert_close(weight.norm(), before.norm())
    assert ((weight - before).norm() / before.norm()).item() == pytest.approx(0.1, rel=0.02)


def test_everything_else_is_trained_as_with_sgd():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    optimizers = (
        Muon(ours.parameters(), lr=0.1, weight_decay=0.01),
        torch.optim.SGD(
            theirs.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01
        ),
    )
    for _ in range(4):
        inputs = torch.randn(6, 5)
        for net, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            net(inputs).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_it_continues_from_a_saved_state():
    torch.manual_seed(0)
    inputs = torch.randn(6, 8, 3, 8, 8)

    def train(net, optimizer, batches):
        for batch in batches:
            optimizer.zero_grad()
            net(batch).square().mean().backward()
            optimizer.step()

    whole = ConvBlock(3, 4)
    half = copy.deepcopy(whole)
    train(whole, Muon(whole.parameters()), inputs)
    first = Muon(half.parameters())
    train(half, first, inputs[:3])
    second = Muon(half.parameters(), lr=9.0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(half, second, inputs[3:])
    assert all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), half.parameters(), strict=True)
    )


def test_it_learns_faster_than_sgd_at_the_same_number_of_steps():
    """On a problem with directions of very different variance, as in images."""

    def loss_after(make, steps=30):
        torch.manual_seed(0)
        strengths = torch.logspace(0, -2, 12)
        inputs = torch.randn(256, 12, 1, 1) * strengths[:, None, None]
        wanted = (inputs[:, -4:].flatten(1) > 0).long().argmax(1)
        net = nn.Sequential(nn.Conv2d(12, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                            nn.Flatten(), nn.Linear(16, 4))  # fmt: skip
        optimizer = make(net.parameters())
        for _ in range(steps):
            loss = nn.functional.cross_entropy(net(inputs), wanted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    best = min(
        loss_after(lambda p, lr=lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True))
        for lr in (0.03, 0.1, 0.3, 1.0)
    )
    assert loss_after(lambda p: Muon(p, lr=0.1)) < best


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"lr": -1}, r"lr \(-1\)"), ({"weight_decay": -1}, r"weight_decay \(-1\)")],
)
def test_negative_values_are_refused(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        Muon(nn.Linear(2, 2).parameters(), **wrong)
