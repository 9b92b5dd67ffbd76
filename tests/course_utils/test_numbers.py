"""Random cases of splits, statistics and losses, against their definitions written out."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from random_cases import for_random

from course_utils import datasets, statistics, training


@st.composite
def shares(draw):
    """One to five fractions that add up to 1."""
    weights = draw(st.lists(st.integers(1, 100), min_size=1, max_size=5))
    return {f"part {n}": weight / sum(weights) for n, weight in enumerate(weights)}


@for_random(shares(), st.lists(st.integers(5, 60), min_size=1, max_size=6), st.integers(0, 10**6))
def test_a_split_is_complete_disjoint_and_as_near_to_its_fractions_as_can_be(
    fractions, sizes, seed
):
    targets = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = datasets.stratified_split(targets, fractions, seed)
    assert list(parts) == list(fractions)
    assert sorted(sum(parts.values(), [])) == list(range(len(targets)))
    for label, size in enumerate(sizes):
        found = [int((targets[indices] == label).sum()) for indices in parts.values()]
        wanted = [size * fraction for fraction in fractions.values()]
        assert min(found) >= 1
        if min(wanted) >= 1:  # else a part gets more than its share: one image
            assert max(abs(f - w) for f, w in zip(found, wanted, strict=True)) < 1 + 1e-9
    assert parts == datasets.stratified_split(torch.tensor(targets), fractions, seed)
    if len(parts) > 1 and min(sizes) >= 20:
        assert parts != datasets.stratified_split(targets, fractions, seed + 1)


DTYPES = [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64]


@for_random(
    st.sampled_from(DTYPES),
    st.lists(st.tuples(*[st.integers(1, 6)] * 3), min_size=1, max_size=6),
    st.sampled_from([0.0, 1.0, 1e3, 1e6]),
    st.sampled_from([0.0, 1e-3, 1.0]),
)
def test_mean_and_std_do_not_depend_on_the_batches(dtype, shapes, offset, spread):
    generator = torch.Generator().manual_seed(len(shapes))
    batches = []
    for count, height, width in shapes:
        noise = torch.randn(count, 2, height, width, generator=generator, dtype=torch.float64)
        if dtype == torch.uint8:
            batches.append((128 + 40 * spread * noise).clamp(0, 255).to(dtype))
        else:
            small = dtype in (torch.float16, torch.bfloat16)
            batches.append(((0 if small else offset) + spread * noise).to(dtype))
    mean, std = statistics.mean_and_std([(batch, None) for batch in batches])
    flat = [batch.double().numpy().transpose(1, 0, 2, 3).reshape(2, -1) for batch in batches]
    pixels = np.concatenate(flat, axis=1) / (255 if dtype == torch.uint8 else 1)
    assert mean.dtype == std.dtype == torch.float32
    np.testing.assert_allclose(mean, pixels.mean(axis=1), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(std, pixels.std(axis=1), rtol=1e-6, atol=1e-7)


@for_random(st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([1.0, 30.0, 1000.0]))
def test_the_default_loss_is_the_cross_entropy_written_out(seed, outputs, scale):
    generator = np.random.default_rng(seed)
    logits = scale * generator.normal(size=(6, outputs))
    targets = generator.integers(max(outputs, 2), size=6)
    # One logit is the log-odds of class 1: the logit of class 0 is 0.
    both = np.hstack([np.zeros_like(logits), logits]) if outputs == 1 else logits
    largest = both.max(axis=1)
    total = largest + np.log(np.exp(both - largest[:, None]).sum(axis=1))
    expected = (total - both[np.arange(6), targets]).mean()
    found = training.default_loss(torch.tensor(logits), torch.tensor(targets))
    assert found.item() == pytest.approx(expected)
