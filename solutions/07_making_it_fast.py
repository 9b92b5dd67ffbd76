"""Solutions of notebook 07: the exercises, and what the predictions should have been."""

# %% 07.a
# The images and the network are small: opening a file and calling the transforms takes longer than
# the step of the network. On a GPU it would be almost all of the time.
guess_waiting = 0.6


# %% 07.1
# Add up first, divide last. The batches of the warm-up leave both sums.
def throughput(counts, seconds, warm_up=1):
    return sum(counts[warm_up:]) / sum(seconds[warm_up:])


# %% 07.2
# What is not touched takes as long as before, the rest is divided by the factor. With an infinite
# factor 1 / (1 - share) is left: no more than twice as fast if the share is a half.
def speedup(share, factor):
    return 1 / (1 - share + share / factor)


# %% 07.3
# One factor for each image, in a shape that is multiplied over channels, rows and columns.
def change_brightness(images, low=0.7, high=1.3):
    factors = low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)
    return images * factors


# %% 07.b
# Memory saves the opening and decoding of files, batches most of what is left: calls of transforms.
guess_feeders = ("batches", "one by one", "files")


# %% 07.c
# A sixteenth of the updates, each of the same size.
guess_batches = "small"


# %% 07.d
# A head start, and not more: five epochs are enough to learn a first layer that is about as good.
guess_first = "same"


# %% 07.4
# Every second one: then the k-th batches of all processes together are the k-th batch of one.
# Cutting the list in halves would also give everyone a part, but other batches.
def shard(indices, rank, world_size):
    return indices[rank::world_size]


# %% 07.5
# The longest parts first: waiting (180 s), then what amp makes faster (110 s together). The update
# and the measuring are 10 and 20 s: whatever is done to them brings less.
plan = {
    "changes": ("memory", "amp"),
    "seconds": {"waiting": 18, "forward": 15, "backward": 30, "update": 10, "measuring": 10},
    "epoch": 83,
    "times as fast": 3.6,
    "limit": "backward",
}
