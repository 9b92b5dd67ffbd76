"""Every number against its definition written out: of random cases, and of odd ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from random_cases import for_random
from scipy.stats import norm
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from course_utils import evaluation
from course_utils.evaluation import predict_logits


def test_predictions_come_in_the_order_of_the_loader():
    images, labels = torch.randn(10, 1, 2, 2), torch.arange(10)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    statistics = net[1].running_mean.clone()
    net[1].eval()  # frozen, as in notebook 03
    logits, targets = predict_logits(net, DataLoader(TensorDataset(images, labels), batch_size=4))
    assert [module.training for module in net] == [True, False, True, True] and net.training
    assert torch.equal(net[1].running_mean, statistics)
    assert torch.equal(targets, labels) and not logits.requires_grad
    torch.testing.assert_close(logits, net.eval()(images).detach())


def test_predictions_of_datasets_without_length_and_without_images():
    """The progress bar asked an iterable dataset for its length."""

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(torch.full((2,), float(n)), n) for n in range(5)])

    logits, targets = predict_logits(nn.Linear(2, 2), DataLoader(Stream(), batch_size=2))
    assert logits.shape == (5, 2) and targets.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="no batch: is the dataset empty"):
        predict_logits(nn.Linear(2, 2), DataLoader(TensorDataset(torch.zeros(0, 2))))


def test_top_classes():
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0])
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Dropout(0.5))
    nn.init.zeros_(net[1].weight)
    net[1].bias.data = logits
    image, classes = torch.zeros(3, 2, 2), ["a", "b", "c", "d"]
    top = evaluation.top_classes(net, image, classes, k=3)
    assert top["class"].tolist() == ["b", "c", "a"] and top.index.tolist() == [0, 1, 2]
    expected = logits.exp() / logits.exp().sum()
    assert top["probability"].tolist() == pytest.approx(expected[[1, 2, 0]].tolist())
    assert net.training
    assert len(evaluation.top_classes(net, image, classes)) == 4
    for wrong in (classes[:3], classes + ["e"]):
        with pytest.raises(ValueError, match="same length"):
            evaluation.top_classes(net, image, wrong)


# Metrics of class indices.

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


def check_metrics(case):
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
    assert list(report) == ["precision", "recall", "f1", "images", "predicted"]
    assert report.index.name == "class" and report["images"].dtype == np.int64

    count = len(targets)
    agreement, by_chance = count * correct.sum(), (images * predicted).sum()
    product = float(count**2 - (images**2).sum()) * float(count**2 - (predicted**2).sum())
    summary = {
        "accuracy": (targets == predictions).mean(),
        "balanced accuracy": recall[images > 0].mean(),
        "macro precision": precision[predicted > 0].mean(),
        "macro F1": f1[images + predicted > 0].mean(),
        "weighted F1": (f1 * images)[images > 0].sum() / count,
        "kappa": np.divide(agreement - by_chance, count**2 - by_chance)
        if by_chance < count**2
        else np.nan,
        "MCC": (agreement - by_chance) / math.sqrt(product) if product > 0 else 0,
    }
    assert numbers.to_dict() == pytest.approx(summary, abs=1e-12, nan_ok=True)


test_metrics_follow_their_definitions = for_random(labels())(check_metrics)

ODD = {
    "a class that never occurs": ([0, 0, 2, 2, 3], [0, 2, 2, 0, 3], 4),
    "a class without images is predicted": ([0, 0, 2, 2], [0, 1, 2, 1], 3),
    "one class is never predicted": ([0, 1, 2, 2], [0, 0, 2, 2], 3),
    "majority-class baseline": ([0] * 34 + [1] * 3, [0] * 37, 2),
    "all images of one class": ([1, 1, 1, 1], [0, 1, 1, 2], 3),
    "a single class": ([0] * 4, [0] * 4, 1),
    "all wrong": ([0, 1, 2, 0], [1, 2, 0, 2], 3),
}


@pytest.mark.parametrize("case", ODD.values(), ids=ODD)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_metrics_of_odd_cases(case):
    check_metrics(case)


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([0, 1], [0], r"inconsistent numbers of samples: \[2, 1\]"),
        ([0, 3], [0, 1], "must be from 0 to 2"),
        ([0], [-1], "must be from 0 to 2"),
        ([0, 1], [0.2, 0.9], "forget argmax"),
        ([0, 1], [np.nan, 1], "forget argmax"),
        ([0, 1], [[0, 1], [1, 0]], "forget argmax"),
    ],
)
def test_class_indices_that_do_not_fit(targets, predictions, message):
    with pytest.raises(ValueError, match=message):
        evaluation.class_report(targets, predictions, ["a", "b", "c"])


def test_confused_pairs():
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 2, 0]])
    pairs = evaluation.confused_pairs(matrix, ["cat", "dog", "cow"])
    assert pairs.to_dict("list") == {
        "true": ["cat", "cow", "dog"],
        "predicted": ["dog", "dog", "cat"],
        "count": [2, 2, 1],
        "share": [0.2, 1.0, 0.1],
    }
    assert evaluation.confused_pairs(np.eye(2, dtype=int), ["cat", "dog"]).empty


# How much chance can explain.


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


def accuracy(targets, predictions):
    return (targets == predictions).mean()


def test_bootstrap_agrees_with_the_formula_and_depends_on_the_seed_alone():
    generator = np.random.default_rng(0)
    targets = generator.integers(2, size=400)
    predictions = np.where(generator.random(400) < 0.8, targets, 1 - targets)
    found = evaluation.bootstrap_interval(accuracy, targets, predictions, resamples=4000)
    mean = (targets == predictions).mean()
    half = 1.96 * np.sqrt(mean * (1 - mean) / 400)
    assert found == pytest.approx((mean - half, mean + half), abs=6e-3)
    again, other = (
        evaluation.bootstrap_interval(accuracy, targets, torch.tensor(predictions), 4000, seed)
        for seed in (0, 1)
    )
    assert found == again != other


def test_bootstrap_samples_all_images_and_leaves_out_samples_without_a_value():
    sizes = []

    def precision(targets, predictions):
        sizes.append(len(targets))
        positive = predictions == 1
        return (targets[positive] == 1).mean() if positive.any() else np.nan

    assert evaluation.bootstrap_interval(precision, [1, 0, 0], [1, 1, 0]) == (0, 1)
    assert sizes == [3] * 1000


def test_different_lengths_are_not_broadcast():
    for first, second in (([0, 1, 1], [0]), ([0, 1], [0, 1, 1])):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            evaluation.mcnemar([0, 1, 1], first, second)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        evaluation.bootstrap_interval(accuracy, [0, 1], [0, 1, 1])


# Probabilities and logits.


@st.composite
def scored(draw):
    """Scores from 0 to 1 with many ties, edges of bins, zeros and ones; and targets."""
    num_classes, count = draw(st.integers(1, 6)), draw(st.integers(1, 30))
    steps = draw(st.sampled_from([1, 10, 16, 997]))
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    scores = generator.integers(steps + 1, size=(count, num_classes)) / steps
    return scores, generator.integers(num_classes, size=count)


@for_random(scored())
def test_misclassified_images_are_those_whose_largest_score_is_elsewhere(case):
    scores, targets = case
    found = evaluation.misclassified(torch.tensor(scores), torch.tensor(targets))
    wrong = [index for index, row in enumerate(scores) if row.argmax() != targets[index]]
    assert sorted(found.index) == wrong and found.index.name == "position"
    assert list(found["true"]) == list(targets[found.index])
    assert list(found["predicted"]) == list(scores[found.index].argmax(axis=1))
    assert list(found["probability"]) == list(scores[found.index].max(axis=1))
    order = list(zip(-found["probability"], found.index, strict=True))
    assert order == sorted(order)


@for_random(scored(), st.integers(1, 30))
def test_every_image_is_in_the_bin_that_holds_its_confidence(case, bins):
    scores, targets = case
    table = evaluation.reliability_table(torch.tensor(scores), torch.tensor(targets), bins)
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


def test_probabilities_must_be_from_0_to_1():
    for scores in ([[1.02, 0]], [[0.5, -0.1]]):
        with pytest.raises(ValueError, match="are these logits"):
            evaluation.reliability_table(scores, [0])
    assert evaluation.reliability_table([[1.01, 0]], [0])["count"].tolist() == [1]


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


def test_the_temperature_does_not_collapse():
    """If all images are correct, the cross-entropy alone would choose a temperature near 0."""
    logits = 5 * torch.eye(3)
    assert evaluation.fit_temperature(logits, [0, 1, 2]) == pytest.approx(0.5, rel=1e-3)
    assert evaluation.fit_temperature(logits, [1, 2, 0]) == pytest.approx(10, rel=1e-3)


@pytest.mark.filterwarnings("error::RuntimeWarning")
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
    found = evaluation.suspicious_labels(torch.tensor(scores), torch.tensor(targets))
    columns = (-found["margin"], found.index, found["label"], found["suggestion"])
    assert list(zip(*columns, strict=True)) == sorted(expected)
    assert found.index.name == "position"


def test_a_label_is_suspicious_if_another_class_just_reaches_its_threshold():
    found = evaluation.suspicious_labels([[1, 0], [0, 1], [0, 1]], [0, 1, 0])
    assert found.index.tolist() == [2] and found["margin"].tolist() == [1]


@pytest.mark.parametrize(
    "function",
    [
        evaluation.misclassified,
        evaluation.expected_calibration_error,
        evaluation.fit_temperature,
        evaluation.suspicious_labels,
    ],
)
@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([[0.5, 0.5], [np.nan, np.nan]], [0, 1], "Some scores are NaN or infinite"),
        ([[np.inf, 0]], [0], "Some scores are NaN or infinite"),
        (np.eye(3), [0], "inconsistent numbers of samples"),
        (np.eye(2), [0, 2], r"one column per class, not \(2, 2\)"),
        (np.eye(2), [0, -1], "one column per class"),
        ([0.5, 0.5], [0, 1], r"one row per image, .* not \(2,\)"),
        (np.eye(2), [0.5, 0.2], "forget argmax"),
    ],
)
def test_scores_that_do_not_fit(function, scores, targets, message):
    with pytest.raises(ValueError, match=message):
        function(torch.tensor(np.array(scores)), torch.tensor(targets))
