"""Notebook 02: the solutions of the exercises, and the answers to the predictions."""

# %% 02.a
# The same weights are used at every position, so what the kernel finds moves with the image.
guess_shift = "shifted"

# %% 02.b
# A pays -log 0.6 = 0.51 for each correct prediction and -log 0.4 = 0.92 for the error. B pays
# almost nothing nine times, but -log 0.001 = 6.9 for the error, which dominates its mean.
guess_loss = "B"

# %% 02.c
# The positions shrink to a sixteenth, but the pairs of channels grow from 1 * 16 to 64 * 128, far
# more than the kernel shrinks from 49 to 9 weights.
guess_cost = "third"

# %% 02.d
# What a network can represent is not what training finds: the deeper plain networks are harder to
# optimize, and three epochs leave them with a higher training loss.
guess_depth = 8


# %% 02.1
# The window has room to move over size + 2 * padding - kernel pixels, in steps of the stride; the
# + 1 is its first place. // rounds down: a window that sticks out does not count. The new size
# takes the place of the old one, so the next layer starts from it.
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = (size + 2 * padding - kernel) // stride + 1
    return size


# %% 02.2
# backward() adds to the gradients that are there already, so from the second batch on the step
# followed the sum of all batches so far. Clearing comes before backward(): so it does not matter
# what was there when the step began, and the optimizer still finds the new gradients.
def training_step(net, images, labels, optimizer):
    loss = F.cross_entropy(net(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


# %% 02.3
# Few channels do it, since a convolution costs 9 parameters for each pair of channels: this network
# has 4,402. The mean over all positions gives 20 numbers for any size of image, so the linear layer
# always fits. No softmax at the end: the loss applies it.
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
# Pullover and coat have the same outline, bag and trousers have nothing in common. The intervals do
# not overlap, so chance alone does not explain the difference. (The counts may differ a little on
# another machine.)
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
