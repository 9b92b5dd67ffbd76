"""Claims of notebook 10. Its accuracies vary by about half a point between seeds."""

from tools.claims import claim


@claim(after="table")
def counts_are_those_of_the_data_card(cells, is_positive, is_certain):
    """2,624 cells, 31 % of them defective; the labels of 15 % are uncertain."""
    assert len(cells) == 2624
    assert abs(is_positive.mean() - 0.313) < 0.001
    assert abs((~is_certain).mean() - 0.153) < 0.001


@claim(after="neighbors")
def neighbors_in_the_file_order_resemble_each_other(within):
    """Most cells have their most similar cell within 60 files; of random cells, 4 % do."""
    assert within["most similar cell"] > 0.75
    assert within["random cell"] < 0.07


@claim(after="leakage")
def random_splits_are_optimistic(leakage):
    """Neighbors raise the accuracy by about three points; no block split reaches a random one."""
    mean = leakage.xs("mean", axis=1, level=1)
    fall = mean.loc["at random"] - mean.loc["by block"]
    assert 0.02 < fall["accuracy"] < 0.045
    assert fall["AUC"] > 0.03
    accuracy = leakage["accuracy"]
    assert accuracy["max"]["by block"] < accuracy["min"]["at random"]


@claim(after="select-strength")
def the_selected_c_is_not_at_the_edge(losses, C):
    """The grid contains larger and smaller values with a higher loss."""
    assert min(losses) < C < max(losses)


@claim(after="baselines-result-table")
def frozen_features_beat_brightness(summary, logits_of, frozen):
    """Brightness and the block number beat the majority class; frozen features are far better."""
    accuracies = {name: summary(logits)["accuracy"] for name, logits in logits_of.items()}
    assert accuracies["brightness"] > accuracies["majority class"] + 0.02
    assert accuracies["block number"] > accuracies["brightness"] + 0.02
    assert accuracies[frozen] > accuracies["block number"] + 0.03


@claim(after="fine-tuned")
def fine_tuning_helps(summary, logits_of, tuned, frozen):
    """Fine-tuning the last two stages changes the accuracy by few points, and raises the AUC."""
    first, second = summary(logits_of[tuned]), summary(logits_of[frozen])
    assert -0.005 < first["accuracy"] - second["accuracy"] < 0.035
    assert first["AUC"] > second["AUC"]


@claim(after="tuned-blocks")
def both_models_are_less_accurate_by_block(by_block_table, accuracy, logits_of, tuned, frozen):
    """Both models are less accurate by block; fine-tuning changes the accuracy by few points."""
    by_block = by_block_table["accuracy"]
    assert by_block["fine-tuned"] < accuracy(logits_of[tuned]) - 0.005
    assert by_block["frozen"] < accuracy(logits_of[frozen]) - 0.01
    assert abs(by_block["difference"]) < 0.035


@claim(after="labels")
def the_treatment_of_uncertain_labels_matters_little(labels_table):
    """The four means differ by less than two points."""
    means = labels_table.groupby("labels")["all cells"].mean()
    assert means.max() - means.min() < 0.02


@claim(after="costs")
def the_formula_saves_most_of_the_cost(costs, inspect_all):
    """The formula's threshold costs much less than 0.5, and little more than the chosen one."""
    assert (costs["cost, formula"] < 0.85 * costs["cost, 0.5"]).all()
    assert (costs["cost, formula"] < 1.05 * costs["cost, chosen"]).all()
    assert (costs["cost, formula"] < 0.6 * inspect_all).all()


@claim(after="results")
def the_accuracy_is_close_to_the_published_one(results):
    """The accuracy is within three points of the published 0.8842."""
    assert abs(results["accuracy"]["all cells"] - 0.8842) < 0.03


@claim(after="by-label")
def uncertain_labels_are_contradicted_more_often(errors):
    """The error rate is highest for 0.67, and lowest for 0."""
    rates = errors.groupby("label")["error rate"].mean()
    assert rates.idxmax() == 0.67
    assert rates.idxmin() == 0


@claim(after="crack-effect")
def cracks_raise_the_logit(before, after):
    """A synthetic crack raises the logit on average."""
    assert (after - before).mean() > 0.2


@claim(after="pointing-game")
def grad_cam_points_to_cracks_more_often_than_chance(hits):
    """The fine-tuned model points to cracks more often than chance and than permuted weights."""
    assert hits["fine-tuned"] > hits["random place"] + 0.1
    assert hits["fine-tuned"] > hits["permuted, highest"] + 0.05
