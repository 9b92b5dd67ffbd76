"""Solutions of notebook 09: the exercises, and the answers to the predictions."""

# %% 09.a
# 1 - 0.3^2 = 91 % of the test shots have another shot of the same photograph in the training set,
# usually the nearest one, with the same label. About half of the others are correct by chance.
guess_bursts = 0.95

# %% 09.b
# No prediction is wrong, so more confidence always lowers the loss: the lower limit.
guess_temperature = 0.05


# %% 09.1
# Sample groups, then take all of their images.
def grouped_split(groups, share=0.2, seed=0):
    names = sorted(set(groups))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    generator = np.random.default_rng(seed)
    chosen = {names[index] for index in generator.permutation(len(names))[:count]}
    return [index for index, group in enumerate(groups) if group in chosen]


# %% 09.2
# The result is one of the confidences, so try each; >= keeps images with equal confidence together.
def lowest_threshold(confidence, wrong, target):
    reached = [value for value in confidence if wrong[confidence >= value].mean() <= target]
    return min(reached, default=float("inf"))


# %% 09.3
# The same rule, with the images of one class. With alpha = 0.1 a class needs nine images, since
# k = ceil(0.9 * 10) = 9; with eight, k = ceil(8.1) = 9 is more than there are.
def class_thresholds(scores, labels, num_classes, alpha):
    return [float(conformal_threshold(scores[labels == c], alpha)) for c in range(num_classes)]


# %% 09.4
# `reshape` keeps the order of the values; `permute` reorders the axes.
def to_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


# %% 09.5
# One division of the 187 images into two halves. A wrong prediction costs nine times as much as a
# human check, so a threshold pays off if it avoids one error per nine images that it rejects.
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.019, 0.116),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "threshold",
}
