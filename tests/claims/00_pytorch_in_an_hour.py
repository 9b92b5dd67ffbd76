"""Claims of notebook 00."""

import numpy as np
import torch

from tools.claims import claim


@claim(after="first-result")
def few_images_are_misclassified(errors, y_val, x_train):
    """It was trained on 1,000 images and misclassifies only a few of the 200 images."""
    assert len(x_train) == 1000
    assert len(y_val) == 200
    assert 0 < len(errors) <= 10


@claim(after="mean-images")
def sleeves_differ_most(difference):
    """The sleeves differ most: pullovers have long ones."""
    _, column = divmod(int(difference.abs().argmax()), difference.shape[1])
    assert column < 9 or column > 18
    assert difference.min() < -1.1 * difference.max()


@claim(after="broadcasting-loss")
def all_pairs_have_a_high_loss(column, y_train):
    """There is no error message, only a loss that stays high."""
    assert (column - y_train).square().mean() > 0.4


@claim(after="three-slopes")
def the_slopes_agree(by_formula, by_difference, w):
    """All three agree to four decimals."""
    assert np.allclose([by_difference.item(), w.grad.item()], by_formula, rtol=0, atol=5e-5)


@claim(after="step-sizes")
def the_error_falls_then_rises(step_errors, best):
    """At first the error falls with h². Below about 0.01, rounding errors dominate."""
    assert 50 < step_errors[0] / step_errors[1] < 200
    assert best in (0.01, 0.001)
    assert step_errors[-1] > 100 * step_errors.min()


@claim(after="line-figure")
def learning_rates_differ(fit_by_hand):
    """With 0.01 the loss is still falling after 150 steps, with 1.02 it grows."""
    slow, good, large = ([error for _, _, error in fit_by_hand(r)[2]] for r in (0.01, 0.1, 1.02))
    assert slow[-1] < 0.96 * slow[-11]
    assert slow[-1] > 2 * good[-1]
    assert large[-1] > 100 * large[0]


@claim(after="line-by-autograd")
def gradient_descent_finds_least_squares(final_a, final_b, line_x, line_y):
    """Both give the least-squares solution to two decimals."""
    assert np.allclose([final_a, final_b], np.polyfit(line_x, line_y, 1), atol=0.005)


@claim(after="feedback-c")
def the_first_step_shows_the_difference(similarity):
    """With equally many images per class, this is a multiple of the difference of the means."""
    assert similarity > 0.9999


@claim(after="weights-figure")
def bright_sleeves_suggest_a_pullover(weight_history, logistic_errors):
    """Bright pixels beside the body suggest a long sleeve, and so a pullover."""
    final = weight_history[-1]
    sleeves = torch.cat([final[14:25, 4:7], final[14:25, 21:24]])
    assert sleeves.mean() < -3 * final.abs().mean()
    assert logistic_errors < 10


@claim(after="forgotten")
def without_clearing_the_weights_overshoot(forgotten, cleared):
    """Without clearing, the weights overshoot again and again."""
    assert np.mean(forgotten[-50:]) > 5 * np.mean(cleared[-50:])
    rising = np.diff(forgotten) > 0
    assert np.count_nonzero(np.diff(rising.astype(int))) >= 6


@claim(after="eval-mode")
def dropout_changes_predictions(changed, predict_twice, classifier):
    """In training mode two calls with the same images give different predictions."""
    assert changed == 0
    classifier.train()
    once, again = predict_twice()
    classifier.eval()
    assert (once != again).sum() > 0


@claim(after="curves")
def the_network_is_ahead_at_first(curves):
    """The network is ahead in the first epochs."""
    network, linear = (np.array(curves[name]) for name in ("network", "logistic regression"))
    assert (network[:10] > linear[:10]).all()
    assert min(network[-1], linear[-1]) > 0.9


@claim(after="curves")
def logistic_regression_still_improves(curves):
    """The accuracy of logistic regression still rises in the last ten epochs."""
    linear = curves["logistic regression"]
    assert np.mean(linear[-5:]) > np.mean(linear[-10:-5]) + 0.005


@claim(after="headline")
def the_test_accuracy_is_above_chance(low, high):
    """With only 200 test images, the accuracy is uncertain by a few percentage points."""
    assert low > 0.88
    assert 0.02 < high - low < 0.1
