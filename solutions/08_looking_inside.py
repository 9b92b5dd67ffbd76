"""Solutions of notebook 08: the exercises, and what the predictions should have been."""


# %% 08.1
# The mean over rows and columns is what the head sees of a map: the feature.
def strongest(maps, channel, count=4):
    return maps[:, channel].mean(dim=(1, 2)).topk(count).indices


# %% 08.a
# The maps are coarse, but a half of the picture is coarse as well. Only pairs in which the network
# takes one object for the other's class go wrong.
guess_half = 0.95


# %% 08.2
# A threshold would take all places of equal heat, or none. Sorting the places counts exactly.
def hottest(heat, share=0.25):
    count = round(share * heat.numel())
    mask = torch.zeros(heat.numel(), dtype=torch.bool, device=heat.device)
    mask[heat.flatten().argsort(descending=True)[:count]] = True
    return mask.view(heat.shape)


# %% 08.b
# Not chance, but below: every background now says the name of another class.
guess_swapped = 0.03


# %% 08.c
# Six classes of few objects are hard for a small network without a shortcut.
guess_cured = 0.55


# %% 08.3
# The share within each group, then the smallest: a small group with one mistake in two is worse
# than a large one with three mistakes in ten.
def worst_group(correct, groups):
    shares = pd.Series(correct, dtype=float).groupby(list(groups)).mean()
    return shares.idxmin(), float(shares.min())


# %% 08.4
# Directions instead of lengths, and the image itself is ruled out before the search.
def most_similar(features, query, count=3):
    directions = F.normalize(features, dim=1)
    similarity = directions @ directions[query]
    similarity[query] = -2
    return similarity.topk(count).indices.tolist()


# %% 08.5
# A is as good without the animal; B needs it and nothing else; C guesses; D uses both. Validation
# puts A first, the network that would fail in the field.
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "validation",
}
