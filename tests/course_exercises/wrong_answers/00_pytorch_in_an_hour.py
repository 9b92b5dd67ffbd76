"""Notebook 00: wrong answers, each with words of the hint that it must get."""


# %% 00.1: must match the size
def distances(a, b):
    return (a - b).square().sum(dim=1).sqrt()


# %% 00.1: which dimension must disappear
def distances(a, b):
    return (a[:, None] - b[None]).abs()


# %% 00.1: rows should be the points of a
def distances(a, b):
    return (b[:, None] - a[None]).square().sum(dim=2).sqrt()


# %% 00.1: squared distances
def distances(a, b):
    return (a[:, None] - b[None]).square().sum(dim=2)


# %% 00.1: absolute differences
def distances(a, b):
    return (a[:, None] - b[None]).abs().sum(dim=2)


# %% 00.1: do not average them
def distances(a, b):
    return (a[:, None] - b[None]).square().mean(dim=2).sqrt()


# %% 00.1: before you add them up
def distances(a, b):
    return (a[:, None] - b[None]).sum(dim=2)


# %% 00.1: insert a dimension into each
def distances(a, b):
    return (a[:, None] - b[None]).square().sum(dim=(1, 2)).sqrt()


# %% 00.1: not a tensor
def distances(a, b):
    return [[(one - other).norm().item() for other in b] for one in a]


# %% 00.2: typical of a finite difference
def slope(function, x):
    return (function(x + 0.01) - function(x - 0.01)) / 0.02


# %% 00.2: steps over the kink
def slope(function, x):
    x = x.double()
    return (function(x + 1e-6) - function(x - 1e-6)) / 2e-6


# %% 00.2: requires gradients afterwards. Work on a copy
def slope(function, x):
    x.requires_grad_()
    function(x).sum().backward()
    return x.grad


# %% 00.2: sum, not mean
def slope(function, x):
    x = x.clone().requires_grad_()
    function(x).mean().backward()
    return x.grad


# %% 00.2: your function adds to it
def slope(function, x):
    needed = x.requires_grad
    x.requires_grad_()
    function(x).sum().backward()
    result = x.grad.clone()
    x.requires_grad_(needed)
    return result


# %% 00.2: grad can be implicitly created only for scalar outputs
def slope(function, x):
    copy = x.clone().requires_grad_()
    function(copy).backward()
    return copy.grad


# %% 00.2: one slope per element
def slope(function, x):
    copy = x.detach().clone().requires_grad_()
    function(copy).sum().backward()
    return copy.grad.sum()


# %% 00.2: the values of the function
def slope(function, x):
    return function(x)


# %% 00.2: Is a return missing?
def slope(function, x):
    copy = x.detach().clone().requires_grad_()
    function(copy).sum().backward()


# %% 00.3: mean of the batches' accuracies
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    shares = [((model(images) > 0) == labels).float().mean() for images, labels in loader]
    return sum(shares).item() / len(shares)


# %% 00.3: in training mode
@torch.no_grad()
def accuracy(model, loader):
    correct = sum(((model(images) > 0) == labels).sum().item() for images, labels in loader)
    return correct / sum(len(labels) for _, labels in loader)


# %% 00.3: autograd records the model
def accuracy(model, loader):
    model.eval()
    correct = sum(((model(images) > 0) == labels).sum().item() for images, labels in loader)
    return correct / sum(len(labels) for _, labels in loader)


# %% 00.3: the threshold is not 0.5
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    correct = sum(((model(images) > 0.5) == labels).sum().item() for images, labels in loader)
    return correct / sum(len(labels) for _, labels in loader)


# %% 00.3: the number of correct predictions
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    return sum(((model(images) > 0) == labels).sum().item() for images, labels in loader)


# %% 00.3: the number of batches times the batch size
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    correct = sum(((model(images) > 0) == labels).sum().item() for images, labels in loader)
    return correct / (len(loader) * loader.batch_size)


# %% 00.3: the last batch alone
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    for images, labels in loader:
        share = ((model(images) > 0) == labels).float().mean().item()
    return share


# %% 00.3: the first batch alone
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    for images, labels in loader:
        return ((model(images) > 0) == labels).float().mean().item()


# %% 00.3: a Python number is expected
@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    correct = sum(((model(images) > 0) == labels).sum() for images, labels in loader)
    return correct / sum(len(labels) for _, labels in loader)


# %% 00.3: never calls the model
def accuracy(model, loader):
    return 0.9


# %% 00.4: Section 6 has this error already
my_error = {
    "broken": lambda: torch.zeros(2, 3) @ torch.zeros(2, 3),
    "fixed": lambda: torch.zeros(2, 3) @ torch.zeros(3, 2),
    "words": "cannot be multiplied",
    "cause": "The inner numbers of the two shapes differ.",
}

# %% 00.4: raises no error
my_error = {
    "broken": lambda: torch.zeros(2, 3) - torch.zeros(2, 1),
    "fixed": lambda: torch.zeros(2, 3) - torch.zeros(2, 3),
    "words": "must match",
    "cause": "The shapes of the two tensors differ in one dimension.",
}

# %% 00.4: find one caused by tensors
my_error = {
    "broken": lambda: torch.tensr(3),
    "fixed": lambda: torch.tensor(3),
    "words": "has no attribute",
    "cause": "The name of the function is misspelled here.",
}

# %% 00.4: should be five or more characters of the message
my_error = {
    "broken": lambda: torch.zeros(2, 3)[2],
    "fixed": lambda: torch.zeros(2, 3)[1],
    "words": "there is no third row",
    "cause": "The index starts at 0, so that the last of two rows is number 1.",
}

# %% 00.4: should return a tensor
my_error = {
    "broken": lambda: torch.zeros(2, 3)[2],
    "fixed": lambda: "use 1 instead of 2",
    "words": "out of bounds",
    "cause": "The index starts at 0, so that the last of two rows is number 1.",
}

# %% 00.4: should be a function, not a list
my_error = {
    "broken": lambda: torch.zeros(2, 3)[2],
    "fixed": torch.zeros(2, 3)[1],
    "words": "out of bounds",
    "cause": "The index starts at 0, so that the last of two rows is number 1.",
}

# %% 00.4: a sentence that explains the error
my_error = {
    "broken": lambda: torch.zeros(2, 3)[2],
    "fixed": lambda: torch.zeros(2, 3)[1],
    "words": "out of bounds",
    "cause": "out of bounds",
}
