"""Claims of notebook 06."""

import numpy as np

from course_utils.tensorboard import read_logs
from tools.claims import claim


@claim(after="first-result")
def the_network_is_a_decent_classifier(history):
    """The first training run reaches a validation accuracy of about 0.78."""
    assert 0.73 < history["val_accuracy"][-1] < 0.84


@claim(after="feedback-runs")
def add_scalars_creates_a_run_per_line(ways):
    """add_scalars creates a run for each line; with two writers there are two runs."""
    runs = {way: set(tags["run"]) for way, tags in ways.items()}
    assert runs["two writers"] == {"train", "val"}
    assert len(runs["add_scalars"]) == 4


@claim(after="same-folder")
def the_line_jumps_back(tangled, clean):
    """Read with `read_logs`, two training runs in one folder make one line that jumps back."""
    assert (tangled["step"].diff() < 0).sum() == 1
    assert not (clean.groupby("run")["step"].diff() < 0).any()


@claim(after="smoothing")
def a_smoothed_loss_is_too_high(drop, shown):
    """A falling loss looks higher than it is."""
    assert all(value > logged for value, logged in zip(shown[4:], drop[4:], strict=True))


@claim(after="feedback-peek")
def looking_changes_the_training_run(short_history, peek_history):
    """The second epoch differs, the first one does not."""
    without, looked = short_history["train_loss"], peek_history["train_loss"]
    assert without[0] == looked[0]
    assert without[1] != looked[1]


@claim(after="recall-per-class")
def recall_changes_more_than_accuracy(recall, accuracy):
    """The recall of a class can change by dozens of points, the accuracy by far less."""
    assert recall.diff().abs().max().max() > 30
    assert recall.diff().abs().max().max() > 3 * np.abs(np.diff(accuracy)).max()


@claim(after="recall-per-class")
def recall_also_falls(recall):
    """The boundary between similar classes moves back and forth."""
    assert recall.diff().min().min() < -20


@claim(after="colleague")
def the_colleagues_network_is_worse_and_the_loss_falls(history, colleague_history):
    """The network is worse. The loss falls."""
    assert colleague_history["val_accuracy"][-1] < history["val_accuracy"][-1] - 0.1
    assert colleague_history["train_loss"][-1] < 0.85 * colleague_history["train_loss"][0]


@claim(after="unchanged")
def all_features_and_nothing_else_are_unchanged(unchanged_tensors, baseline, net):
    """All of `features`, none of `classifier`; in the first training run no tensor at all."""
    names = [f"features.{name}" for name, _ in net.features.named_parameters()]
    assert sorted(unchanged_tensors("colleague")) == sorted(names)
    assert unchanged_tensors(baseline) == []


@claim(after="unchanged")
def unused_gradients_grow(histograms_of, epochs):
    """The gradients of the layers that are not trained grow from epoch to epoch."""
    bars = histograms_of("colleague", "gradients/features.0.0.weight")
    largest = [np.abs(bars[epoch][:, :2]).max() for epoch in range(1, epochs + 1)]
    assert largest[0] > 0
    assert all(np.diff(largest) > 0)


@claim(after="slow")
def the_first_training_run_is_the_best(validation, baseline):
    """The lower learning rate is worse here, too."""
    last = validation.groupby("run")["value"].last()
    assert last.idxmax() == f"{baseline}/val"
    assert (validation.groupby("run")["step"].nunique() == 8).all()


@claim(after="costs")
def histograms_are_larger_than_scalars(cost_table):
    """On disk, a histogram is many times as large as a scalar."""
    assert cost_table["kilobytes"]["histogram"] > 10 * cost_table["kilobytes"]["scalar"]


@claim(after="resume")
def purge_step_removes_duplicates(scratch):
    """purge_step tells readers to discard the earlier records of that step and later ones."""
    folder = scratch / "interrupted"
    assert read_logs(folder / "purge_step 4")["step"].tolist() == list(range(1, 8))
    assert read_logs(folder / "purge_step None")["step"].tolist() == [1, 2, 3, 4, 5, 4, 5, 6, 7]
