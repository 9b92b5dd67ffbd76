"""Claims of notebook 03."""

from tools.claims import claim


@claim(after="first-result")
def nine_of_ten_photographs(predicted, labels):
    """About nine of ten photographs are classified correctly."""
    assert 0.86 < (predicted == labels).mean() < 0.95


@claim(after="repeat-frozen")
def folds_move_the_accuracy(frozen):
    """The folds alone move the accuracy by some points."""
    accuracies = frozen.mean(axis=1)
    assert 0.01 < accuracies.max() - accuracies.min() < 0.06


@claim(after="compare-scratch")
def pretrained_features_win(gain, low, majority, scratch):
    """Pretrained features win by more than 20 points, and the interval is far from zero."""
    assert 0.2 < gain < 0.36
    assert low > 0.15
    assert scratch.mean() > majority + 0.1


@claim(after="learning-curve")
def the_curve_flattens(curve):
    """One photograph per class gives about 60 %; the gains become smaller."""
    means = {size: accuracies.mean() for size, accuracies in curve.items()}
    assert 0.5 < means[1] < 0.68
    assert means[2] - means[1] > 0.05
    assert means[12] - means[10] < 0.04
    assert means[12] > means[1] + 0.2


@claim(after="learning-curve")
def four_images_beat_training_from_scratch(curve, scratch):
    """Four per class are clearly better than the CNN with all photographs."""
    assert curve[4].mean() > scratch.mean() + 0.05


@claim(after="strict-false")
def nothing_is_loaded(changed, answer, own):
    """0 of 296 tensors change, and nothing is an error."""
    assert changed == 0
    assert len(answer.missing_keys) == 247
    assert len(own) == 296


@claim(after="wrong-inputs")
def unscaled_pixels_cost_most(mistakes):
    """Unscaled pixels cost about 13 points; with random weights, accuracy falls to about 0.5."""
    assert -0.2 < mistakes.loc["0 to 255", "difference"] < -0.1
    assert 0.42 < mistakes.loc["random weights", "accuracy"] < 0.58


@claim(after="wrong-inputs")
def imagenets_normalization_costs_points(mistakes):
    """ImageNet's numbers cost about three points; zero is at the edge of the interval."""
    row = mistakes.loc["ImageNet's mean and std"]
    assert -0.06 < row["difference"] < -0.005
    assert row["upper end"] < 0.015


@claim(after="use-suggestion")
def the_suggested_rate_has_the_lowest_loss(rate_table):
    """The suggested rate has the lowest log loss of the five."""
    assert rate_table["log loss"].idxmin() == 1


@claim(after="drift")
def features_drift(similarity, still, drifted):
    """The features of a frozen backbone change in train mode."""
    assert similarity.mean() < 0.8
    assert drifted < still - 0.02


@claim(after="ablation-table")
def no_recipe_beats_frozen_features(ablation, frozen):
    """No recipe beats frozen features."""
    assert ablation["accuracy"].max() < frozen[0].mean() + 0.02


@claim(after="loss-curves")
def epoch_0_is_the_best(loss_curves):
    """With the head first and ratio 0.1, the log loss is lowest at epoch 0."""
    for (head_first, _, ratio), losses in loss_curves.items():
        if head_first == "yes" and ratio == 0.1:
            assert losses.argmin() == 0
