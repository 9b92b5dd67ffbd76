"""Claims of notebook 04."""

import math
from pathlib import Path

import numpy as np

from tools.claims import claim
from tools.notebooks import read_answers

SOLUTIONS = Path(__file__).parents[2] / "solutions" / "04_training_curves.py"


@claim(after="healthy-run")
def a_healthy_run(history):
    """In the second half of the epochs, the training loss is lower, and the distance grows."""
    gaps = history.frame["val_loss"] - history.frame["train_loss"]
    assert (gaps[6:] > 0).all()
    assert gaps[9:].mean() > gaps[4:7].mean()
    assert history["train_loss"][-1] < 0.5
    assert history["val_loss"][-1] < 0.85


@claim(after="two-numbers")
def narrow_underfits_and_few_images_are_memorized(losses, few):
    """The narrow network is well above 1 nat; few images end below 0.1 with the largest gap."""
    train, gap = losses["training loss"], losses["gap"]
    assert 1.15 < train["width=1"] < 1.6
    assert abs(gap["width=1"]) < 0.1
    assert train[f"{few} images per class"] < 0.1
    assert gap[f"{few} images per class"] > 2 * gap["healthy"] > 0.2


@claim(after="shift-figure")
def the_shift_explains_the_lag(late, shifted, frame):
    """The training loss is averaged during the epoch and is half an epoch older on average."""
    assert shifted < 0.7 * late
    assert frame["val_loss"][0] < frame["train_loss"][0]


@claim(after="gallery-figure")
def settings_show_their_symptoms(gallery, classes):
    """E: jagged, and worse than D. N: both level off together, at a high loss.

    B: both fall steadily until the end. K: a spike, then a worse run. L: healthy, then a jump.
    """
    chance = math.log(len(classes))
    frames = {name: run.frame for name, run in gallery.items()}
    healthy = frames["healthy"]["val_loss"].min()
    slow = frames["learning rate too low"]["train_loss"]
    assert slow.iloc[-1] > 0.7 * chance
    assert (slow.diff()[1:] < 0).all()
    high = frames["learning rate too high"]["val_loss"]
    assert high.iloc[-5:].mean() > 1.2 * healthy
    assert high[5:].diff().abs().mean() > 2 * frames["healthy"]["val_loss"][5:].diff().abs().mean()
    growing = frames["learning rate grows"]
    assert growing["val_loss"].min() < 0.5 * chance < growing["val_loss"].iloc[-1]
    spike = frames["one epoch at a high rate"]["train_loss"]
    assert spike[9] > 1.5 * spike[8]
    assert spike.iloc[-1] > spike[8]
    small = frames["network too small"]
    assert 0.4 * chance < small["train_loss"].iloc[-1] < 0.7 * chance
    assert abs(small["train_loss"] - small["val_loss"]).iloc[-5:].median() < 0.15


@claim(after="gallery-figure")
def data_show_their_symptoms(gallery, classes, letters, panels):
    """G: no gap, but the test accuracy is much lower than the validation accuracy.

    C: training starts above chance level; accuracies are poor.
    F: training worse than validation. H: validation rises above chance level. J: it turns.
    """
    chance = math.log(len(classes))
    ends = {name: run.frame.iloc[-1] for name, run in gallery.items()}
    unshuffled = gallery["no shuffling"].frame
    assert unshuffled["train_loss"][0] > chance
    assert unshuffled["train_accuracy"][:3].max() < 0.07
    assert ends["no shuffling"]["val_accuracy"] < 0.5
    noise = ends["label noise"]
    assert noise["train_loss"] > 1.2
    mean_of_noise = gallery["label noise"].frame[["train_loss", "val_loss"]].mean()
    assert mean_of_noise["train_loss"] > mean_of_noise["val_loss"] + 0.1
    leak = ends["leakage"]
    assert leak["val_accuracy"] > ends["healthy"]["val_accuracy"] + 0.05
    assert abs(leak["val_loss"] - leak["train_loss"]) < 0.15
    [title] = [title for title in panels if letters[title[0]] == "leakage"]
    assert float(title.split(", ")[-1]) < leak["val_accuracy"] - 0.07
    assert ends["labels of other images"]["val_loss"] > chance + 0.1
    few_images = gallery["overfitting"].frame
    assert few_images["val_loss"].iloc[-3:].mean() > 1.03 * few_images["val_loss"].min()
    assert few_images["train_loss"].iloc[-1] < 0.6


@claim(after="gallery-figure")
def code_shows_its_symptoms(gallery, classes):
    """O: the loss explodes at once. M: flat at first, then learning late. I: at chance level.

    A: validation bad from the first epoch. P: flat from epoch 2 or 3 on, at a high loss.
    """
    chance = math.log(len(classes))
    frames = {name: run.frame for name, run in gallery.items()}
    without = frames["validation without eval()"]
    assert without["val_loss"].min() > 0.8 * chance
    assert without["train_loss"].iloc[-1] < 0.5
    dead = frames["dead ReLUs"]
    assert (dead[["train_loss", "val_loss"]] - chance).abs().max(axis=None) < 0.05
    late = frames["training in eval mode"]["val_loss"]
    assert late[1] > 0.85 * chance > 1.9 * late.iloc[-1]
    assert frames["no zero_grad()"]["train_loss"][3:].min() > 1.5 * chance
    frozen = frames["schedule per batch"]["val_loss"]
    assert np.ptp(frozen[3:]) < 0.03
    assert frozen.iloc[-1] > 0.6 * chance


@claim(after="inside")
def the_proof_is_in_the_network(gallery, share_active):
    """No ReLU is active in the dead network; batch norm in eval mode counts no batch."""
    assert share_active(gallery["dead ReLUs"].net) == 0
    assert gallery["training in eval mode"].net[0][1].num_batches_tracked == 0


@claim(after="divergence")
def the_second_loss_is_the_diagnosis(recorder, classes):
    """The first has an ordinary size. The second is hundreds of times higher."""
    first, second = recorder.losses[:2]
    assert abs(first - math.log(len(classes))) < 0.5
    assert second > 100 * first
    assert 3 <= len(recorder.losses) <= 5


@claim(after="zero-grad")
def forgotten_zero_grad(correct_sgd, forgotten, last_values):
    """With momentum the run explodes. With plain SGD, the loss is higher and varies far more."""
    correct, plain, momentum = map(last_values, (correct_sgd, *forgotten))
    assert momentum.min() > 10
    assert plain.mean() > 1.1 * correct.mean()
    assert plain.std() > 2 * correct.std()


@claim(after="without-eval")
def accuracy_without_eval_collapses(rows, last_values, correct_loop):
    """In such a batch (of one class) the accuracy collapses; in mixed ones of 100 it does not."""
    correct = last_values(correct_loop, "val_accuracy").mean()
    assert max(rows[10][0], rows[100][0]) < 0.5 * correct
    assert abs(rows[100][1] - correct) < 0.05


@claim(after="typo-table")
def the_typo_wins_at_the_end_only(typo_table, last_losses, usual_wins):
    """At the end, the bug has the lower validation loss in most runs.

    With the network and the epochs of the other sections, the correct code wins.
    """
    assert usual_wins.sum() <= 1
    correct, typo = typo_table.loc["train"], typo_table.loc["trian"]
    assert (last_losses["trian"] < last_losses["train"]).sum() >= 3
    assert correct["loss, epoch 2"] < 0.7 * typo["loss, epoch 2"]
    assert correct["loss, best epoch"] < typo["loss, best epoch"]
    assert correct["accuracy, last epoch"] > typo["accuracy, last epoch"]
    assert correct["loss, last epoch"] > 1.15 * correct["loss, best epoch"]


@claim(after="recreated")
def a_recreated_optimizer_learns_more_slowly(kept, recreated):
    """In each epoch, momentum starts at zero again: the training loss is higher for each seed."""
    assert (recreated > 1.15 * kept).all()


@claim(after="augmented")
def augmented_by_accident(clean, augmented):
    """One network with several accuracies: the images are changing."""
    assert len(set(clean)) == 1
    assert max(augmented) < clean[0] - 0.1
    assert len(set(augmented)) > 1


@claim(after="verdicts")
def unpaired_misses_what_paired_finds(welch, higher, original, fresh_pairs, paired_interval):
    """The fresh seeds confirm the paired verdict: the rate lowers the loss by about 0.02."""
    assert welch.low < 0 < welch.high
    _, low, high = paired_interval(higher, original)
    assert high < 0
    assert welch.high - welch.low > 1.5 * (high - low)
    mean, _, high = paired_interval(*fresh_pairs)
    assert -0.035 < mean < -0.012
    assert high < 0


@claim(after="schedules")
def a_falling_rate_ends_lower(scheduled, last_values, last_changes):
    """A falling rate ends lower; which of the two you choose matters less."""
    ends = {name: last_values(runs) for name, runs in scheduled.items()}
    for name in ("cosine", "one cycle"):
        assert ends[name].mean() < ends["constant"].mean() - 0.03
    assert last_changes["cosine"] < 0.6 * last_changes["constant"]
    assert abs(ends["cosine"].mean() - ends["one cycle"].mean()) < 0.03


@claim(after="race")
def optimizers_are_tuned_inside_their_grids(best_rate, optimizers, race):
    """Tuned optimizers differ by a few hundredths at most; each best rate is inside its grid."""
    for name, (_, grid) in optimizers.items():
        assert best_rate[name] not in (grid[0], grid[-1])
    means = [values.mean() for values in race.values()]
    assert max(means) - min(means) < 0.05


@claim(after="remedy-intervals")
def remedies(remedy_table, treated, paired_interval):
    """More data raises the training loss, but lowers the validation loss most.

    Early stopping and augmentation lower it, too. The accuracy changes little, and early
    stopping does not raise it.
    """
    means = remedy_table.groupby("remedy").mean()
    assert means.loc["nothing", "training loss"] < 0.05
    assert means.loc["more data", "training loss"] > 0.2
    assert means["validation loss"].idxmin() == "more data"
    values = remedy_table.pivot(index="seed", columns="remedy", values="validation loss")
    for name in ("more data", "early stopping", "augmentation"):
        assert paired_interval(values[name], values["nothing"])[2] < 0
    by_seed = remedy_table.pivot(index="seed", columns="remedy", values="validation accuracy")
    assert paired_interval(by_seed["early stopping"], by_seed["nothing"])[1] < 0
    accuracies = means["validation accuracy"]
    assert (accuracies - accuracies["nothing"]).abs().max() < 0.045


@claim(after="check-diagnosis")
def the_solution_diagnoses_real_runs(gallery, classes):
    """The official solution names runs of section 3 correctly."""
    space = {"np": np}
    exec(read_answers(SOLUTIONS)["04.4"], space)
    for name, word in {
        "learning rate too low": "too slow",
        "dead ReLUs": "underfitting",
    }.items():
        frame = gallery[name].frame
        losses = frame["train_loss"].to_numpy(), frame["val_loss"].to_numpy()
        assert space["diagnose"](*losses, len(classes)) == word, name
