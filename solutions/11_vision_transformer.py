"""Solutions of notebook 11: the exercises, and what the predictions should have been."""

# %% 11.a
# 224 / 16 = 14 patches per row, 14 * 14 = 196 patches, and the class token.
guess_tokens = 197


# %% 11.b
# The built-in assumptions of the CNN are right for images, and the ViT has to learn them.
guess_winner = "CNN"


# %% 11.c
# The class token receives the same set of values with the same weights, in another order.
guess_shuffled = "same"


# %% 11.1
# The six dimensions in the order in which `to_patches` leaves them, moved back with a permutation.
def to_images(patches, size, channels):
    per_row = round(patches.shape[1] ** 0.5)
    grid = patches.reshape(-1, per_row, per_row, channels, size, size)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, per_row * size, per_row * size)


# %% 11.2
# d is the length of a query, the last dimension, and not the number of tokens. Each row of scores
# belongs to one query; its weights over the keys, the last dimension, add up to 1.
def head_attention(q, k, v):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.softmax(dim=-1) @ v


# %% 11.3
# F.interpolate expects (batch, channels, height, width): the values of an embedding are the
# channels. The class token has no place in the grid.
def resize_positions(pos_embed, new_side):
    side = round((pos_embed.shape[1] - 1) ** 0.5)
    grid = pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    grid = F.interpolate(grid, (new_side, new_side), mode="bicubic")
    return torch.cat([pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


# %% 11.4
# Measured with the default parameters. One head mixes all values of a token with the same weights;
# four heads can mix different parts with different weights. (The rate was tuned for four heads, so
# a change that needs a different rate is at a disadvantage.)
my_ablation = {
    "change": {"heads": 1},
    "difference": -0.038,
    "interval": (-0.063, -0.013),
    "conclusion": "worse",
}
