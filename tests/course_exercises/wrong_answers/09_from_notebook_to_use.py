"""Notebook 09: wrong answers, each with words of the hint that it must get."""


# %% 09.1: are on both sides
def grouped_split(groups, share=0.2, seed=0):
    generator = np.random.default_rng(seed)
    count = max(1, round(share * len(groups)))
    return sorted(generator.permutation(len(groups))[:count].tolist())


# %% 09.1: 0 of 3 groups are in the test
def grouped_split(groups, share=0.2, seed=0):
    names = sorted(set(groups))
    chosen = np.random.default_rng(seed).permutation(names)[: round(share * len(names))]
    return [index for index, group in enumerate(groups) if group in chosen]


# %% 09.1: no group is left for training
def grouped_split(groups, share=0.2, seed=0):
    names = sorted(set(groups))
    chosen = np.random.default_rng(seed).permutation(names)[: max(1, round(share * len(names)))]
    return [index for index, group in enumerate(groups) if group in chosen]


# %% 09.1: is the seed used
def grouped_split(groups, share=0.2, seed=0):
    names = sorted(set(groups))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    return [index for index, group in enumerate(groups) if group in names[:count]]


# %% 09.1: in ascending order
def grouped_split(groups, share=0.2, seed=0):
    names = sorted(set(groups))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng(seed).permutation(names)[:count]
    return [index for index, group in enumerate(groups) if group in chosen][::-1]


# %% 09.1: the second time
def grouped_split(groups, share=0.2, seed=0):
    names = sorted(set(groups))
    count = min(max(1, round(share * len(names))), len(names) - 1)
    chosen = np.random.default_rng().permutation(names)[:count]
    return [index for index, group in enumerate(groups) if group in chosen]


# %% 09.2: float("inf") is expected
def lowest_threshold(confidence, wrong, target):
    reached = [value for value in confidence if wrong[confidence >= value].mean() <= target]
    return min(reached, default=1.0)


# %% 09.2: the risk may fall again
def lowest_threshold(confidence, wrong, target):
    lowest = float("inf")
    for value in sorted(confidence, reverse=True):
        if wrong[confidence >= value].mean() > target:
            break
        lowest = value
    return lowest if lowest < 1 else confidence.max()


# %% 09.2: you reject all images
def lowest_threshold(confidence, wrong, target):
    if wrong[confidence.argmax()]:
        return float("inf")
    return min(value for value in confidence if wrong[confidence >= value].mean() <= target)


# %% 09.2: accepted together
def lowest_threshold(confidence, wrong, target):
    order = np.argsort(-confidence, kind="stable")
    ordered = sorted(zip(-confidence, wrong))
    risk = np.cumsum([is_wrong for _, is_wrong in ordered]) / np.arange(1, len(wrong) + 1)
    reached = np.flatnonzero(risk <= target)
    return confidence[order][reached[-1]] if len(reached) else float("inf")


# %% 09.2: it may be equal to the target
def lowest_threshold(confidence, wrong, target):
    reached = [value for value in confidence if wrong[confidence >= value].mean() < target]
    return min(reached, default=float("inf"))


# %% 09.2: a number is expected
def lowest_threshold(confidence, wrong, target):
    return [value for value in confidence if wrong[confidence >= value].mean() <= target]


# %% 09.3: all classes together
def class_thresholds(scores, labels, num_classes, alpha):
    return [float(conformal_threshold(scores, alpha))] * num_classes


# %% 09.3: instead of 20 + 1
def class_thresholds(scores, labels, num_classes, alpha):
    thresholds = []
    for c in range(num_classes):
        own = np.sort(scores[labels == c])
        k = math.ceil(len(own) * (1 - alpha))
        thresholds.append(float(own[k - 1]) if len(own) else float("inf"))
    return thresholds


# %% 09.3: np.quantile interpolates
def class_thresholds(scores, labels, num_classes, alpha):
    return [
        float(np.quantile(scores[labels == c], 1 - alpha)) if (labels == c).any() else float("inf")
        for c in range(num_classes)
    ]


# %% 09.3: Python counts from 0
def class_thresholds(scores, labels, num_classes, alpha):
    thresholds = []
    for c in range(num_classes):
        own = np.sort(scores[labels == c])
        k = math.ceil((len(own) + 1) * (1 - alpha))
        thresholds.append(float(own[k]) if k < len(own) else float("inf"))
    return thresholds


# %% 09.3: more than there are
def class_thresholds(scores, labels, num_classes, alpha):
    thresholds = []
    for c in range(num_classes):
        own = np.sort(scores[labels == c])
        k = min(math.ceil((len(own) + 1) * (1 - alpha)), len(own))
        thresholds.append(float(own[k - 1]) if len(own) else float("inf"))
    return thresholds


# %% 09.3: one threshold for each of the 4 classes
def class_thresholds(scores, labels, num_classes, alpha):
    return [float(conformal_threshold(scores[labels == c], alpha)) for c in np.unique(labels)]


# %% 09.4: reorders the axes
def to_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1).flip(1)[None]


# %% 09.4: red and blue are swapped
def to_batch(pixels):
    return torch.from_numpy(pixels[:, :, ::-1].copy()).permute(2, 0, 1)[None]


# %% 09.4: the shape should be
def to_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)


# %% 09.4: uint8 is expected
def to_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


# %% 09.4: a tensor is expected
def to_batch(pixels):
    return pixels.transpose(2, 0, 1)[None]


# %% 09.5: is not the cheapest
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.019, 0.116),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "human",
}

# %% 09.5: only the 84 answered
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.017, 0.104),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "threshold",
}

# %% 09.5: of the accuracy
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.884, 0.981),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "threshold",
}

# %% 09.5: per 1,000
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.019, 0.116),
    "cost": 46,
    "cost without threshold": 766,
    "verdict": "threshold",
}

# %% 09.5: does not follow
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.019, 0.116),
    "cost": 489,
    "cost without threshold": 720,
    "verdict": "threshold",
}

# %% 09.5: counts of the example
my_release = {
    "images": 94,
    "answered": 80,
    "wrong": 3,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.019, 0.116),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "threshold",
}

# %% 09.5: should be one of
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": (9, 1),
    "risk interval": (0.019, 0.116),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "ship",
}

# %% 09.5: cannot avoid
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 1,
    "wrong without threshold": 20,
    "costs": (9, 1),
    "risk interval": (0.019, 0.116),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "threshold",
}

# %% 09.5: two positive numbers
my_release = {
    "images": 94,
    "answered": 84,
    "wrong": 4,
    "wrong without threshold": 8,
    "costs": 9,
    "risk interval": (0.019, 0.116),
    "cost": 489,
    "cost without threshold": 766,
    "verdict": "threshold",
}

# %% 09.5: 'answered' is missing
my_release = {"images": 94}
