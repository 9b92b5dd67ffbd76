"""Notebook 11: wrong answers, each with words of the hint that it must get."""


# %% 11.1: but not moved
def to_images(patches, size, channels):
    side = int(patches[0].numel() / channels) ** 0.5
    return patches.reshape(len(patches), channels, round(side), round(side))


# %% 11.1: rows and columns of the whole image are swapped
def to_images(patches, size, channels):
    per_row = round(patches.shape[1] ** 0.5)
    grid = patches.reshape(-1, per_row, per_row, channels, size, size)
    return grid.permute(0, 3, 2, 5, 1, 4).reshape(-1, channels, per_row * size, per_row * size)


# %% 11.1: pixels inside it are not
def to_images(patches, size, channels):
    per_row = round(patches.shape[1] ** 0.5)
    grid = patches.reshape(-1, per_row, per_row, channels, size, size)
    return grid.permute(0, 3, 1, 5, 2, 4).reshape(-1, channels, per_row * size, per_row * size)


# %% 11.1: not in the order row by row
def to_images(patches, size, channels):
    per_row = round(patches.shape[1] ** 0.5)
    grid = patches.reshape(-1, per_row, per_row, channels, size, size)
    return grid.permute(0, 3, 2, 4, 1, 5).reshape(-1, channels, per_row * size, per_row * size)


# %% 11.1: should have the shape
def to_images(patches, size, channels):
    per_row = round(patches.shape[1] ** 0.5)
    grid = patches.reshape(-1, per_row, per_row, channels, size, size)
    return grid.permute(0, 3, 1, 4, 2, 5)


# %% 11.2: over the heads
def head_attention(q, k, v):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.softmax(dim=1) @ v


# %% 11.2: root of the number of tokens
def head_attention(q, k, v):
    scores = q @ k.transpose(-2, -1) / q.shape[-2] ** 0.5
    return scores.softmax(dim=-1) @ v


# %% 11.2: the divisor is right, but the weights add up to 1 over the queries
def head_attention(q, k, v):
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.softmax(dim=-2) @ v


# %% 11.2: not divided by anything
def head_attention(q, k, v):
    return (q @ k.transpose(-2, -1)).softmax(dim=-1) @ v


# %% 11.2: square root of d
def head_attention(q, k, v):
    return (q @ k.transpose(-2, -1) / q.shape[-1]).softmax(dim=-1) @ v


# %% 11.2: neither attention nor
def head_attention(q, k, v):
    return v


# %% 11.3: new_side=3
def resize_positions(pos_embed, new_side):
    grid = pos_embed[:, 1:17].transpose(1, 2).unflatten(2, (4, 4))
    grid = F.interpolate(grid, (new_side, new_side), mode="bicubic")
    return torch.cat([pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


# %% 11.3: should be unchanged
def resize_positions(pos_embed, new_side):
    side = round((pos_embed.shape[1] - 1) ** 0.5)
    grid = pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    grid = F.interpolate(grid, (new_side, new_side), mode="bicubic").flatten(2).transpose(1, 2)
    return torch.cat([pos_embed.mean(dim=1, keepdim=True), grid], dim=1)


# %% 11.3: should have the shape
def resize_positions(pos_embed, new_side):
    side = round((pos_embed.shape[1] - 1) ** 0.5)
    grid = pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    grid = F.interpolate(grid, (new_side, new_side), mode="bicubic")
    return grid.flatten(2).transpose(1, 2)


# %% 11.3: should stay the same
def resize_positions(pos_embed, new_side):
    dim, side = pos_embed.shape[2], round((pos_embed.shape[1] - 1) ** 0.5)
    grid = pos_embed[:, 1:].reshape(1, dim, side, side)
    grid = F.interpolate(grid, (new_side, new_side), mode="bicubic")
    return torch.cat([pos_embed[:, :1], grid.reshape(1, -1, dim)], dim=1)


# %% 11.3: rows and columns are swapped
def resize_positions(pos_embed, new_side):
    side = round((pos_embed.shape[1] - 1) ** 0.5)
    grid = pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side)).transpose(2, 3)
    grid = F.interpolate(grid, (new_side, new_side), mode="bicubic")
    return torch.cat([pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


# %% 11.3: neighbors have equal values
def resize_positions(pos_embed, new_side):
    side = round((pos_embed.shape[1] - 1) ** 0.5)
    grid = pos_embed[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    grid = F.interpolate(grid, (new_side, new_side))
    return torch.cat([pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


# %% 11.4: 'interval' is missing
my_ablation = {"change": {"heads": 1}, "difference": -0.01}

# %% 11.4: no setting 'width'
my_ablation = {
    "change": {"width": 96},
    "difference": 0.01,
    "interval": (0.0, 0.02),
    "conclusion": "undecided",
}

# %% 11.4: does not fit
my_ablation = {
    "change": {"dim": 50},
    "difference": -0.05,
    "interval": (-0.06, -0.04),
    "conclusion": "worse",
}

# %% 11.4: should be a positive number
my_ablation = {
    "change": {"heads": "many"},
    "difference": -0.05,
    "interval": (-0.06, -0.04),
    "conclusion": "worse",
}


# %% 11.4: change another setting
my_ablation = {
    "change": {"depth": 1},
    "difference": -0.05,
    "interval": (-0.06, -0.04),
    "conclusion": "worse",
}

# %% 11.4: with one setting
my_ablation = {
    "change": {"depth": 6, "heads": 1},
    "difference": -0.05,
    "interval": (-0.06, -0.04),
    "conclusion": "worse",
}

# %% 11.4: not in the middle
my_ablation = {
    "change": {"heads": 1},
    "difference": -0.05,
    "interval": (-0.02, 0.01),
    "conclusion": "worse",
}

# %% 11.4: starts with its lower end
my_ablation = {
    "change": {"heads": 1},
    "difference": -0.005,
    "interval": (0.01, -0.02),
    "conclusion": "undecided",
}

# %% 11.4: does not fit the numbers
my_ablation = {
    "change": {"heads": 1},
    "difference": -0.005,
    "interval": (-0.02, 0.01),
    "conclusion": "worse",
}

# %% 11.4: should be one of
my_ablation = {
    "change": {"heads": 1},
    "difference": -0.005,
    "interval": (-0.02, 0.01),
    "conclusion": "significant",
}

# %% 11.4: change anything
my_ablation = {
    "change": {"heads": 4},
    "difference": 0.0,
    "interval": (0.0, 0.0),
    "conclusion": "undecided",
}
