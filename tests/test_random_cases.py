"""Metrics, splits and statistics on thousands of random cases, against others' implementations."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn import metrics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils import evaluation
from course_utils.data import DataError
from course_utils.data.splits import stratified_split
from course_utils.data.statistics import class_weights, mean_and_std
from course_utils.training import binary_loss, default_loss

# The same cases every time: a failure today is a failure tomorrow.
thousand = settings(max_examples=1000, deadline=None, derandomize=True, database=None)
hundred = settings(thousand, max_examples=100)


@st.composite
def predictions(draw):
    """Number of classes, targets and predictions; some classes may be absent from either."""
    classes = draw(st.integers(1, 8))
    count = draw(st.integers(1, 30))
    labels = st.lists(st.integers(0, classes - 1), min_size=count, max_size=count)
    return classes, np.array(draw(labels)), np.array(draw(labels))


@st.composite
def scored(draw):
    """Scores with many ties, of shape (count, classes), and targets."""
    classes, count = draw(st.integers(2, 6)), draw(st.integers(1, 20))
    values = st.lists(st.integers(0, 4), min_size=count * classes, max_size=count * classes)
    scores = np.array(draw(values), dtype=float).reshape(count, classes)
    targets = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    return scores, np.array(targets)


@pytest.mark.thorough
@thousand
@given(predictions())
def test_every_metric_is_that_of_scikit_learn(case):
    classes, targets, guesses = case
    labels = list(range(classes))
    matrix = evaluation.confusion_matrix(targets, guesses, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about absent classes
        assert (matrix == metrics.confusion_matrix(targets, guesses, labels=labels)).all()
    report = evaluation.class_report(matrix, labels)
    precision, recall, f1, images = metrics.precision_recall_fscore_support(
        targets, guesses, labels=labels, zero_division=np.nan
    )
    np.testing.assert_allclose(report["precision"], precision)
    np.testing.assert_allclose(report["recall"], recall)
    np.testing.assert_allclose(report["f1"], f1)
    assert (report["images"] == images).all()
    found = evaluation.summary(matrix)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about absent classes
        expected = {
            "accuracy": metrics.accuracy_score(targets, guesses),
            "balanced accuracy": metrics.balanced_accuracy_score(targets, guesses),
            "weighted F1": metrics.f1_score(targets, guesses, average="weighted"),
            "kappa": metrics.cohen_kappa_score(targets, guesses, labels=labels),
            "MCC": metrics.matthews_corrcoef(targets, guesses),
        }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name


@pytest.mark.thorough
@thousand
@given(scored(), st.integers(1, 6))
def test_top_k_lies_where_scikit_learn_says_whatever_ties_there_are(case, k):
    scores, targets = case
    found = evaluation.top_k_accuracy(scores, targets, k)
    # Ties can be broken for or against the true class: ours is the case against all.
    own = scores[np.arange(len(targets)), targets][:, None]
    at_worst = (np.where(scores >= own, 1, 0).sum(axis=1) <= k).mean()
    assert found == at_worst
    if k < scores.shape[1] and scores.shape[1] > 2:
        labels = range(scores.shape[1])
        assert found <= metrics.top_k_accuracy_score(targets, scores, k=k, labels=labels) + 1e-12
        apart = scores + np.random.default_rng(0).permutation(scores.size).reshape(scores.shape) / (
            2 * scores.size
        )
        expected = metrics.top_k_accuracy_score(targets, apart, k=k, labels=labels)
        assert evaluation.top_k_accuracy(apart, targets, k) == pytest.approx(expected)


@pytest.mark.thorough
@thousand
@given(scored(), st.integers(1, 15))
def test_the_calibration_table_adds_up(case, bins):
    scores, targets = case
    probabilities = torch.from_numpy(scores + 0.01)
    probabilities = probabilities / probabilities.sum(dim=1, keepdim=True)
    targets = torch.from_numpy(targets)
    table = evaluation.reliability(probabilities, targets, bins)
    confidence, guesses = probabilities.max(dim=1)
    right = (guesses == targets).double()
    error = 0.0
    for row in table.itertuples():
        inside = (confidence > row.low) & (confidence <= row.high)
        assert inside.sum() == row.count
        assert row.low - 1e-9 <= row.confidence <= row.high + 1e-9
        error += abs(row.confidence - row.accuracy) * row.count
    assert table["count"].sum() == len(targets)
    assert (table["accuracy"] * table["count"]).sum() == pytest.approx(right.sum().item())
    found = evaluation.expected_calibration_error(probabilities, targets, bins)
    assert found == pytest.approx(error / len(targets))


@thousand
@given(st.integers(1, 400), st.floats(0, 1), st.floats(0.5, 0.999))
def test_wilson_interval_by_its_formula(count, share, confidence):
    correct = round(share * count)
    low, high = evaluation.accuracy_interval(correct, count, confidence)
    z = -torch.special.ndtri(torch.tensor((1 - confidence) / 2, dtype=torch.float64)).item()
    p = correct / count
    middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    assert low == pytest.approx(max(0, middle - half), abs=1e-9)
    assert high == pytest.approx(min(1, middle + half), abs=1e-9)


@thousand
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 20))
def test_mcnemar_by_the_sum_of_the_binomial(only_first, only_second, both):
    targets = np.zeros(only_first + only_second + both, dtype=int)
    first, second = targets.copy(), targets.copy()
    second[:only_first] = 1
    first[only_first : only_first + only_second] = 1
    n, k = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert evaluation.mcnemar(targets, first, second) == pytest.approx(min(1, 2 * tail))


def test_the_bootstrap_covers_what_the_exact_interval_does():
    targets = np.zeros(200, dtype=int)
    guesses = (np.arange(200) < 30).astype(int)
    low, high = evaluation.bootstrap_interval(metrics.accuracy_score, targets, guesses)
    exact = beta.ppf([0.025, 0.975], [170, 171], [31, 30])
    assert (low, high) == pytest.approx(tuple(exact), abs=0.015)


FRACTIONS = ({"train": 0.6, "val": 0.2, "test": 0.2}, {"a": 0.5, "b": 0.5}, {"a": 0.9, "b": 0.1})


@pytest.mark.thorough
@thousand
@given(
    st.lists(st.integers(3, 40), min_size=1, max_size=6),
    st.sampled_from(FRACTIONS),
    st.integers(0, 2**32 - 1),
    st.randoms(use_true_random=False),
)
def test_a_split_is_complete_stratified_and_decided_by_its_seed(counts, fractions, seed, shuffler):
    targets = [label for label, count in enumerate(counts) for _ in range(count)]
    shuffler.shuffle(targets)
    parts = stratified_split(targets, fractions, seed)
    assert sorted(sum(parts.values(), [])) == list(range(len(targets)))
    assert parts == stratified_split(np.array(targets), fractions, seed)
    for name, fraction in fractions.items():
        assert parts[name] == sorted(parts[name])
        inside = np.bincount(np.array(targets)[parts[name]], minlength=len(counts))
        for count, found in zip(counts, inside, strict=True):
            assert found >= 1
            # Each of its two ends is rounded, or moved by one or two to leave room for others.
            assert abs(found - fraction * count) <= len(fractions) - 1 or count < 10


@pytest.mark.parametrize(
    "values", [(1.2, -0.2), (1.0, 0.0), (math.nan, 1.0), (math.inf, -math.inf)]
)
def test_fractions_that_are_none_get_a_sentence(values):
    with pytest.raises(DataError, match="fraction"):
        stratified_split([0, 0, 0, 1, 1, 1], dict(zip("ab", values, strict=True)))


@hundred
@given(
    st.integers(1, 4), st.integers(1, 9), st.integers(1, 4), st.sampled_from([0.0, 1e3, -1e6]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_mean_and_std_are_numpys_however_the_images_are_divided(
    channels, count, batch_size, offset, seed
):
    generator = np.random.default_rng(seed)
    images = torch.from_numpy(generator.normal(offset, 2, (count, channels, 3, 2)))
    loader = DataLoader(TensorDataset(images, torch.zeros(count)), batch_size)
    mean, std = mean_and_std(loader)
    pixels = images.numpy().transpose(1, 0, 2, 3).reshape(channels, -1)
    np.testing.assert_allclose(mean, pixels.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std(axis=1), rtol=1e-6)


@hundred
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_class_weights_are_balanced(targets):
    weights = class_weights(targets, 7)
    counts = np.bincount(targets, minlength=7)
    assert ((weights > 0).numpy() == (counts > 0)).all()
    shares = weights.double().numpy()[counts > 0] * counts[counts > 0]
    np.testing.assert_allclose(shares, len(targets) / 7, rtol=1e-6)


@hundred
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_the_gradient_of_the_loss_is_that_of_finite_differences(count, outputs, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, outputs, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, max(2, outputs), (count,), generator=generator)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: default_loss(values, targets), logits)


def test_the_losses_by_their_formulas():
    logits = torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
    p = 1 / (1 + torch.exp(-logits[:, 0]))
    by_hand = -(torch.log(p[0]) + torch.log(1 - p[1])) / 2
    assert binary_loss(logits, torch.tensor([1, 0])).item() == pytest.approx(by_hand.item())


@hundred
@given(st.integers(0, 2**31), st.floats(0.3, 3))
def test_the_temperature_is_where_the_loss_is_flat(seed, scale):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(300, 4, generator=generator, dtype=torch.float64) * 3
    targets = torch.distributions.Categorical(logits=logits * scale).sample()
    temperature = evaluation.fit_temperature(logits, targets)

    def loss(value):
        return nn.functional.cross_entropy(logits / value, targets).item()

    step = 1e-4 * temperature
    slope = (loss(temperature + step) - loss(temperature - step)) / (2 * step)
    assert abs(slope * temperature) < 1e-3
