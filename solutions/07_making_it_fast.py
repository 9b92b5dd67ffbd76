"""Solutions of notebook 07: the exercises, and the answers to the predictions."""


# %% 07.1
# Add up first, divide last. Both sums leave out the batches of the warm-up.
def throughput(counts, seconds, warm_up=1):
    return sum(counts[warm_up:]) / sum(seconds[warm_up:])


# %% 07.2
# The rest takes as long as before; the time of the part is divided by the factor. With an infinite
# factor the result is 1 / (1 - share): at most twice as fast if the share is a half.
def speedup(share, factor):
    return 1 / (1 - share + share / factor)


# %% 07.3
# One factor per image, in a shape that broadcasts over channels, rows and columns.
def change_brightness(images, low=0.7, high=1.3):
    factors = low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)
    return images * factors


# %% 07.a
# Workers must be started, and every batch is sent from one process to another. That takes longer
# than the few operations that remain to be done.
guess_workers = "slower"


# %% 07.b
# With the same rate, large batches make a quarter of the updates, each about as large as before.
guess_batches = "small"


# %% 07.c
# Ten is not divisible by four: the sampler repeats two images, so each process gets three.
guess_predictions = 12


# %% 07.4
# Every world_size-th index: the k-th batches of all processes together are the k-th batch of a
# single process. Contiguous parts would also be a valid division, but with different batches.
def shard(indices, rank, world_size):
    return indices[rank::world_size]


# %% 07.5
# The longest parts first: waiting (180 s), then what amp makes faster (110 s together). The update
# and the evaluation take 10 and 20 s, so speeding them up cannot save more than that.
plan = {
    "changes": ("memory", "amp"),
    "seconds": {"waiting": 18, "forward": 15, "backward": 30, "update": 10, "evaluation": 10},
    "epoch": 83,
    "times as fast": 3.6,
    "limit": "backward",
}
