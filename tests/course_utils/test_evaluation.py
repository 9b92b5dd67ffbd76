"""Predictions in order, intervals that cover the truth, metrics equal to scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics as skm
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from course_utils import evaluation
from course_utils.evaluation import accuracy_interval, predict_logits


def test_predictions_come_in_the_order_of_the_loader():
    images, labels = torch.randn(10, 1, 2, 2), torch.arange(10)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    statistics = net[1].running_mean.clone()
    logits, targets = predict_logits(net, DataLoader(TensorDataset(images, labels), batch_size=4))
    assert net.training and torch.equal(net[1].running_mean, statistics)
    assert torch.equal(targets, labels) and not logits.requires_grad
    torch.testing.assert_close(logits, net.eval()(images).detach())
    predict_logits(net, DataLoader(TensorDataset(images, labels)))
    assert not net.training


def test_predictions_of_an_iterable_dataset():
    """It has no length, which the progress bar asked for."""

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([(torch.full((2,), float(n)), n) for n in range(5)])

    logits, targets = predict_logits(nn.Linear(2, 2), DataLoader(Stream(), batch_size=2))
    assert logits.shape == (5, 2) and targets.tolist() == [0, 1, 2, 3, 4]


def test_an_empty_loader():
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


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    # Wilson's formula with z = 1.959964, computed by hand.
    [(90, 100, 0.8256343, 0.9447708), (0, 10, 0.0, 0.2775328), (10, 10, 0.7224672, 1.0)],
)
def test_wilson_interval(correct, count, low, high):
    assert accuracy_interval(correct, count) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize(("correct", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_an_interval_needs_possible_counts(correct, count):
    with pytest.raises(ValueError):
        accuracy_interval(correct, count)


def test_the_interval_covers_the_truth_in_95_percent():
    torch.manual_seed(0)
    correct = torch.distributions.Binomial(40, torch.tensor(0.85)).sample((2000,)).int().tolist()
    intervals = {count: accuracy_interval(count, 40) for count in set(correct)}
    covered = sum(intervals[count][0] <= 0.85 <= intervals[count][1] for count in correct)
    assert 0.92 < covered / 2000 < 0.98


# Random labels are in test_numbers.py; here is everything that is odd.
CASES = {
    "a class that never occurs": ([0, 0, 2, 2, 3], [0, 2, 2, 0, 3], 4),
    "a class without images is predicted": ([0, 0, 2, 2], [0, 1, 2, 1], 3),
    "one class is never predicted": ([0, 1, 2, 2], [0, 0, 2, 2], 3),
    "majority-class baseline": ([0, 1, 2, 2, 2], [2, 2, 2, 2, 2], 3),
    "all images of one class": ([1, 1, 1, 1], [0, 1, 1, 2], 3),
    "all wrong": ([0, 1, 2, 0], [1, 2, 0, 2], 3),
    "all correct": ([0, 1, 2, 0], [0, 1, 2, 0], 3),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("error", "ignore:.*y_pred contains classes not in y_true")
def test_report_and_summary_equal_scikit_learn(case):
    targets, predictions, num_classes = CASES[case]
    report = evaluation.class_report(targets, predictions, [f"c{n}" for n in range(num_classes)])
    every = {"labels": range(num_classes), "zero_division": np.nan}
    expected = skm.precision_recall_fscore_support(targets, predictions, **every)
    columns = ["precision", "recall", "f1", "images"]
    np.testing.assert_allclose(report[columns].T, np.array(expected, float))
    assert report["predicted"].tolist() == [predictions.count(n) for n in range(num_classes)]
    assert report.index.name == "class" and report["images"].dtype == np.int64

    numbers = evaluation.classification_summary(torch.tensor(targets), np.array(predictions))
    macro, weighted = {"average": "macro", **every}, {"average": "weighted", **every}
    assert numbers.to_dict() == pytest.approx(
        {
            "accuracy": skm.accuracy_score(targets, predictions),
            "balanced accuracy": skm.balanced_accuracy_score(targets, predictions),
            "macro precision": skm.precision_score(targets, predictions, **macro),
            "macro F1": skm.f1_score(targets, predictions, **macro),
            "weighted F1": skm.f1_score(targets, predictions, **weighted),
            "kappa": skm.cohen_kappa_score(targets, predictions),
            "MCC": skm.matthews_corrcoef(targets, predictions),
        },
        abs=1e-12,
    )


@pytest.mark.filterwarnings("error")
def test_summary_of_a_single_class_and_at_chance_level():
    numbers = evaluation.classification_summary([0] * 4, [0] * 4)
    assert numbers["accuracy"] == numbers["balanced accuracy"] == 1
    assert np.isnan(numbers["kappa"]) and numbers["MCC"] == 0
    numbers = evaluation.classification_summary([0] * 34 + [1] * 3, [1] * 37)
    assert numbers["kappa"] == numbers["MCC"] == 0 and numbers["balanced accuracy"] == 0.5


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


def accuracy(targets, predictions):
    return (targets == predictions).mean()


def test_bootstrap_agrees_with_the_formula_for_accuracies():
    generator = np.random.default_rng(0)
    targets = generator.integers(2, size=400)
    predictions = np.where(generator.random(400) < 0.8, targets, 1 - targets)
    found = evaluation.bootstrap_interval(accuracy, targets, predictions, resamples=4000)
    mean = (targets == predictions).mean()
    half = 1.96 * np.sqrt(mean * (1 - mean) / 400)
    assert found == pytest.approx((mean - half, mean + half), abs=6e-3)


def test_bootstrap_samples_as_many_images_as_there_are():
    sizes = []

    def metric(targets, predictions):
        sizes.append(len(targets))
        return accuracy(targets, predictions)

    # One correct, one wrong: a quarter of the samples has accuracy 0, another quarter 1.
    assert evaluation.bootstrap_interval(metric, [0, 1], [0, 0]) == (0, 1)
    assert sizes == [2] * 1000


def test_bootstrap_leaves_out_samples_without_a_value():
    def precision(targets, predictions):
        positive = predictions == 1
        return (targets[positive] == 1).mean() if positive.any() else np.nan

    assert evaluation.bootstrap_interval(precision, [1, 0, 0], [1, 1, 0]) == (0, 1)


def test_bootstrap_depends_on_the_seed_alone():
    targets, predictions = torch.arange(30) % 3, torch.arange(30) % 2
    results = [
        evaluation.bootstrap_interval(accuracy, targets, predictions, resamples=50, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize(
    ("only_first", "only_second", "expected"),
    # 2 · (sum of the binomial coefficients up to the smaller number) / 2^n, at most 1.
    [(10, 0, 2 / 1024), (3, 1, 2 * 5 / 16), (1, 3, 2 * 5 / 16), (2, 2, 1.0), (0, 0, 1.0)],
)
def test_mcnemar(only_first, only_second, expected):
    outcomes = [(1, 0)] * only_first + [(0, 1)] * only_second + [(1, 1)] * 7 + [(0, 0)] * 5
    first, second = torch.tensor(outcomes).T
    targets = torch.ones(len(outcomes), dtype=torch.long)
    assert evaluation.mcnemar(targets, first, second) == pytest.approx(expected)


def test_different_lengths_are_not_broadcast():
    for first, second in (([0, 1, 1], [0]), ([0, 1], [0, 1, 1])):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            evaluation.mcnemar([0, 1, 1], first, second)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        evaluation.bootstrap_interval(accuracy, [0, 1], [0, 1, 1])


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


def test_misclassified_images_keep_their_position():
    probabilities = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95]])
    targets = torch.tensor([0, 0, 1, 0, 0])
    found = evaluation.misclassified(probabilities, targets)
    assert found.index.tolist() == [4, 1, 3] and found.index.name == "position"
    assert found["true"].tolist() == [0, 0, 0] and found["predicted"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(found["probability"], [0.95, 0.7, 0.6], atol=1e-6)
    assert evaluation.misclassified(probabilities[:1], targets[:1]).empty


def sampled(count, temperature=1.0):
    """Return calibrated logits times a temperature, and targets sampled from their softmax."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, 4, generator=generator)
    targets = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return logits * temperature, targets


def test_calibration_error_by_hand():
    probabilities = torch.tensor([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [1.0, 0.0]])
    targets = torch.tensor([0, 1, 1, 0])
    # Bins of 0.1: 0.6 alone and correct; 0.9 alone and correct; 0.95 and 1.0, half of them correct.
    expected = (0.4 + 0.1 + 2 * (0.975 - 0.5)) / 4
    error = evaluation.expected_calibration_error(probabilities.double(), targets, bins=10)
    assert error == pytest.approx(expected)
    assert evaluation.expected_calibration_error(torch.eye(3), torch.arange(3)) == 0


def test_probabilities_must_be_from_0_to_1():
    for scores in ([[1.02, 0]], [[0.5, -0.1]]):
        with pytest.raises(ValueError, match="are these logits"):
            evaluation.reliability_table(scores, [0])
    assert evaluation.reliability_table([[1.01, 0]], [0])["count"].tolist() == [1]


def test_coverage_curve():
    probabilities = np.array([[0.95, 0.05], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])
    curve = evaluation.coverage_curve(probabilities, [0, 1, 1, 1]).set_index("threshold")
    assert len(curve) == 101
    assert curve.loc[[0.0, 0.55, 0.57, 0.7, 0.95]].to_numpy().tolist() == [
        [1, 0.75], [1, 0.75], [0.75, 2 / 3], [0.5, 1], [0.25, 1]
    ]  # fmt: skip
    assert curve.loc[0.96, "coverage"] == 0 and np.isnan(curve.loc[0.96, "accuracy"])


@pytest.mark.parametrize("temperature", [0.6, 1.0, 3.0])
def test_the_true_temperature_is_found(temperature):
    logits, targets = sampled(20_000, temperature)
    found = evaluation.fit_temperature(logits, targets)
    assert found == pytest.approx(temperature, rel=0.05)
    before = evaluation.expected_calibration_error(logits.softmax(dim=1), targets)
    after = evaluation.expected_calibration_error((logits / found).softmax(dim=1), targets)
    assert after < 0.02 and (temperature == 1 or before > 3 * after)


def test_the_temperature_does_not_collapse():
    """If all images are correct, the cross-entropy alone would choose a temperature near 0."""
    logits = 5 * torch.eye(3)
    assert evaluation.fit_temperature(logits, [0, 1, 2]) == pytest.approx(0.5, rel=1e-3)
    assert evaluation.fit_temperature(logits, [1, 2, 0]) == pytest.approx(10, rel=1e-3)


def test_suspicious_labels_by_hand():
    probabilities = np.array(
        [
            [0.9, 0.1, 0.0],  # 0: correct
            [0.5, 0.3, 0.2],  # 0: correct, though below the average of its class
            [0.1, 0.8, 0.1],  # 1: correct
            [0.2, 0.6, 0.2],  # 1: correct
            [0.05, 0.9, 0.05],  # labelled 0, class 1 reaches its threshold
            [0.95, 0.05, 0.0],  # labelled 1, class 0 reaches its threshold by a larger margin
        ]
    )
    labels = torch.tensor([0, 0, 1, 1, 0, 1])
    # The mean probability of class 0 among images labelled 0 is 1.45 / 3; of class 1, the same.
    found = evaluation.suspicious_labels(probabilities, labels)
    assert found.index.tolist() == [5, 4] and found.index.name == "position"
    assert found["label"].tolist() == [1, 0] and found["suggestion"].tolist() == [0, 1]
    np.testing.assert_allclose(found["margin"], [0.9, 0.85])


@pytest.mark.filterwarnings("error")
def test_labels_that_are_not_suspicious():
    assert evaluation.suspicious_labels(np.eye(3), np.arange(3)).empty
    # Both classes reach their thresholds, and neither is more probable than the label.
    assert evaluation.suspicious_labels(np.full((4, 2), 0.5), np.array([0, 1, 0, 1])).empty
    # Classes 1 and 2 have no images.
    assert evaluation.suspicious_labels([[0.4, 0.6, 0.0]] * 2, [0, 0]).empty


def test_flipped_labels_come_first():
    logits, _ = sampled(400)
    probabilities, labels = (3 * logits).softmax(dim=1), logits.argmax(dim=1)
    clear = torch.nonzero(probabilities.max(dim=1).values > 0.98)[:10, 0]
    labels[clear] = (labels[clear] + 1) % 4
    found = evaluation.suspicious_labels(probabilities, labels)
    assert set(found.index) == set(clear.tolist())
    assert found["suggestion"].tolist() == logits[found.index.tolist()].argmax(1).tolist()


@pytest.mark.parametrize(
    "function",
    [
        evaluation.misclassified,
        evaluation.expected_calibration_error,
        evaluation.coverage_curve,
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
        (np.eye(2), [0, 2], r"\(2, 2\) is not one row per image"),
        (np.eye(2), [0, -1], "one column per class"),
        ([0.5, 0.5], [0, 1], r"\(2,\) is not one row"),
        (np.eye(2), [0.5, 0.2], "forget argmax"),
    ],
)
def test_scores_that_do_not_fit(function, scores, targets, message):
    with pytest.raises(ValueError, match=message):
        function(torch.tensor(np.array(scores)), torch.tensor(targets))
