"""Notebook 07: wrong answers, each with words of the hint that it must get."""


# %% 07.1: add up first, divide last
def throughput(counts, seconds, warm_up=1):
    pairs = list(zip(counts, seconds, strict=True))[warm_up:]
    return sum(count / time for count, time in pairs) / len(pairs)


# %% 07.1: should not count
def throughput(counts, seconds, warm_up=1):
    return sum(counts) / sum(seconds)


# %% 07.1: images of the warm-up are counted
def throughput(counts, seconds, warm_up=1):
    return sum(counts) / sum(seconds[warm_up:])


# %% 07.1: only the first batch is left out
def throughput(counts, seconds, warm_up=1):
    return sum(counts[1:]) / sum(seconds[1:])


# %% 07.1: seconds per image
def throughput(counts, seconds, warm_up=1):
    return sum(seconds[warm_up:]) / sum(counts[warm_up:])


# %% 07.1: images per second, not
def throughput(counts, seconds, warm_up=1):
    return max(counts) / min(seconds)


# %% 07.2: share of the time that remains
def speedup(share, factor):
    return 1 - share + share / factor


# %% 07.2: time is multiplied
def speedup(share, factor):
    return 1 - share + share * factor


# %% 07.2: the rest takes as long as before
def speedup(share, factor):
    return factor


# %% 07.2: should be
def speedup(share, factor):
    return 1 / (share + (1 - share) / factor)


# %% 07.3: within one image
def change_brightness(images, low=0.7, high=1.3):
    return images * (low + (high - low) * torch.rand(images.shape))


# %% 07.3: within one image
def change_brightness(images, low=0.7, high=1.3):
    return images * (low + (high - low) * torch.rand(images.shape[1], 1, 1))


# %% 07.3: should stay between low and high
def change_brightness(images, low=0.7, high=1.3):
    return images * (high - low) * torch.rand(len(images), 1, 1, 1)


# %% 07.3: should cover the whole range
def change_brightness(images, low=0.7, high=1.3):
    middle = (low + high) / 2
    return images * (middle + 0.2 * (high - low) * torch.rand(len(images), 1, 1, 1))


# %% 07.3: a number is added
def change_brightness(images, low=0.7, high=1.3):
    return images + (high - low) * torch.rand(len(images), 1, 1, 1) + low - 1


# %% 07.3: set a seed
def change_brightness(images, low=0.7, high=1.3):
    torch.manual_seed(0)
    return images * (low + (high - low) * torch.rand(len(images), 1, 1, 1))


# %% 07.3: the dataset needs them again
def change_brightness(images, low=0.7, high=1.3):
    images *= low + (high - low) * torch.rand(len(images), 1, 1, 1)
    return images


# %% 07.3: is expected, not shape
def change_brightness(images, low=0.7, high=1.3):
    return images[0] * (low + (high - low) * torch.rand(1))


# %% 07.4: the beginning of the list
def shard(indices, rank, world_size):
    size, more = divmod(len(indices), world_size)
    start = rank * size + min(rank, more)
    return indices[start : start + size + (rank < more)]


# %% 07.4: no process gets index
def shard(indices, rank, world_size):
    return indices[rank :: world_size + 1]


# %% 07.4: occur twice
def shard(indices, rank, world_size):
    return indices[rank::1]


# %% 07.4: differ by one at most
def shard(indices, rank, world_size):
    return indices if rank == 0 else []


# %% 07.4: a list is expected
def shard(indices, rank, world_size):
    return len(indices[rank::world_size])


# %% 07.5: 'seconds' is missing
plan = {"changes": ("memory", "amp")}

# %% 07.5: two different changes
plan = {
    "changes": ("memory", "memory"),
    "seconds": {"waiting": 1.8, "forward": 30, "backward": 60, "update": 10, "evaluation": 20},
    "epoch": 121.8,
    "times as fast": 2.5,
    "limit": "backward",
}

# %% 07.5: there is no change
plan = {
    "changes": ("memory", "gpu"),
    "seconds": {"waiting": 18, "forward": 30, "backward": 60, "update": 10, "evaluation": 20},
    "epoch": 138,
    "times as fast": 2.2,
    "limit": "backward",
}

# %% 07.5: evaluation does not take
plan = {
    "changes": ("memory", "amp"),
    "seconds": {"waiting": 18, "forward": 15, "backward": 30, "update": 10, "evaluation": 20},
    "epoch": 93,
    "times as fast": 3.2,
    "limit": "backward",
}

# %% 07.5: add up to
plan = {
    "changes": ("memory", "amp"),
    "seconds": {"waiting": 18, "forward": 15, "backward": 30, "update": 10, "evaluation": 10},
    "epoch": 100,
    "times as fast": 3,
    "limit": "backward",
}

# %% 07.5: times as fast
plan = {
    "changes": ("memory", "amp"),
    "seconds": {"waiting": 18, "forward": 15, "backward": 30, "update": 10, "evaluation": 10},
    "epoch": 83,
    "times as fast": 20,
    "limit": "backward",
}

# %% 07.5: what takes longest
plan = {
    "changes": ("memory", "amp"),
    "seconds": {"waiting": 18, "forward": 15, "backward": 30, "update": 10, "evaluation": 10},
    "epoch": 83,
    "times as fast": 3.6,
    "limit": "waiting",
}

# %% 07.5: another pair
plan = {
    "changes": ("memory", "every third"),
    "seconds": {"waiting": 18, "forward": 30, "backward": 60, "update": 10, "evaluation": 6.7},
    "epoch": 124.7,
    "times as fast": 2.4,
    "limit": "backward",
}

# %% 07.5: not a str
plan = "memory and amp"
