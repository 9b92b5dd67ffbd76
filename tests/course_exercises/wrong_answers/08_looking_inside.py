"""Notebook 08: wrong answers, each with words of the hint that it must get."""


# %% 08.1: instead of taking the maximum
def strongest(maps, channel, count=4):
    return maps[:, channel].amax(dim=(1, 2)).topk(count).indices


# %% 08.1: the smallest means come first
def strongest(maps, channel, count=4):
    return maps[:, channel].mean(dim=(1, 2)).argsort()[:count]


# %% 08.1: Other channels are counted
def strongest(maps, channel, count=4):
    return maps.mean(dim=(1, 2, 3)).topk(count).indices


# %% 08.1: With count=2
def strongest(maps, channel, count=4):
    return maps[:, channel].mean(dim=(1, 2)).topk(4).indices


# %% 08.1: as a list or a tensor
def strongest(maps, channel, count=4):
    return "the first four"


# %% 08.2: not of the largest heat
def hottest(heat, share=0.25):
    return heat > (1 - share) * heat.max()


# %% 08.2: Sort the places instead
def hottest(heat, share=0.25):
    return heat > heat.flatten().quantile(1 - share)


# %% 08.2: is hotter than one
def hottest(heat, share=0.25):
    count = round(share * heat.numel())
    mask = torch.zeros(heat.numel(), dtype=torch.bool)
    mask[heat.flatten().argsort()[:count]] = True
    return mask.view(heat.shape)


# %% 08.2: a bool tensor is expected
def hottest(heat, share=0.25):
    return heat


# %% 08.2: a tensor of that shape is expected
def hottest(heat, share=0.25):
    return heat.flatten() > 0


# %% 08.3: the lowest *accuracy*
def worst_group(correct, groups):
    names = sorted(set(groups))
    wrong = {n: sum(not c for c, g in zip(correct, groups) if g == n) for n in names}
    worst = max(names, key=wrong.get)
    hits = [c for c, g in zip(correct, groups) if g == worst]
    return worst, sum(hits) / len(hits)


# %% 08.3: its accuracy is
def worst_group(correct, groups):
    shares = pd.Series(correct, dtype=float).groupby(list(groups)).mean()
    return shares.idxmin(), 1 - float(shares.min())


# %% 08.3: the worst group is
def worst_group(correct, groups):
    shares = pd.Series(correct, dtype=float).groupby(list(groups)).mean()
    return shares.idxmax(), float(shares.max())


# %% 08.3: a pair is expected
def worst_group(correct, groups):
    return min(groups)


# %% 08.4: finds 0 itself
def most_similar(features, query, count=3):
    directions = F.normalize(features, dim=1)
    return (directions @ directions[query]).topk(count).indices.tolist()


# %% 08.4: because its features are long
def most_similar(features, query, count=3):
    similarity = features @ features[query]
    similarity[query] = -1e9
    return similarity.topk(count).indices.tolist()


# %% 08.4: far apart
def most_similar(features, query, count=3):
    distances = torch.cdist(features[[query]], features)[0]
    distances[query] = float("inf")
    return distances.topk(count, largest=False).indices.tolist()


# %% 08.4: are changed
def most_similar(features, query, count=3):
    features /= features.norm(dim=1, keepdim=True)
    similarity = features @ features[query]
    similarity[query] = -2
    return similarity.topk(count).indices.tolist()


# %% 08.4: With count=3
def most_similar(features, query, count=3):
    directions = F.normalize(features, dim=1)
    similarity = directions @ directions[query]
    similarity[query] = -2
    return similarity.topk(1).indices.tolist()


# %% 08.5: 'B' is missing
diagnosis = {"A": "background"}

# %% 08.5: should be one of: background, animal
diagnosis = {
    "A": "snow",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "validation",
}

# %% 08.5: as good as with it
diagnosis = {
    "A": "animal",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "validation",
}

# %% 08.5: better than chance
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "animal",
    "use": "B",
    "misleading": "validation",
}

# %% 08.5: where they have never been
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "A",
    "misleading": "validation",
}

# %% 08.5: puts the worst network at the top
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "swapped",
}

# %% 08.5: should be one of: validation
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "accuracy",
}

# %% 08.5: not a str
diagnosis = "B"
