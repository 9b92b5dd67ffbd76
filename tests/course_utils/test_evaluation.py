"""Predictions in order, intervals that cover the truth, metrics equal to scikit-learn's."""

import numpy as np
import pytest
import sklearn.metrics as skm
import torch
from sklearn.calibration import calibration_curve
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from course_utils import evaluation
from course_utils.evaluation import accuracy_interval, confusion_matrix, predict_logits


def test_predictions_come_in_the_order_of_the_loader():
    images = torch.randn(10, 1, 2, 2)
    labels = torch.arange(10)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    statistics = net[1].running_mean.clone()
    logits, targets = predict_logits(net, DataLoader(TensorDataset(images, labels), batch_size=4))
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


# Targets, predictions and number of classes: random ones, and everything that is odd.
CASES = {
    "random": (np.random.default_rng(0).integers(5, size=(2, 60)), 5),
    "two classes": (np.random.default_rng(1).integers(2, size=(2, 30)), 2),
    "many classes, few images": (np.random.default_rng(2).integers(40, size=(2, 50)), 40),
    "a class that never occurs": (np.array([[0, 0, 2, 2, 3], [0, 2, 2, 0, 3]]), 4),
    "a class without images is predicted": (np.array([[0, 0, 2, 2], [0, 1, 2, 1]]), 3),
    "one class is never predicted": (np.array([[0, 1, 2, 2], [0, 0, 2, 2]]), 3),
    "always the same answer": (np.array([[0, 1, 2, 2, 2], [2, 2, 2, 2, 2]]), 3),
    "all images of one class": (np.array([[1, 1, 1, 1], [0, 1, 1, 2]]), 3),
    "all wrong": (np.array([[0, 1, 2, 0], [1, 2, 0, 2]]), 3),
    "all right": (np.array([[0, 1, 2, 0], [0, 1, 2, 0]]), 3),
}


@pytest.fixture(params=CASES, ids=list(CASES))
def case(request):
    (targets, predictions), num_classes = CASES[request.param]
    return targets, predictions, num_classes


def test_confusion_matrix_is_that_of_scikit_learn(case):
    targets, predictions, num_classes = case
    expected = skm.confusion_matrix(targets, predictions, labels=range(num_classes))
    np.testing.assert_array_equal(confusion_matrix(*case), expected)


def test_confusion_matrix_of_small_integers_does_not_overflow():
    labels = torch.full((3,), 90, dtype=torch.uint8)
    assert confusion_matrix(labels, labels, 100)[90, 90] == 3


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([0, 1], [0], "2 targets but 1"),
        ([0, 3], [0, 1], "from 0 to 2; found 0 to 3"),
        ([0], [-1], "from 0 to 2; found -1 to 0"),
        ([0, 1], [0.2, 0.9], "forget argmax"),
        ([0, 1], [np.nan, 1], "forget argmax"),
        ([0, 1], [[0, 1], [1, 0]], "forget argmax"),
        ([], [], "no images to judge"),
    ],
)
def test_confusion_matrix_says_what_does_not_fit(targets, predictions, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(targets, predictions, 3)


@pytest.mark.filterwarnings("ignore:.*y_pred contains classes not in y_true")
def test_report_and_summary_are_those_of_scikit_learn(case):
    targets, predictions, num_classes = case
    matrix = confusion_matrix(*case)
    every = {"labels": range(num_classes), "zero_division": np.nan}
    report = evaluation.class_report(matrix, [f"class {n}" for n in range(num_classes)])
    expected = skm.precision_recall_fscore_support(targets, predictions, **every)
    np.testing.assert_allclose(report[["precision", "recall", "f1", "images"]].T, expected)
    assert report["predicted"].sum() == len(targets)

    numbers = evaluation.classification_summary(matrix)
    macro = {"average": "macro", **every}
    weighted = {"average": "weighted", "zero_division": np.nan}
    expected = {
        "accuracy": skm.accuracy_score(targets, predictions),
        "balanced accuracy": skm.balanced_accuracy_score(targets, predictions),
        "macro precision": skm.precision_score(targets, predictions, **macro),
        "macro F1": skm.f1_score(targets, predictions, **macro),
        "weighted F1": skm.f1_score(targets, predictions, **weighted),
        "kappa": skm.cohen_kappa_score(targets, predictions),
        "MCC": skm.matthews_corrcoef(targets, predictions),
    }
    assert numbers.to_dict() == pytest.approx(expected, abs=1e-12)


def test_one_image_class_all_right_has_no_kappa():
    numbers = evaluation.classification_summary(np.array([[4, 0], [0, 0]]))
    assert numbers["accuracy"] == numbers["balanced accuracy"] == 1
    assert np.isnan(numbers["kappa"]) and numbers["MCC"] == 0


def test_knowing_nothing_is_worth_exactly_nothing():
    numbers = evaluation.classification_summary(np.array([[0, 34], [0, 3]]))
    assert numbers["kappa"] == 0 and numbers["MCC"] == 0 and numbers["balanced accuracy"] == 0.5


def test_top_k_is_that_of_scikit_learn():
    generator = np.random.default_rng(0)
    scores, targets = generator.normal(size=(80, 6)), generator.integers(6, size=80)
    for k in range(1, 6):
        expected = skm.top_k_accuracy_score(targets, scores, k=k, labels=range(6))
        assert evaluation.top_k_accuracy(scores, targets, k) == expected
    assert evaluation.top_k_accuracy(torch.tensor(scores), torch.tensor(targets), 6) == 1


def test_equal_scores_for_all_classes_win_nothing():
    assert evaluation.top_k_accuracy(torch.zeros(4, 3), torch.arange(4) % 3, 1) == 0
    assert evaluation.top_k_accuracy(torch.zeros(4, 3), torch.arange(4) % 3, 3) == 1


def accuracy(targets, predictions):
    return (targets == predictions).mean()


def test_bootstrap_agrees_with_the_formula_for_accuracies():
    generator = np.random.default_rng(0)
    targets = generator.integers(2, size=400)
    predictions = np.where(generator.random(400) < 0.8, targets, 1 - targets)
    low, high = evaluation.bootstrap_interval(accuracy, targets, predictions, resamples=4000)
    right = (targets == predictions).mean()
    deviation = np.sqrt(right * (1 - right) / 400)
    assert (low, high) == pytest.approx(
        (right - 1.96 * deviation, right + 1.96 * deviation), abs=6e-3
    )
    narrow = evaluation.bootstrap_interval(accuracy, targets, predictions, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_of_two_images_by_hand():
    # One right, one wrong: draws have an accuracy of 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4.
    draws = []

    def counted(targets, predictions):
        draws.append(len(targets))
        return accuracy(targets, predictions)

    assert evaluation.bootstrap_interval(counted, [0, 1], [0, 0], confidence=0.6) == (0, 1)
    assert draws == [2] * 1000
    assert evaluation.bootstrap_interval(accuracy, [0, 1], [0, 0], confidence=0.4) == (0.5, 0.5)


def test_bootstrap_leaves_out_draws_without_a_value():
    def precision(targets, predictions):
        said = predictions == 1
        return (targets[said] == 1).mean() if said.any() else np.nan

    interval = evaluation.bootstrap_interval(precision, [1, 0, 0], [1, 1, 0])
    assert interval == (0, 1)


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
def test_mcnemar_is_a_coin_toss(only_first, only_second, expected):
    outcomes = [(1, 0)] * only_first + [(0, 1)] * only_second + [(1, 1)] * 7 + [(0, 0)] * 5
    first, second = torch.tensor(outcomes).T
    targets = torch.ones(len(outcomes), dtype=torch.long)
    assert evaluation.mcnemar(targets, first, second) == pytest.approx(expected)


def test_confused_pairs_lists_every_mistake_once():
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 2, 0]])
    pairs = evaluation.confused_pairs(matrix, ["cat", "dog", "cow"])
    assert pairs.to_dict("list") == {
        "true": ["cat", "cow", "dog"],
        "predicted": ["dog", "dog", "cat"],
        "count": [2, 2, 1],
        "share": [0.2, 1.0, 0.1],
    }
    assert evaluation.confused_pairs(np.eye(2, dtype=int), ["cat", "dog"]).empty


def test_mistakes_know_their_position():
    probabilities = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95]])
    targets = torch.tensor([0, 0, 1, 0, 0])
    found = evaluation.misclassified(probabilities, targets)
    assert found.index.tolist() == [4, 1, 3]
    assert found["true"].tolist() == [0, 0, 0] and found["predicted"].tolist() == [1, 1, 1]
    np.testing.assert_allclose(found["probability"], [0.95, 0.7, 0.6], atol=1e-6)
    assert evaluation.misclassified(probabilities[:1], targets[:1]).empty


def sampled(count, temperature=1.0):
    """Logits whose softmax, divided by the temperature, is the truth; and targets drawn from it."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(count, 4, generator=generator)
    targets = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return logits * temperature, targets


def test_reliability_is_that_of_scikit_learn():
    logits, targets = sampled(500)
    table = evaluation.reliability_table(logits.softmax(dim=1), targets, bins=8)
    confidence, predictions = logits.softmax(dim=1).max(dim=1)
    expected = calibration_curve(predictions == targets, confidence, n_bins=8)
    np.testing.assert_allclose(table[["accuracy", "confidence"]].T, expected, atol=1e-6)
    assert table["count"].sum() == 500
    assert (table["low"] < table["confidence"]).all() and (
        table["confidence"] <= table["high"]
    ).all()


def test_calibration_error_by_hand():
    probabilities = torch.tensor([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [1.0, 0.0]])
    targets = torch.tensor([0, 1, 1, 0])
    # Bins of 0.1: 0.6 alone and right; 0.9 alone and right; 0.95 and 1.0, half of them right.
    expected = (0.4 + 0.1 + 2 * (0.975 - 0.5)) / 4
    error = evaluation.expected_calibration_error(probabilities.double(), targets, bins=10)
    assert error == pytest.approx(expected)
    sure_and_right = torch.eye(3)[[0, 1, 2]]
    assert evaluation.expected_calibration_error(sure_and_right, torch.arange(3)) == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature):
    logits, targets = sampled(20_000, temperature)
    found = evaluation.fit_temperature(logits, targets)
    assert found == pytest.approx(temperature, rel=0.05)
    before = evaluation.expected_calibration_error(logits.softmax(dim=1), targets)
    after = evaluation.expected_calibration_error((logits / found).softmax(dim=1), targets)
    assert after < 0.02 and (temperature == 1 or before > 3 * after)


def test_the_temperature_stays_finite():
    logits = 5 * torch.eye(3)
    assert evaluation.fit_temperature(logits, torch.arange(3)) == pytest.approx(0.05, abs=0.05)
    assert evaluation.fit_temperature(logits, torch.tensor([1, 2, 0])) == pytest.approx(
        100, rel=0.1
    )


def test_confident_disagreement_by_hand():
    probabilities = np.array(
        [
            [0.9, 0.1, 0.0],  # 0: right
            [0.5, 0.3, 0.2],  # 0: right, though below the average of its class
            [0.1, 0.8, 0.1],  # 1: right
            [0.2, 0.6, 0.2],  # 1: right
            [0.05, 0.9, 0.05],  # labelled 0: class 1 claims it
            [0.95, 0.05, 0.0],  # labelled 1: class 0 claims it, more clearly
        ]
    )
    labels = np.array([0, 0, 1, 1, 0, 1])
    # On average an image labelled 0 has 1.45 / 3 for class 0, one labelled 1 the same for class 1.
    found = evaluation.suspicious_labels(probabilities, torch.tensor(labels))
    assert found.index.tolist() == [5, 4]
    assert found["label"].tolist() == [1, 0] and found["suggestion"].tolist() == [0, 1]
    np.testing.assert_allclose(found["margin"], [0.9, 0.85])


def test_nobody_is_suspicious_without_a_claim():
    unsure = np.full((4, 2), 0.5)
    assert evaluation.suspicious_labels(np.eye(3), np.arange(3)).empty
    # Both classes claim every image, and neither is likelier than the label.
    assert evaluation.suspicious_labels(unsure, np.array([0, 1, 0, 1])).empty


def test_flipped_labels_come_first():
    logits, targets = sampled(400)
    probabilities = (3 * logits).softmax(dim=1)
    labels = logits.argmax(dim=1)
    clear = torch.nonzero(probabilities.max(dim=1).values > 0.98)[:10, 0]
    labels[clear] = (labels[clear] + 1) % 4
    found = evaluation.suspicious_labels(probabilities, labels)
    assert set(found.index) == set(clear.tolist())
    assert torch.equal(
        torch.tensor(found["suggestion"].tolist()), logits[found.index.tolist()].argmax(1)
    )


NAN = [[0.5, 0.5], [np.nan, np.nan]]


@pytest.mark.parametrize(
    "judge",
    [
        lambda scores, targets: evaluation.top_k_accuracy(scores, targets, 1),
        evaluation.misclassified,
        evaluation.reliability_table,
        evaluation.expected_calibration_error,
        evaluation.fit_temperature,
        evaluation.suspicious_labels,
    ],
)
@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (NAN, [0, 1], "Some scores are NaN"),
        (np.eye(3), [0], "1 targets but 3 predictions"),
        (np.eye(2), [0, 2], r"shape \(2, 2\) do not fit class indices from 0 to 2"),
        (np.eye(2), [0, -1], "from -1 to 0"),
        ([0.5, 0.5], [0, 1], r"shape \(2,\) do not fit"),
        (np.zeros((0, 2)), [], "no images to judge"),
    ],
)
def test_scores_that_cannot_be_judged_get_a_sentence(judge, scores, targets, message):
    with pytest.raises(ValueError, match=message):
        judge(torch.tensor(np.array(scores)), torch.tensor(targets))


def test_what_is_no_probability_is_refused():
    for scores in ([[1.02, 0]], [[0.5, -0.1]]):
        with pytest.raises(ValueError, match="are these logits"):
            evaluation.reliability_table(scores, [0])
    assert evaluation.reliability_table([[1.01, 0]], [0])["count"].tolist() == [1]
    with pytest.raises(ValueError, match="Some logits are infinite"):
        evaluation.fit_temperature([[np.inf, 0]], [0])


def test_what_cannot_be_compared_gets_a_sentence():
    with pytest.raises(ValueError, match="3 targets but 1 predictions"):
        evaluation.mcnemar([0, 1, 1], [0, 1, 1], [0])
    with pytest.raises(ValueError, match="3 targets but 2 predictions"):
        evaluation.mcnemar([0, 1, 1], [0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="2 targets but 3 predictions"):
        evaluation.bootstrap_interval(accuracy, [0, 1], [0, 1, 1])
    with pytest.raises(ValueError, match="no images to judge"):
        evaluation.bootstrap_interval(accuracy, [], [])
    with pytest.raises(ValueError, match="no images to judge"):
        evaluation.classification_summary(np.zeros((2, 2), int))


@pytest.mark.parametrize(("correct", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_an_interval_needs_possible_counts(correct, count):
    with pytest.raises(ValueError, match=f"^{correct} of {count} predictions cannot be right"):
        accuracy_interval(correct, count)


def test_an_empty_loader_gets_a_sentence():
    nothing = TensorDataset(torch.zeros(0, 2), torch.zeros(0))
    with pytest.raises(ValueError, match="no batch to predict"):
        predict_logits(nn.Linear(2, 2), DataLoader(nothing))


def test_half_precision_is_judged_too():
    scores = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    for dtype in (torch.float16, torch.bfloat16):
        assert evaluation.top_k_accuracy(scores.to(dtype), [1, 1], 1) == 0.5
        assert evaluation.misclassified(scores.to(dtype), [1, 1])["probability"].tolist() == [1]
        assert evaluation.expected_calibration_error(scores.to(dtype), [1, 1]) == 0.625


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "d"]])
def test_each_output_needs_a_name(names):
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    message = f"has 3 outputs, but there are {len(names)} names"
    with pytest.raises(ValueError, match=message):
        evaluation.top_classes(net, torch.zeros(3, 2, 2), names)


def test_what_is_left_out_has_the_documented_value():
    logits, targets = sampled(300)
    probabilities = logits.softmax(dim=1)
    predictions = logits.argmax(dim=1)
    reliability, error = evaluation.reliability_table, evaluation.expected_calibration_error
    assert reliability(probabilities, targets).equals(reliability(probabilities, targets, 10))
    assert error(probabilities, targets) == error(probabilities, targets, 15)
    bootstrap = evaluation.bootstrap_interval
    assert bootstrap(accuracy, targets, predictions) == bootstrap(
        accuracy, targets, predictions, confidence=0.95, resamples=1000, seed=0
    )
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 7))
    assert len(evaluation.top_classes(net, torch.zeros(1, 1, 1), "abcdefg")) == 5


def test_a_network_in_eval_mode_stays_in_it():
    net = nn.Sequential(nn.Flatten(), nn.Linear(1, 2)).eval()
    images = torch.zeros(1, 1, 1, 1)
    predict_logits(net, DataLoader(TensorDataset(images, torch.zeros(1))))
    evaluation.top_classes(net, images[0], "ab")
    assert not net.training


def test_tables_say_what_their_rows_are():
    matrix = np.eye(2, dtype=int)
    assert evaluation.class_report(matrix, "a b".split()).index.name == "class"
    wrong = [[0.9, 0.1], [0.1, 0.9]], [1, 0]
    assert evaluation.misclassified(*wrong).index.name == "position"
    assert evaluation.suspicious_labels(*wrong).index.name == "position"


@pytest.mark.filterwarnings("error")
def test_classes_that_do_not_occur_cause_no_warning():
    matrix = confusion_matrix([0, 0], [0, 1], 4)
    assert matrix.dtype == np.int64
    assert evaluation.classification_summary(matrix)["accuracy"] == 0.5
    scores = [[0.5, 0.5, 0.0]] * 2
    assert evaluation.suspicious_labels(scores, [0, 0]).empty


def test_top_classes_of_one_image():
    logits = torch.tensor([1.0, 3.0, 2.0, -1.0])
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.Dropout(0.5))
    nn.init.zeros_(net[1].weight)
    net[1].bias.data = logits
    names = ["a", "b", "c", "d"]
    top = evaluation.top_classes(net, torch.zeros(3, 2, 2), names, most=3)
    assert top["class"].tolist() == ["b", "c", "a"]
    expected = logits.exp() / logits.exp().sum()
    assert top["probability"].tolist() == pytest.approx(expected[[1, 2, 0]].tolist())
    assert net.training
    assert len(evaluation.top_classes(net, torch.zeros(3, 2, 2), names)) == 4
