"""Solutions of notebook 08: the exercises, and the answers to the predictions."""

# %% 08.a
# Its peak is nearly always in the correct half, but its map has only 3 x 6 positions.
guess_hit = 0.35


# %% 08.b
# At each ReLU it passes only positive gradients where the activation is positive. Its maps seem to
# show mostly the edges of the image, whatever the weights of the last stages.
guess_least = "guided backpropagation"


# %% 08.c
# In training, the backgrounds predict the class, so the head relies on them, but the features
# describe the objects as well.
guess_swapped = 0.56


# %% 08.1
# A threshold would select all elements of equal value or none. Sorting selects exactly `count`.
def top_elements(attribution, share=0.25):
    count = round(share * attribution.numel())
    mask = torch.zeros(attribution.numel(), dtype=torch.bool, device=attribution.device)
    mask[attribution.flatten().argsort(descending=True)[:count]] = True
    return mask.view(attribution.shape)


# %% 08.2
# Compare directions, not lengths (cosine similarity), and rule out the image itself first.
def most_similar(features, query, count=3):
    directions = F.normalize(features, dim=1)
    similarity = directions @ directions[query]
    similarity[query] = -2
    return similarity.topk(count).indices.tolist()


# %% 08.3
# A is as good without the animal, B relies on the animal alone, C is at chance level, D uses both.
# Validation ranks A first, but A fails on other backgrounds.
diagnosis = {
    "A": "background",
    "B": "animal",
    "C": "nothing",
    "D": "both",
    "use": "B",
    "misleading": "validation",
}
