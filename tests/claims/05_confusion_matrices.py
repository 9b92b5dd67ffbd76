"""Claims of notebook 05."""

import numpy as np

from course_utils.evaluation import expected_calibration_error
from tools.claims import claim


@claim(after="first-result")
def errors_form_blocks(matrix, classes):
    """Most errors are among shirts and similar clothes, or among the three kinds of shoes."""
    tops = [classes.index(name) for name in ("Coat", "Dress", "Pullover", "Shirt", "T-shirt-top")]
    shoes = [classes.index(name) for name in ("Ankle boot", "Sandal", "Sneaker")]
    errors = matrix - np.diag(matrix.diagonal())
    inside = errors[np.ix_(tops, tops)].sum() + errors[np.ix_(shoes, shoes)].sum()
    assert inside > 0.7 * errors.sum()


@claim(after="more-dogs")
def only_precision_depends_on_frequencies(cats):
    """The number of dogs does not matter for recall. Precision falls from 0.41 to 0.07."""
    assert cats["recall"].nunique() == 1
    assert cats["precision"].round(3).tolist() == [0.412, 0.065]


@claim(after="wrong-pictures")
def most_pictures_are_no_errors(correct_share, predicted, labels):
    """The images shown as errors are mostly classified correctly."""
    assert correct_share > 0.75
    assert abs(correct_share - (predicted == labels).mean()) < 0.1


@claim(after="per-class")
def shirts_are_the_hardest(report):
    """Shirts have by far the lowest F1."""
    assert report["f1"].idxmin() == "Shirt"
    assert report["f1"].drop("Shirt").min() > report.loc["Shirt", "f1"] + 0.05


@claim(after="batches")
def f1_of_batches_is_lower(by_batch):
    """The mean of the F1 of batches is not the F1 of the dataset."""
    assert by_batch[16] < by_batch[1000] - 0.02
    assert by_batch[8] < by_batch[64] < by_batch[1000]


@claim(after="normalized")
def vehicles_have_low_recall_and_high_precision(photo_labels, photo_predicted, kinds):
    """Three of 16 vehicles are missed; hardly anything else is predicted as one."""
    is_vehicle, as_vehicle = (x == kinds.index("vehicles") for x in (photo_labels, photo_predicted))
    assert is_vehicle.sum() == 16
    assert 12 <= (is_vehicle & as_vehicle).sum() <= 14
    assert (as_vehicle & ~is_vehicle).sum() <= 1
    assert (photo_labels == kinds.index("mammals")).sum() > 3.9 * 16


@claim(after="averages")
def micro_is_the_accuracy(averages, photo_accuracy):
    """Micro precision, recall and F1 are the accuracy, and so is weighted recall."""
    assert np.allclose(averages["micro"], photo_accuracy)
    assert np.isclose(averages.loc["recall", "weighted"], photo_accuracy)
    assert averages.loc["F1", "macro"] < photo_accuracy - 0.01


@claim(after="baselines")
def kappa_of_guesses_is_zero_only_in_expectation(kappas, kappa_low, kappa_high):
    """Values up to about ±0.07 are noise."""
    assert abs(np.mean(kappas)) < 0.01
    assert 0.05 < -kappa_low < 0.09
    assert 0.05 < kappa_high < 0.09


@claim(after="baselines")
def a_constant_prediction_has_kappa_0(summary, kinds):
    """The majority class has a higher accuracy than random guesses; kappa and MCC are 0."""
    majority, random = summary["majority class"], summary["random, by class frequency"]
    assert majority["kappa"] == majority["MCC"] == 0
    assert np.isclose(majority["balanced accuracy"], 1 / len(kinds))
    assert majority["accuracy"] > random["accuracy"] + 0.03


@claim(after="mcnemar")
def the_interval_of_the_difference_is_wide(gain, low, high):
    """These images leave a range of several points."""
    assert -0.01 < gain < 0.05
    assert 0.03 < high - low < 0.06


@claim(after="evidence")
def the_split_decides(evidence):
    """The same difference in accuracy is strong evidence or none."""
    assert evidence["p-value"].is_monotonic_increasing
    assert evidence["p-value"].iloc[0] < 0.003
    assert evidence["p-value"].iloc[-1] > 0.5


@claim(after="curves-figure")
def roc_looks_excellent(auc, precision, recall):
    """The area looks excellent; at a recall of 0.9, fewer than half of the flagged are shirts."""
    assert auc > 0.92
    assert precision[recall >= 0.9].max() < 0.5


@claim(after="costs")
def the_threshold_one_half_is_worse_than_none(decisions, positive, classes, score, is_positive):
    """At 0.5 the network costs more than flagging everything; near 1/21 about a third."""
    cost = decisions["cost"]
    assert 0.4 < (score[is_positive] < 0.5).mean() < 0.62
    assert classes[positive] == "Shirt"
    assert cost["threshold 0.5"] > cost["flag everything"]
    assert cost["threshold from the costs"] < 0.4 * cost["threshold 0.5"]
    assert cost["lowest validation cost"] < 0.4 * cost["threshold 0.5"]


@claim(after="cost-curve")
def the_curve_is_flat_at_its_minimum(thresholds, total_cost, decisions):
    """The curve is flat near the threshold from the costs."""
    near = [total_cost(tau) for tau in thresholds if 0.024 < tau < 0.096]
    assert max(near) < 1.45 * decisions.loc["lowest validation cost", "cost"]


@claim(after="ece-table")
def only_the_mlp_is_miscalibrated(calibration):
    """The CNN's ECE is what a calibrated network would show; the MLP's is far above."""
    assert calibration.loc["CNN", "ECE"] < calibration.loc["CNN", "97.5 %"] + 0.005
    assert 0.012 < calibration.loc["CNN", "2.5 %"] < 0.018
    assert 0.032 < calibration.loc["CNN", "97.5 %"] < 0.041
    assert calibration.loc["MLP", "ECE"] > 2 * calibration.loc["MLP", "97.5 %"]


@claim(after="temperature")
def a_temperature_of_two_calibrates_the_mlp(calibration, temperature, scaled, mlp_logits):
    """With T near 2, the ECE is no higher than that of a calibrated network; log loss falls."""
    after = calibration.loc["MLP, with temperature"]
    assert 1.8 < temperature < 2.4
    assert after["ECE"] < after["97.5 %"] + 0.005
    assert after["log loss"] < calibration.loc["MLP", "log loss"] - 0.05
    assert scaled.argmax(dim=1).equal(mlp_logits.argmax(dim=1))


@claim(after="noise-table")
def the_top_of_the_list_is_almost_pure(search):
    """About 95 % of the first 100; three quarters of the errors are found, half are correct."""
    top, whole = search.loc["first 100"], search.iloc[2]
    assert top["precision"] > 0.9
    assert 0.68 < whole["recall"] < 0.82
    assert 0.45 < whole["precision"] < 0.57


@claim(after="headline")
def the_chosen_threshold_pays_on_the_test_images(costs, low):
    """On the test images, too, it costs about a third of threshold 0.5."""
    usual = costs["threshold 0.5"].mean()
    assert costs["lowest validation cost"].mean() < 0.42 * usual
    assert costs["threshold from the costs"].mean() < 0.42 * usual
    assert costs["threshold from the costs"].mean() < costs["lowest validation cost"].mean() + 40
    assert low > 200


@claim(after="test-once")
def the_temperature_works_on_test_images(mlp_test_logits, test_targets, temperature):
    """The temperature works on new images."""
    before = expected_calibration_error(mlp_test_logits.softmax(dim=1), test_targets)
    after = expected_calibration_error((mlp_test_logits / temperature).softmax(1), test_targets)
    assert after < 0.6 * before
