"""Solutions of notebook 02: the exercises, and the answers to the predictions."""

# %% 02.a
# The same weights are used at every position, so the output moves with the image.
guess_shift = "shifted"

# %% 02.b
# For A, each correct prediction has a loss of -log 0.6 = 0.51 and the error -log 0.4 = 0.92. For B,
# nine losses are almost 0, but the error has -log 0.001 = 6.9, which dominates the mean.
guess_loss = "B"

# %% 02.c
# The number of positions falls to a sixteenth, but the pairs of channels grow from 1 * 16 to
# 64 * 128. That is far more than the kernel shrinks, from 49 to 9 weights.
guess_cost = "third"

# %% 02.d
# Training does not always find what a network can represent: the deeper plain networks are harder
# to optimize and have a higher training loss after three epochs.
guess_depth = 8


# %% 02.1
# The window can move by size + 2 * padding - kernel pixels, in steps of the stride; the + 1 is its
# first position. // rounds down: a window that extends beyond the border is left out. The new size
# replaces the old one, so the next layer starts from it.
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = (size + 2 * padding - kernel) // stride + 1
    return size


# %% 02.2
# backward() adds to the existing gradients, so from the second batch on, each step used the sum
# over all batches so far. zero_grad() before backward() removes all earlier gradients and leaves
# the new ones for the optimizer.
def training_step(net, images, labels, optimizer):
    loss = F.cross_entropy(net(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# %% 02.3
# A 3x3 convolution has 9 weights per pair of channels, so few channels keep the network small:
# 4,402 parameters. The mean over all positions gives 20 numbers for any image size, so the linear
# layer always fits. There is no softmax at the end: the loss applies it.
def make_tiny_net():
    return nn.Sequential(
        conv_block(1, 8),
        nn.MaxPool2d(2),
        conv_block(8, 16),
        nn.MaxPool2d(2),
        conv_block(16, 20),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(20, 10),
    )


# %% 02.4
# Pullover and coat have similar outlines, bag and trousers do not. The intervals do not overlap, so
# chance alone does not explain the difference. (The counts may differ a little on another machine.)
two_pairs = {
    "hard": {
        "classes": ("Pullover", "Coat"),
        "correct": 176,
        "images": 200,
        "interval": (0.828, 0.918),
    },
    "easy": {
        "classes": ("Bag", "Trouser"),
        "correct": 195,
        "images": 200,
        "interval": (0.943, 0.989),
    },
    "guess": "right",
}
