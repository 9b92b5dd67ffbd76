"""Solutions of notebook 00: the exercises, and the answers to the predictions."""

# %% 00.a
# from_numpy shares the array's memory, and a slice is a view. tensor() and clone() copy.
guess_shared = ("yes", "no", "yes", "no")

# %% 00.b
# The truncation error falls with h^2. For very small h, both function values agree in nearly all
# digits, and their difference is mostly rounding error.
guess_error = "falls, then rises"

# %% 00.c
# With p = 0.5 the gradient is the mean of (0.5 - y) x: images of the first class have the factor
# 0.5, those of the second -0.5. The step goes against the gradient.
guess_weights = "difference"


# %% 00.1
# (n, 1, d) minus (1, m, d) is (n, m, d): the difference of each pair. The sum over the last
# dimension leaves one number per pair. (torch.cdist does the same with less memory.)
def distances(a, b):
    differences = a[:, None, :] - b[None, :, :]
    return differences.square().sum(dim=2).sqrt()


# %% 00.2
# Each element of the result depends only on its own element of x, so the gradient of the sum is the
# derivative at each element. Working on a copy leaves x and its gradient unchanged.
def slope(function, x):
    copy = x.detach().clone().requires_grad_()
    function(copy).sum().backward()
    return copy.grad


# %% 00.3
# Correct predictions and images are added up, so every image counts the same, also in a smaller
# last batch. A logit above 0 is a probability above 0.5. The model is left in eval mode: the
# training loop calls train() itself.
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    correct, count = 0, 0
    for images, labels in loader:
        predictions = model(images) > 0
        correct += (predictions == labels).sum().item()
        count += len(labels)
    return correct / count


# %% 00.4
# An example; yours will differ. Images of different sizes cannot be stacked into a batch.
def stack_as_they_are():
    return torch.stack([torch.zeros(1, 28, 28), torch.zeros(1, 32, 28)])


def stack_after_cropping():
    return torch.stack([torch.zeros(1, 28, 28), torch.zeros(1, 32, 28)[:, :28]])


my_error = {
    "broken": stack_as_they_are,
    "fixed": stack_after_cropping,
    "words": "equal size",
    "cause": "The images have different heights; resize or crop them before you stack them.",
}
