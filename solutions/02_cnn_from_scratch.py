"""Notebook 02: the solutions of the exercises, and the answers to the predictions."""

# %% 02.a
# (28 + 2 - 3) / 2 + 1 is 14.5, and half a pixel does not exist: the formula rounds down.
# The window that would stick out at the end is left out.
guess_size = 14

# %% 02.b
# For p = 0.5 both cases cost the same: -log 0.5 = log 2. Many expect 0.5, but the loss is no share:
# it is the logarithm of one.
guess_loss = 0.69

# %% 02.c
# Half of the variance, ten times, leaves 1/1024 of it. The standard deviation is the square root
# of the variance, so 1/32 of it is left.
guess_left = 0.031

# %% 02.d
# A 3x3 convolution with padding 1 keeps the size, a pooling of 2x2 halves it. The mean over all
# positions leaves one number per channel; Flatten drops the two axes of length 1.
guess_shapes = [
    (32, 28, 28),
    (32, 14, 14),
    (64, 14, 14),
    (64, 7, 7),
    (128, 7, 7),
    (128, 1, 1),
    (128,),
    (10,),
]

# %% 02.e
# The stem leaves a quarter: 56 and 7. Then three stages halve: 28, 14, 7 and 4, 2, 1.
# A network made for 224 pixels has nothing left to look at when it gets 28.
guess_sizes = (56, 7, 7, 1)


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
# Pullover and coat have the same outline, bag and trousers have nothing in common. The intervals
# lie apart, so the difference is more than the luck of 200 test images. (Another machine may
# count a few images more or less.)
two_pairs = {
    "hard": {
        "classes": ("Pullover", "Coat"),
        "right": 176,
        "images": 200,
        "interval": (0.828, 0.918),
    },
    "easy": {
        "classes": ("Bag", "Trouser"),
        "right": 195,
        "images": 200,
        "interval": (0.943, 0.989),
    },
    "guess": "right",
}
