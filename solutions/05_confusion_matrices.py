"""Solutions of notebook 05: the exercises, and the answers to the predictions."""

# %% 05.a
# Recall divides by the number of cats, which stays the same. Precision divides by the number of cat
# predictions, and ten times as many dogs give ten times as many false positives.
guess_changes = "precision"

# %% 05.b
# There is one prediction per image, so all columns together contain as many predictions as all rows
# contain images. Like accuracy, micro precision divides the correct predictions by this number.
guess_micro = "accuracy"

# %% 05.c
# About 21 % of random guesses are correct in expectation, with a standard deviation of
# sqrt(0.21 * 0.79 / 187), about 3 points. Divided by 1 - 0.21 and doubled, that is less than 0.1.
guess_kappa = 0.1

# %% 05.d
# With a fair coin, ten heads or ten tails in ten tosses have a probability of 2 / 1,024; a split at
# least as uneven as 105 to 95 in 200 tosses has a probability of about one half.
guess_pair = 10

# %% 05.e
# At 0.5 about half of the 100 shirts are missed. At 20 each, this costs about 1,000, more than
# flagging the 900 other items at 1 each.
guess_cheaper = "flag everything"

# %% 05.f
# The MLP is overconfident, and a temperature above 1 moves the logits closer together. Their order
# does not change, so neither do the predictions.
guess_temperature = ("T > 1", "stays")


# %% 05.1
# Everything outside the row of the class is an image of a different class. Those that are predicted
# as the class are in its column, outside its row. How the others are predicted, correctly or not,
# does not matter.
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (others - (matrix[:, label].sum() - matrix[label, label])) / others


# %% 05.2
# NumPy aligns shapes at the last axis: sums of shape (n,) are aligned with the columns, so each
# column is divided by the sum of a row. With keepdims the sums have shape (n, 1) and are aligned
# with the rows. Row sums of 80 and 167 percent reveal the bug.
def row_percent(matrix):
    return 100 * matrix / matrix.sum(axis=1, keepdims=True)


# %% 05.3
# With 3,400 images the interval is 0.0202 wide, with 3,500 it is 0.0199. Half the width takes four
# times as many images. A test set of the size of ours cannot resolve one point of accuracy.
images_needed = 3500


# %% 05.4
# The cost changes only where the threshold passes a score, so it is enough to try the scores. The
# lowest one flags everything; flagging nothing needs a threshold above all of them, infinity.
def best_threshold(is_positive, score, cost_missed, cost_false_positive):
    def total(threshold):
        flagged = score >= threshold
        missed, false_positives = (is_positive & ~flagged).sum(), (~is_positive & flagged).sum()
        return cost_missed * missed + cost_false_positive * false_positives

    return min(np.append(np.unique(score), np.inf), key=total)


# %% 05.5
# Shirts, with the notebook's CNN, at the threshold from the costs, 1 / 21. If only 2 % of the
# returned items are shirts, one in 15 flagged items is a shirt, and the network still pays off.
# Below about 1.4 %, flagging nothing is cheaper at this threshold; a higher threshold has fewer
# false positives and pays off at a lower prevalence.
my_decision = {
    "counts": [[651, 249], [5, 95]],
    "costs": (20, 1),
    "prevalence": 0.02,
    "precision": 0.065,
    "cost": 291,
    "without network": 400,
    "verdict": "use it",
}
