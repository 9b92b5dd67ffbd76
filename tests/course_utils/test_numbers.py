"""Random cases: every number against scikit-learn, NumPy, or its definition written out.

Each test tries 50 cases; with `-m thorough`, 1,000.
"""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.calibration import calibration_curve

from course_utils import datasets, evaluation, statistics, training

COUNTS = [50, pytest.param(1000, marks=pytest.mark.thorough)]
SAME_EVERY_TIME = settings(deadline=None, derandomize=True, database=None)


def for_random(*strategies):
    """Make a test of a function: it is called with many cases drawn from the strategies."""

    def decorate(check):
        @pytest.mark.parametrize("count", COUNTS)
        def test(count):
            settings(SAME_EVERY_TIME, max_examples=count)(given(*strategies)(check))()

        return test

    return decorate


# What notebooks hold class indices in.
CONTAINERS = {
    "list": list,
    "int32": lambda values: np.array(values, np.int32),
    "uint8": lambda values: np.array(values, np.uint8),
    "float": lambda values: np.array(values, float),
    "torch": torch.tensor,
    "torch.uint8": lambda values: torch.tensor(values, dtype=torch.uint8),
    "torch.int32": lambda values: torch.tensor(values, dtype=torch.int32),
    "bool": lambda values: np.array(values, bool),
}


@st.composite
def labels(draw):
    """Targets, predictions and the number of classes; often classes are missing from either."""
    num_classes = draw(st.sampled_from([1, 2, 3, 5, 12, 200]))
    sides = [
        st.sampled_from(draw(st.sampled_from([range(num_classes), [0], [num_classes - 1]])))
        for _ in range(2)
    ]
    images = draw(st.lists(st.tuples(*sides), min_size=1, max_size=40))
    targets, predictions = zip(*images, strict=True)
    containers = [name for name in CONTAINERS if num_classes <= 2 or name != "bool"]
    first, second = (CONTAINERS[draw(st.sampled_from(containers))] for _ in range(2))
    return first(targets), second(predictions), num_classes


@st.composite
def scored(draw):
    """Scores from 0 to 1 with many ties, edges of bins, zeros and ones; and targets."""
    num_classes, count = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    steps = draw(st.sampled_from([1, 10, 16, 997]))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    scores = generator.integers(steps + 1, size=(count, num_classes)) / steps
    return scores, generator.integers(num_classes, size=count)


@for_random(labels())
def test_metrics_follow_their_definitions(case):
    targets, predictions, num_classes = case
    report = evaluation.class_report(targets, predictions, range(num_classes))
    numbers = evaluation.classification_summary(targets, predictions)

    targets, predictions = (np.asarray(side).astype(int) for side in (targets, predictions))
    matrix = np.zeros((num_classes, num_classes), int)
    np.add.at(matrix, (targets, predictions), 1)
    correct, images, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        precision, recall = correct / predicted, correct / images
        f1 = 2 * correct / (images + predicted)
    expected = [precision, recall, f1, images, predicted]
    np.testing.assert_allclose(report.to_numpy().T, expected)

    count = len(targets)
    agreement, by_chance = count * correct.sum(), (images * predicted).sum()
    spread = float(count**2 - (images**2).sum()) * float(count**2 - (predicted**2).sum())
    summary = {
        "accuracy": (targets == predictions).mean(),
        "balanced accuracy": recall[images > 0].mean(),
        "macro precision": precision[predicted > 0].mean(),
        "macro F1": f1[images + predicted > 0].mean(),
        "weighted F1": (f1 * images)[images > 0].sum() / count,
        "kappa": np.divide(agreement - by_chance, count**2 - by_chance)
        if by_chance < count**2
        else np.nan,
        "MCC": (agreement - by_chance) / math.sqrt(spread) if spread > 0 else 0,
    }
    assert numbers.to_dict() == pytest.approx(summary, abs=1e-12, nan_ok=True)

    pairs = evaluation.confused_pairs(matrix, range(num_classes))
    wrong = Counter((t, p) for t, p in zip(targets, predictions, strict=True) if t != p)
    kinds = list(zip(pairs["true"], pairs["predicted"], strict=True))
    assert dict(zip(kinds, pairs["count"], strict=True)) == wrong
    assert pairs["count"].is_monotonic_decreasing
    shares = [wrong[kind] / (targets == kind[0]).sum() for kind in kinds]
    np.testing.assert_allclose(pairs["share"], shares)


@for_random(scored(), st.sampled_from([1, 2, 4, 8, 16]))
def test_reliability_equals_scikit_learn_on_the_edges_too(case, bins):
    scores, targets = case
    table = evaluation.reliability_table(torch.tensor(scores), torch.tensor(targets), bins)
    correct = scores.argmax(axis=1) == targets
    expected = calibration_curve(correct, scores.max(axis=1), n_bins=bins)
    np.testing.assert_allclose(table[["accuracy", "confidence"]].T, expected)


@for_random(scored(), st.integers(1, 30))
def test_every_image_is_in_the_bin_that_holds_its_confidence(case, bins):
    scores, targets = case
    table = evaluation.reliability_table(scores, targets, bins)
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == targets
    distance = 0
    for row in table.itertuples():
        inside = (row.low < confidence) & (confidence <= row.high)
        if row.low == 0:
            inside |= confidence == 0
        assert row.high - row.low == pytest.approx(1 / bins)
        assert row.count == inside.sum() > 0
        assert row.confidence == pytest.approx(confidence[inside].mean())
        assert row.accuracy == pytest.approx(correct[inside].mean())
        distance += abs(correct[inside].sum() - confidence[inside].sum())
    assert table["count"].sum() == len(targets) and table["low"].is_monotonic_increasing
    error = evaluation.expected_calibration_error(scores, targets, bins)
    assert error == pytest.approx(distance / len(targets))


@for_random(scored())
def test_misclassified_images_are_those_whose_largest_score_is_elsewhere(case):
    scores, targets = case
    found = evaluation.misclassified(torch.tensor(scores), torch.tensor(targets))
    wrong = [index for index, row in enumerate(scores) if row.argmax() != targets[index]]
    assert sorted(found.index) == wrong
    assert list(found["true"]) == list(targets[found.index])
    assert list(found["predicted"]) == list(scores[found.index].argmax(axis=1))
    assert list(found["probability"]) == list(scores[found.index].max(axis=1))
    order = list(zip(-found["probability"], found.index, strict=True))
    assert order == sorted(order)


@for_random(scored())
def test_suspicious_labels_follow_their_definition(case):
    scores, targets = case
    scores = np.round(scores * 16) / 16  # whose sums are exact in any order
    num_classes = scores.shape[1]
    expected = []
    for index, (row, label) in enumerate(zip(scores, targets, strict=True)):
        candidates = [
            (row[other], -other)
            for other in range(num_classes)
            if (targets == other).any()
            and row[other] >= sum(scores[targets == other, other]) / (targets == other).sum()
        ]
        best, other = max(candidates, default=(-1, 0))
        if best > row[label]:
            expected.append((row[label] - best, index, label, -other))
    found = evaluation.suspicious_labels(scores, targets)
    columns = (-found["margin"], found.index, found["label"], found["suggestion"])
    assert list(zip(*columns, strict=True)) == sorted(expected)


@for_random(st.integers(1, 10**6), st.floats(0, 1))
def test_the_interval_is_wilsons_formula(count, share):
    correct = round(count * share)
    z, p = norm.ppf(0.975), correct / count
    center = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    found = evaluation.accuracy_interval(correct, count)
    assert found == pytest.approx((center - half, center + half), abs=1e-9)
    assert 0 <= found[0] <= p <= found[1] <= 1


@for_random(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=60))
def test_mcnemar_is_the_sum_of_binomial_coefficients(images):
    only_first = sum(first == target != second for target, first, second in images)
    only_second = sum(second == target != first for target, first, second in images)
    n, smaller = only_first + only_second, min(only_first, only_second)
    expected = min(1, 2 * sum(math.comb(n, k) for k in range(smaller + 1)) / 2**n)
    assert evaluation.mcnemar(*zip(*images, strict=True)) == pytest.approx(expected)


@for_random(st.integers(0, 10**6), st.floats(0.8, 5))
def test_no_temperature_nearby_has_a_smaller_loss(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    calibrated = torch.randn(300, 3, generator=generator, dtype=torch.double)
    targets = torch.multinomial(calibrated.softmax(dim=1), 1, generator=generator)[:, 0]
    logits = (scale * calibrated).numpy()

    def loss(temperature):
        scaled = logits / temperature
        own = scaled[np.arange(300), targets]
        return (np.log(np.exp(scaled).sum(axis=1)) - own).mean()

    found = evaluation.fit_temperature(logits, targets)
    slope = (loss(found * 1.001) - loss(found / 1.001)) / (2 * math.log(1.001))
    assert abs(slope) < 1e-4
    assert loss(found) <= min(loss(t) for t in np.geomspace(0.5, 10, 30))


# Splits and statistics.


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


# Losses.


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
    if outputs == 1:
        assert training.binary_loss(torch.tensor(logits), torch.tensor(targets)) == found


@pytest.mark.parametrize("outputs", [1, 4])
def test_the_gradient_of_the_loss_is_that_of_finite_differences(outputs):
    torch.manual_seed(0)
    logits = torch.randn(5, outputs, dtype=torch.double, requires_grad=True)
    targets = torch.arange(5) % max(outputs, 2)
    assert torch.autograd.gradcheck(lambda x: training.default_loss(x, targets), logits)
