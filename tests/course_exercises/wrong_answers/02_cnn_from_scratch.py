"""Notebook 02: wrong answers, each with words of the hint that it must get."""


# %% 02.1: a size is an integer
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = (size + 2 * padding - kernel) / stride + 1
    return size


# %% 02.1: on how many sides is padding added
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = (size + padding - kernel) // stride + 1
    return size


# %% 02.1: for 4 pixels and a kernel of 3
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = (size + 2 * padding - kernel) // stride
    return size


# %% 02.1: extend beyond the border
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = -((size + 2 * padding - kernel) // -stride) + 1
    return size


# %% 02.1: When does the loop return
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = (size + 2 * padding - kernel) // stride + 1
        return size
    return size


# %% 02.1: the output size of the previous one
def size_after(size, layers):
    result = size
    for layer in layers:
        kernel, padding, stride = layer
        result = (size + 2 * padding - kernel) // stride + 1
    return result


# %% 02.1: The formula for one layer is above
def size_after(size, layers):
    for layer in layers:
        kernel, padding, stride = layer
        size = size // stride
    return size


# %% 02.2: what is left of the gradients
def training_step(net, images, labels, optimizer):
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


# %% 02.2: exist before the step
def training_step(net, images, labels, optimizer):
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


# %% 02.2: no gradient was computed
def training_step(net, images, labels, optimizer):
    loss = F.cross_entropy(net(images), labels)
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


# %% 02.2: returned as a tensor
def training_step(net, images, labels, optimizer):
    optimizer.zero_grad()
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    optimizer.step()
    return loss


# %% 02.2: computed 8 times
def training_step(net, images, labels, optimizer):
    optimizer.zero_grad()
    loss = F.cross_entropy(net(images), labels)
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()
    return loss.item()


# %% 02.2: One line is missing
def training_step(net, images, labels, optimizer):
    optimizer.zero_grad()
    loss = F.cross_entropy(net(images).softmax(dim=1), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


# %% 02.3: instead of fewer than 5,000
def make_tiny_net():
    return nn.Sequential(
        conv_block(1, 16),
        nn.MaxPool2d(2),
        conv_block(16, 32),
        nn.MaxPool2d(2),
        conv_block(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


# %% 02.3: return the same network
shared_net = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
)


def make_tiny_net():
    return shared_net


# %% 02.3: but not of 64x64
def make_tiny_net():
    return nn.Sequential(conv_block(1, 4), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4 * 7 * 7, 10))


# %% 02.3: they are probabilities
def make_tiny_net():
    return nn.Sequential(
        conv_block(1, 8),
        conv_block(8, 16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
        nn.Softmax(dim=1),
    )


# %% 02.3: No logit is negative
def make_tiny_net():
    return nn.Sequential(
        conv_block(1, 8), nn.MaxPool2d(2), conv_block(8, 10), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


# %% 02.3: logits at every position
def make_tiny_net():
    return nn.Sequential(conv_block(1, 8), nn.MaxPool2d(2), nn.Conv2d(8, 10, 1))


# %% 02.3: has no non-linearity
def make_tiny_net():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.AvgPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


# %% 02.3: For (3 gray images of 28x28) your function raises
def make_tiny_net():
    return nn.Sequential(conv_block(3, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


# %% 02.3: Is it used in forward
class Forgetful(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = conv_block(1, 8), conv_block(8, 8)
        self.last = nn.Linear(8, 10)

    def forward(self, images):
        return self.last(self.first(images).mean(dim=(2, 3)))


make_tiny_net = Forgetful

# %% 02.3: comes from the course
make_tiny_net = lambda: models.SmallCNN(1, 10, width=6)  # noqa: E731

# %% 02.3: a function that returns one is expected
make_tiny_net = nn.Sequential(
    conv_block(1, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
)

# %% 02.4: with the keys hard, easy, guess is expected; 'hard' is missing
two_pairs = {"Pullover, Coat": 0.875, "Bag, Trouser": 0.995}

# %% 02.4: with the keys classes, correct, images, interval is expected
two_pairs = {"hard": 0.875, "easy": 0.995, "guess": "right"}

# %% 02.4: does not fit the numbers: the two intervals overlap
two_pairs = {
    "hard": {
        "classes": ("Pullover", "Coat"),
        "correct": 175,
        "images": 200,
        "interval": (0.822, 0.914),
    },
    "easy": {
        "classes": ("Sneaker", "Ankle boot"),
        "correct": 182,
        "images": 200,
        "interval": (0.862, 0.942),
    },
    "guess": "right",
}

# %% 02.4: does not fit the numbers: the whole interval of the hard pair lies above
two_pairs = {
    "hard": {
        "classes": ("Bag", "Dress"),
        "correct": 199,
        "images": 200,
        "interval": (0.972, 0.999),
    },
    "easy": {"classes": ("Coat", "Shirt"), "correct": 175, "images": 200, "interval": (0.82, 0.91)},
    "guess": "right",
}

# %% 02.4: is below chance level
two_pairs = {
    "hard": {
        "classes": ("Pullover", "Coat"),
        "correct": 25,
        "images": 200,
        "interval": (0.09, 0.18),
    },
    "easy": {"classes": ("Bag", "Trouser"), "correct": 1, "images": 200, "interval": (0.0, 0.03)},
    "guess": "right",
}

# %% 02.4: two numbers between 0 and 1
two_pairs = {
    "hard": {"classes": ("Pullover", "Coat"), "correct": 175, "images": 200, "interval": (82, 91)},
    "easy": {"classes": ("Bag", "Trouser"), "correct": 199, "images": 200, "interval": (97, 100)},
    "guess": "right",
}

# %% 02.4: two integers
two_pairs = {
    "hard": {
        "classes": ("Pullover", "Coat"),
        "correct": 0.875,
        "images": 200,
        "interval": (0.82, 0.91),
    },
    "easy": {
        "classes": ("Bag", "Trouser"),
        "correct": 0.995,
        "images": 200,
        "interval": (0.97, 1.0),
    },
    "guess": "right",
}

# %% 02.4: pullover and shirt are the example
two_pairs = {
    "hard": {
        "classes": ("Shirt", "Pullover"),
        "correct": 165,
        "images": 200,
        "interval": (0.766, 0.871),
    },
    "easy": {
        "classes": ("Bag", "Trouser"),
        "correct": 199,
        "images": 200,
        "interval": (0.972, 0.999),
    },
    "guess": "right",
}
