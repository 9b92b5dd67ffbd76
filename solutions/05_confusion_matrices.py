"""Notebook 05: the solutions of the exercises, and the answers to the predictions."""

# %% 05.a
# Recall stays in the row of the cats: 7 of 10 were found. Precision goes down the column: "cat"
# was said 17 times, and 10 of these were dogs. A guess of 0.7 for both mixes up the two questions.
guess_cats = (7 / 10, 7 / 17)

# %% 05.b
# One answer for each image: all columns together hold as many answers as all rows hold images.
# So micro precision divides the same hits by the same number as the accuracy.
guess_micro = "accuracy"

# %% 05.c
# Ten heads of ten tosses happen to a fair coin (to either side) twice in 1,024 times; 105 heads of
# 200, or a split more uneven, about every second time.
guess_pair = 10

# %% 05.d
# The MLP was trained until it made hardly a mistake on its training images, and became
# overconfident. A temperature over 1 lowers its confidence.
guess_hotter = "MLP"


# %% 05.1
# Everything outside the row of the class is an image of another class. Those that were called by
# its name stand in its column, outside its row. What the others were called instead, rightly or
# wrongly, plays no part.
def specificity(matrix, label):
    others = matrix.sum() - matrix[label].sum()
    return (others - (matrix[:, label].sum() - matrix[label, label])) / others


# %% 05.2
# NumPy compares shapes from the right: sums of shape (n,) stand above the columns, so each column
# was divided by the sum of a row. With keepdims the sums have the shape (n, 1) and stand beside
# the rows. The row sums are the thing to look at: 80 and 167 per cent gave the bug away.
def row_percent(matrix):
    return 100 * matrix / matrix.sum(axis=1, keepdims=True)


# %% 05.3
# With 3,400 images the interval is 0.0202 wide, with 3,500 it is 0.0199. To halve it again takes
# four times as many. Most test sets of the size of ours cannot tell one point of accuracy.
images_needed = 3500


# %% 05.4
# The cost changes only where the line passes a score, so the scores that occur are enough. The
# lowest of them means "always yes"; "never yes" needs a line above all of them, infinity.
def best_threshold(is_yes, score, cost_missed, cost_false_alarm):
    def total(line):
        missed = (is_yes & (score < line)).sum()
        false_alarms = (~is_yes & (score >= line)).sum()
        return cost_missed * missed + cost_false_alarm * false_alarms

    return min(np.append(np.unique(score), np.inf), key=total)


# %% 05.5
# The notebook's CNN on cutouts, with 64 pixels and 30 epochs; on your machine it may differ a
# little. "Always mammals" has 13 images right. The network wins the 17 that it has right elsewhere
# and loses 2 mammals: 17 to 2 is p = 0.0007. Of the vehicles it found one of three, and from three
# images nothing more exact can be said.
my_network = {
    "classes": ["birds", "flowers", "fruit", "mammals", "vegetables", "vehicles"],
    "matrix": [
        [4, 0, 0, 2, 1, 0],
        [0, 5, 0, 0, 0, 0],
        [0, 0, 5, 0, 0, 0],
        [2, 0, 0, 11, 0, 0],
        [1, 0, 1, 0, 2, 0],
        [1, 0, 0, 0, 1, 1],
    ],
    "hardest": "vehicles",
    "confused": ("birds", "mammals"),
    "p-value": 0.0007,
    "verdict": "better",
    "next": "Many more vehicles, and birds that do not stand on the ground as mammals do.",
}
