"""Notebook 08: wrong answers, each with words of the hint that it must get."""


# %% 08.1: not a fraction of the largest value
def top_elements(attribution, share=0.25):
    return attribution > (1 - share) * attribution.max()


# %% 08.1: Sort the elements instead
def top_elements(attribution, share=0.25):
    return attribution > attribution.flatten().quantile(1 - share)


# %% 08.1: has a larger value
def top_elements(attribution, share=0.25):
    count = round(share * attribution.numel())
    mask = torch.zeros(attribution.numel(), dtype=torch.bool)
    mask[attribution.flatten().argsort()[:count]] = True
    return mask.view(attribution.shape)


# %% 08.1: a bool tensor is expected
def top_elements(attribution, share=0.25):
    return attribution


# %% 08.1: a tensor of that shape is expected
def top_elements(attribution, share=0.25):
    return attribution.flatten() > 0


# %% 08.2: include 0 itself
def most_similar(features, query, count=3):
    directions = F.normalize(features, dim=1)
    return (directions @ directions[query]).topk(count).indices.tolist()


# %% 08.2: because its feature vector is long
def most_similar(features, query, count=3):
    similarity = features @ features[query]
    similarity[query] = -1e9
    return similarity.topk(count).indices.tolist()


# %% 08.2: far apart
def most_similar(features, query, count=3):
    distances = torch.cdist(features[[query]], features)[0]
    distances[query] = float("inf")
    return distances.topk(count, largest=False).indices.tolist()


# %% 08.2: changes the features
def most_similar(features, query, count=3):
    features /= features.norm(dim=1, keepdim=True)
    similarity = features @ features[query]
    similarity[query] = -2
    return similarity.topk(count).indices.tolist()


# %% 08.2: With count=3
def most_similar(features, query, count=3):
    directions = F.normalize(features, dim=1)
    similarity = directions @ directions[query]
    similarity[query] = -2
    return similarity.topk(1).indices.tolist()


# %% 08.3: 'B' is missing
diagnosis = {"A": "background"}

# %% 08.3: should be one of: background, animal
diagnosis = {
    "A": "snow",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "validation",
}

# %% 08.3: hardly changes its accuracy
diagnosis = {
    "A": "animal",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "validation",
}

# %% 08.3: above chance (0.74)
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "animal",
    "use": "B",
    "misleading": "validation",
}

# %% 08.3: on other backgrounds
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "A",
    "misleading": "validation",
}

# %% 08.3: the network that fails on other backgrounds
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "swapped",
}

# %% 08.3: should be one of: validation
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "accuracy",
}

# %% 08.3: not a str
diagnosis = "B"
