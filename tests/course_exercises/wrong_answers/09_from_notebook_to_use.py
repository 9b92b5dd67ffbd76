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


# %% 09.2: moves axes
def to_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1).flip(1)[None]


# %% 09.2: red and blue are swapped
def to_batch(pixels):
    return torch.from_numpy(pixels[:, :, ::-1].copy()).permute(2, 0, 1)[None]


# %% 09.2: the shape should be
def to_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)


# %% 09.2: uint8 is expected
def to_batch(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


# %% 09.2: a tensor is expected
def to_batch(pixels):
    return pixels.transpose(2, 0, 1)[None]


# %% 09.3: is not below
def answers(probabilities, classes, threshold=0.5):
    values, indices = probabilities.max(dim=1)
    pairs = zip(values.tolist(), indices.tolist(), strict=True)
    return [classes[index] if value > threshold else "not sure" for value, index in pairs]


# %% 09.3: for [0.375, 0.625] and threshold
def answers(probabilities, classes, threshold=0.5):
    return ["not sure" if row[0] < threshold else classes[row.argmax()] for row in probabilities]


# %% 09.3: one entry for each image
def answers(probabilities, classes, threshold=0.5):
    values, indices = probabilities.max(dim=1)
    return [classes[index] for index, value in zip(indices, values) if value >= threshold]


# %% 09.4: half of it is expected
def shift(before, now):
    names = set(before) | set(now)
    return sum(abs(before.count(n) / len(before) - now.count(n) / len(now)) for n in names)


# %% 09.4: not counts
def shift(before, now):
    names = set(before) | set(now)
    return sum(abs(before.count(n) - now.count(n)) for n in names) / 2


# %% 09.4: also new ones
def shift(before, now):
    names = set(before)
    return sum(abs(before.count(n) / len(before) - now.count(n) / len(now)) for n in names) / 2


# %% 09.5: 'cost' is missing
decision = {"threshold": 0.7}

# %% 09.5: nobody looks at any
decision = {"threshold": 0.7, "cost": 366, "cost without": 80, "0.9 from": 13.9}

# %% 09.5: another threshold is cheaper
decision = {"threshold": 0.9, "cost": 454, "cost without": 720, "0.9 from": 13.9}

# %% 09.5: count both kinds
decision = {"threshold": 0.7, "cost": 216, "cost without": 720, "0.9 from": 13.9}

# %% 09.5: compare it with each
decision = {"threshold": 0.7, "cost": 366, "cost without": 720, "0.9 from": 5.4}

# %% 09.5: not a threshold of the table
decision = {"threshold": 0.8, "cost": 366, "cost without": 720, "0.9 from": 13.9}

# %% 09.5: not a float
decision = 0.7
