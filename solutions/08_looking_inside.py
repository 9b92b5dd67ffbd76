"""Solutions of notebook 08: the exercises, and what the predictions should have been."""

# %% 08.a
# Its peak is nearly always in the correct half, but its map has only a few coarse positions.
guess_hit = 0.35


# %% 08.b
# At every ReLU, the sign pattern of the image decides which gradients pass, whatever the weights.
guess_least = "guided backpropagation"


# %% 08.c
# Backgrounds predict the class in training, but the features describe objects as well.
guess_swapped = 0.56


# %% 08.1
# A threshold would take all elements of equal value, or none. Sorting the elements counts exactly.
def top_elements(attribution, share=0.25):
    count = round(share * attribution.numel())
    mask = torch.zeros(attribution.numel(), dtype=torch.bool, device=attribution.device)
    mask[attribution.flatten().argsort(descending=True)[:count]] = True
    return mask.view(attribution.shape)


# %% 08.2
# Directions instead of lengths, and the image itself is ruled out before the search.
def most_similar(features, query, count=3):
    directions = F.normalize(features, dim=1)
    similarity = directions @ directions[query]
    similarity[query] = -2
    return similarity.topk(count).indices.tolist()


# %% 08.3
# A is as good without the animal; B needs it and nothing else; C is at chance level; D uses both.
# Validation puts A first, which fails on other backgrounds.
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "validation",
}
