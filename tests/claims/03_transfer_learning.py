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
    """One photograph per class gives about 0.58; then the gain is more than ten points."""
    means = {size: accuracies.mean() for size, accuracies in curve.items()}
    assert 0.54 < means[1] < 0.63
    assert means[2] - means[1] > 0.1
    assert 0 < means[12] - means[10] < 0.03
    assert means[12] > means[1] + 0.2


@claim(after="learning-curve")
def four_images_beat_training_from_scratch(curve, scratch):
    """Four per class are better than the untuned CNN with all photographs."""
    assert curve[4].mean() > scratch.mean() + 0.05


@claim(after="strict-false")
def nothing_is_loaded(changed, answer, own):
    """0 of 296 tensors change, and nothing is an error."""
    assert changed == 0
    assert len(answer.missing_keys) == 247
    assert len(own) == 296


@claim(after="wrong-inputs")
def unscaled_pixels_cost_most(mistakes):
    """Unscaled pixels cost about 13 points; random weights cost 40 or more."""
    assert -0.2 < mistakes.loc["0 to 255", "difference"] < -0.1
    assert -0.6 < mistakes.loc["random weights", "difference"] < -0.35


@claim(after="wrong-inputs")
def inputs_from_0_to_1_show_no_difference(mistakes):
    """For inputs from 0 to 1 we see no difference."""
    row = mistakes.loc["0 to 1, not normalized"]
    assert row["lower end"] < 0 < row["upper end"]


@claim(after="mcnemar-repeats")
def p_values_differ_between_repeats(rows):
    """A report of one cross-validation could have claimed either."""
    p_values = [row[2] for row in rows]
    assert max(p_values) > 10 * min(p_values)


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


@claim(after="use-suggestion")
def too_high_a_rate_makes_confident_errors(rate_table):
    """A hundred times as much changes the accuracy by a few points, and the log loss tenfold."""
    assert abs(rate_table.loc[100, "accuracy"] - rate_table.loc[1, "accuracy"]) < 0.06
    assert rate_table.loc[100, "log loss"] > 10 * rate_table.loc[1, "log loss"]
    assert rate_table.loc[0.01, "log loss"] > 2 * rate_table.loc[1, "log loss"]


@claim(after="drift")
def features_drift(similarity, still, drifted):
    """The features of a frozen backbone change in train mode."""
    assert similarity.mean() < 0.8
    assert drifted < still - 0.02


@claim(after="ablation-table")
def no_recipe_is_significantly_better(ablation):
    """None of the five runs has a recipe with p < 0.05 in its favor."""
    better = ablation["only fine-tuned correct"] > ablation["only frozen correct"]
    assert not (better & (ablation["p-value"] < 0.05)).any()


@claim(after="effects")
def fine_tuning_costs_points(effects):
    """On average over the recipes, fine-tuning costs 1 to 4 points."""
    assert -0.045 < effects["fine-tuning"][0] < -0.005


@claim(after="effects")
def precautions_have_small_effects(effects):
    """The head first gains 0.3 to 2.3 points, batch norm less than one; the ratio's sign varies."""
    assert 0 < effects["head first"][0] < 0.03
    assert abs(effects["batch norm"][0]) < 0.01
    assert abs(effects["ratio"][0]) < 0.02


@claim(after="loss-curves")
def epoch_0_is_the_best(loss_curves):
    """With the head first and ratio 0.1, the log loss is lowest at epoch 0."""
    for (head_first, _, ratio), losses in loss_curves.items():
        if head_first == "yes" and ratio == 0.1:
            assert losses.argmin() == 0


@claim(after="loss-curves")
def ratio_and_batch_norm_interact(loss_curves):
    """Without the head first, ratio 0.1 is better in eval mode and worse in train mode."""
    end = {recipe: losses[-1] for recipe, losses in loss_curves.items()}
    assert end["no", "eval", 0.1] < end["no", "eval", 1] - 0.03
    assert end["no", "train", 0.1] > end["no", "train", 1] + 0.03
