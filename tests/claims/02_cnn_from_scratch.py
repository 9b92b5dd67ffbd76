"""Claims of notebook 02."""

import numpy as np
import torch

from tools.claims import claim


@claim(after="watch-it-learn")
def the_first_epoch_makes_the_difference(accuracies):
    """The accuracy is at chance level; after one epoch most predictions are correct."""
    assert accuracies[0] < 0.2
    assert accuracies[1] > 0.6 and accuracies[-1] > 0.7


@claim(after="ten-examples")
def later_epochs_raise_the_probability_of_the_true_class(true_class):
    """Later epochs raise, for most of these images, the probability of the true class."""
    assert (true_class[-1] > true_class[1]).sum() > true_class.shape[1] / 2


@claim(after="all-conv-class")
def all_conv_is_the_network_of_the_course(AllConv, models, in_channels):  # noqa: N803
    """Later notebooks import what you built here: `models.AllConvNet`."""
    mine, course = AllConv(in_channels).eval(), models.AllConvNet(in_channels, 1).eval()
    course.load_state_dict(mine.state_dict())
    images = torch.rand(2, in_channels, 28, 28)
    torch.testing.assert_close(mine(images), course(images))


@claim(after="confident-error")
def one_confident_error_costs_what_nine_correct_predictions_save(loss_a, loss_b):
    """B has an accuracy of 90 % and a loss at chance level."""
    assert loss_a < 0.56 and abs(loss_b - np.log(2)) < 0.01


@claim(after="two-softmaxes")
def the_second_softmax_hurts(lowest, slope):
    """Applying it twice: a perfect prediction has a high loss, and the gradients become small."""
    assert lowest > 1.4 and slope < 0.1 / 5


@claim(after="slope")
def the_gradient_is_the_slope(weight, nearby, h):
    """We check one of them against the difference quotient."""
    quotient = (nearby[0] - nearby[1]) / (2 * h)
    assert abs(weight.grad[0, 0, 1, 1].item() - quotient) < 5e-6


@claim(after="one-batch")
def one_batch_is_memorized(loss, accuracy):
    """Train on the same 32 images until the loss is almost 0."""
    assert loss.item() < 0.02 and accuracy == 1


@claim(after="two-class-curves")
def two_classes_beat_chance(correct, images_in_val, low, high):
    """The network is far better than chance; 200 images: within about five points."""
    assert 0.75 < correct / images_in_val < 0.9
    assert low > 0.65 and 0.045 < (high - low) / 2 < 0.065


@claim(after="mean-of-batches")
def the_mean_of_batches_is_not_the_accuracy(rows):
    """If the last batch is smaller, the mean of the batch accuracies is not the accuracy."""
    assert len({round(row[2], 9) for row in rows}) == 1
    assert max(abs(row[3] - row[2]) for row in rows) > 0.01


@claim(after="activations")
def xavier_loses_what_relu_removes(deviations):
    """Nine factors, (1/2) ** 4.5 = 0.04. Kaiming's activations keep their order of magnitude."""
    left = deviations.loc[10] / deviations.loc[1]
    for kind in ("uniform", "normal"):
        assert 0.035 < left[f"xavier_{kind}"] / left[f"kaiming_{kind}"] < 0.055
        assert left[f"xavier_{kind}"] < 0.1 and 0.3 < left[f"kaiming_{kind}"] < 3
    first = deviations.loc[1]
    assert first.filter(like="xavier").max() < 0.5 * first.filter(like="kaiming").min()


@claim(after="cost")
def the_third_convolution_costs_most(costs):
    """The third convolution costs most, although it has the fewest positions."""
    assert costs["multiply-adds"].argmax() == costs["parameters"].argmax() == 4
    assert costs["multiply-adds"].iloc[-1] == 128 * 10  # the linear layer


@claim(after="ten-class-run")
def the_network_generalizes_worse_than_it_fits(ten_class_history):
    """The training accuracy ends above the validation accuracy."""
    last = ten_class_history.rows[-1]
    assert last["train_accuracy"] > last["val_accuracy"] + 0.005
    assert last["val_accuracy"] > 0.83


@claim(after="filters")
def filters_become_smooth(filters):
    """Neighboring weights are uncorrelated before training and positively correlated after it."""
    correlation = {
        name: torch.corrcoef(
            torch.stack([kernels[..., :-1].flatten(), kernels[..., 1:].flatten()])
        )[0, 1].item()
        for name, kernels in filters.items()
    }
    assert abs(correlation["before"]) < 0.12 and correlation["after"] > 0.25


@claim(after="field-table")
def the_rule_agrees_with_the_measurement(rows):
    """A value in the last feature maps depends on 22x22 of 28x28 pixels."""
    assert all(row[1] == row[2] for row in rows) and rows[-1][1] == 22
    assert [row[3] for row in rows] == [9, 27, 49, 27, 67]
    assert rows[1][1] == rows[2][1] == 7 and 0.5 < rows[1][3] / rows[2][3] < 0.6


@claim(after="confusion")
def shirts_are_hard_to_find(matrix, classes):
    """The recall of shirts is well below the average; most missing ones are tops, too."""
    recall = matrix.diagonal() / matrix.sum(axis=1)
    shirt = classes.index("Shirt")
    assert recall[shirt] < recall.mean() - 0.08
    errors = dict(zip(classes, matrix[shirt], strict=True))
    likely = sum(errors[name] for name in ("T-shirt-top", "Pullover", "Coat"))
    assert likely > 0.6 * (matrix[shirt].sum() - errors["Shirt"])


@claim(after="degradation-measured")
def plain_networks_get_worse_with_depth(deep):
    """The plain networks get worse with depth, even on the training images."""
    loss = deep.pivot(index="layers", columns="network", values="training loss")
    assert loss["plain"][32] > loss["plain"][20] > 1.2 * loss["plain"][8]
    accuracy = deep.pivot(index="layers", columns="network", values="training accuracy")
    assert accuracy["plain"][8] > accuracy["plain"][32] + 0.1


@claim(after="degradation-measured")
def residual_networks_hardly_get_worse(deep):
    """In residual networks it is small: a loss of 0.5 to 0.7, plain networks 1.0 to 1.8."""
    loss = deep.pivot(index="layers", columns="network", values="training loss")
    assert loss["residual"][32] < 1.3 * loss["residual"][8]
    assert loss["plain"][32] > 1.5 * loss["residual"][32]
    assert 0.45 < loss["residual"][32] < 0.75 and 1.0 < loss["plain"][32] < 1.85


@claim(after="degradation-measured")
def the_learning_rate_is_not_the_reason(train_deep, PlainBlock, deep):  # noqa: N803
    """Learning rates of 0.003 and 0.03 do not remove this difference."""
    loss = deep.pivot(index="layers", columns="network", values="training loss")
    assert min(train_deep(PlainBlock, 32, rate)[0] for rate in (0.003, 0.03)) > (
        1.5 * loss["residual"][32]
    )


@claim(after="degradation-measured")
def depth_brings_no_advantage_here(deep):
    """On this small problem depth brings no advantage."""
    accuracy = deep.pivot(index="layers", columns="network", values="validation accuracy")
    assert accuracy["residual"][32] < accuracy["residual"][8] + 0.02
