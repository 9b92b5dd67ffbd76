"""Solutions of notebook 07: the exercises, and what the predictions should have been."""


# %% 07.1
# Add up first, divide last. The batches of the warm-up are left out of both sums.
def throughput(counts, seconds, warm_up=1):
    return sum(counts[warm_up:]) / sum(seconds[warm_up:])


# %% 07.2
# The rest takes as long as before, the part is divided by the factor. With an infinite factor, the
# result is 1 / (1 - share): at most twice as fast if the share is a half.
def speedup(share, factor):
    return 1 / (1 - share + share / factor)


# %% 07.3
# One factor for each image, in a shape that is multiplied over channels, rows and columns.
def change_brightness(images, low=0.7, high=1.3):
    factors = low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)
    return images * factors


# %% 07.a
# Workers must be started, and every batch is sent from one process to another. That takes longer
# than the few operations that remain to be done.
guess_workers = "slower"


# %% 07.b
# A quarter of the updates, each about as large as before.
guess_batches = "small"


# %% 07.c
# Ten is not divisible by four: the sampler repeats two images, so that each process gets three.
guess_predictions = 12


# %% 07.4
# Every second index: the k-th batches of all processes together are the k-th batch of a single
# process. Two halves of the list would also be a valid division, but with different batches.
def shard(indices, rank, world_size):
    return indices[rank::world_size]


# %% 07.5
# The longest parts first: waiting (180 s), then what amp makes faster (110 s together). The update
# and the evaluation take 10 and 20 s: speeding them up cannot save more than that.
plan = {
    "changes": ("memory", "amp"),
    "seconds": {"waiting": 18, "forward": 15, "backward": 30, "update": 10, "evaluation": 10},
    "epoch": 83,
    "times as fast": 3.6,
    "limit": "backward",
}
