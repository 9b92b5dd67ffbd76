"""Notebook 06: wrong answers, each with words of the hint that it must get."""


# %% 06.1: left 5 event files
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.folder, self.step = folder, 0

    def on_batch_end(self, state, loss):
        self.step += 1
        with SummaryWriter(self.folder) as writer:
            writer.add_scalar("loss", loss, self.step)


# %% 06.1: left 2 event files
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.folder, self.step, self.writer = folder, 0, None

    def on_batch_end(self, state, loss):
        self.step += 1
        self.writer = self.writer or SummaryWriter(self.folder)
        self.writer.add_scalar("loss", loss, self.step)

    def on_epoch_end(self, state):
        self.writer.close()
        self.writer = None


# %% 06.1: steps start again
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.writer, self.step = SummaryWriter(folder), 0

    def on_batch_end(self, state, loss):
        self.step += 1
        self.writer.add_scalar("loss", loss, self.step)

    def on_epoch_end(self, state):
        self.step = 0

    def on_train_end(self, state):
        self.writer.close()


# %% 06.1: at the steps [0, 0, 0, 0, 0]
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.writer = SummaryWriter(folder)

    def on_batch_end(self, state, loss):
        self.writer.add_scalar("loss", loss)

    def on_train_end(self, state):
        self.writer.close()


# %% 06.1: is the writer closed
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.writer, self.step = SummaryWriter(folder), 0

    def on_batch_end(self, state, loss):
        self.step += 1
        self.writer.add_scalar("loss", loss, self.step)


# %% 06.1: raises AttributeError
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.folder, self.step = folder, 0

    def on_batch_end(self, state, loss):
        self.step += 1
        self.writer.add_scalar("loss", loss, self.step)


# %% 06.1: The tag should be 'loss'
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.writer, self.step = SummaryWriter(folder), 0

    def on_batch_end(self, state, loss):
        self.step += 1
        self.writer.add_scalar("batch loss", loss, self.step)

    def on_train_end(self, state):
        self.writer.close()


# %% 06.1: the class BatchLogger
BatchLogger = BatchLogger("somewhere")


# %% 06.2: what was its mode before
def measure_accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        correct = net(images).argmax(dim=1) == labels
    net.train()
    return correct.float().mean().item()


# %% 06.2: predicts in train mode
def measure_accuracy(net, images, labels):
    with torch.no_grad():
        correct = net(images).argmax(dim=1) == labels
    return correct.float().mean().item()


# %% 06.2: the accuracy should be 0.75
def measure_accuracy(net, images, labels):
    was_training = net.training
    net.eval()
    with torch.no_grad():
        correct = net(images).argmax(dim=1) == labels
    net.train(was_training)
    return correct.sum().item()


# %% 06.2: the layers inside are still in the wrong mode
def measure_accuracy(net, images, labels):
    was_training = net.training
    net.eval()
    with torch.no_grad():
        correct = net(images).argmax(dim=1) == labels
    net.training = was_training
    return correct.float().mean().item()


# %% 06.3: it was frozen on purpose
def not_updated(net, before):
    return [name for name, p in net.named_parameters() if torch.equal(p, before[name])]


# %% 06.3: nothing had to change
def not_updated(net, before):
    named = net.named_parameters()
    return [n for n, p in named if p.grad is not None and torch.equal(p, before[n])]


# %% 06.3: changed by a millionth
def not_updated(net, before):
    parameters = {n: p for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    return [n for n, p in parameters.items() if torch.allclose(p, before[n], atol=1e-5)]


# %% 06.3: all must be
def not_updated(net, before):
    parameters = {n: p for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    return [n for n, p in parameters.items() if (p == before[n]).any()]


# %% 06.3: has new values
def not_updated(net, before):
    parameters = {n: p for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    return [n for n, p in parameters.items() if not torch.equal(p, before[n])]


# %% 06.3: report it
def not_updated(net, before):
    return [n for n, p in net.named_parameters() if p is before[n]]


# %% 06.3: raises AttributeError
def not_updated(net, before):
    named = net.named_parameters()
    return [n for n, p in named if p.grad.any() and torch.equal(p, before[n])]


# %% 06.3: a list of names is expected
def not_updated(net, before):
    parameters = {n: p for n, p in net.named_parameters() if p.grad is not None and p.grad.any()}
    return sum(torch.equal(p, before[n]) for n, p in parameters.items())


# %% 06.4: remove the '/val'
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()]


# %% 06.4: Which method removes a word
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()].rstrip("/val")


# %% 06.4: is best in the last epoch
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.groupby("run").value.last().idxmax().removesuffix("/val")


# %% 06.4: has the highest loss
def best_run(scalars):
    rows = scalars[scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()].removesuffix("/val")


# %% 06.4: not in '/val'
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("val")]
    return rows.run[rows.value.idxmax()].removesuffix("/val")


# %% 06.4: has the highest training accuracy
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.contains("/")]
    return rows.run[rows.value.idxmax()].removesuffix("/val")


# %% 06.4: remove only the end
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()].split("/")[0]


# %% 06.5: 'epoch' is missing
evidence = {"bug": "wrong labels", "tag": "loss", "healthy": [1.4, 0.9], "broken": [2.3, 2.3]}

# %% 06.5: they overlap
evidence = {
    "bug": "a learning rate 100 times too high",
    "tag": "loss",
    "healthy": [1.4, 0.9, 0.8],
    "broken": [1.2, 2.1, 2.2],
    "epoch": 1,
}

# %% 06.5: from epoch 2 on, the values do not overlap
evidence = {
    "bug": "a learning rate 100 times too high",
    "tag": "loss",
    "healthy": [1.4, 0.9, 0.8],
    "broken": [1.2, 2.1, 2.2],
    "epoch": 3,
}

# %% 06.5: numbers of the example
evidence = {
    "bug": "a learning rate 100 times too high",
    "tag": "loss",
    "healthy": [1.35, 0.9, 0.8],
    "broken": [1.3, 2.3, 2.3],
    "epoch": 2,
}

# %% 06.5: log the same number
evidence = {
    "bug": "weights initialized with 0",
    "tag": "loss",
    "healthy": [1.4, 0.9, 0.8],
    "broken": [2.3, 2.3],
    "epoch": 1,
}

# %% 06.5: a list of numbers
evidence = {
    "bug": "weights initialized with 0",
    "tag": "loss",
    "healthy": 0.8,
    "broken": 2.3,
    "epoch": 1,
}

# %% 06.5: an integer from 1 to 2
evidence = {
    "bug": "weights initialized with 0",
    "tag": "loss",
    "healthy": [1.4, 0.9],
    "broken": [2.3, 2.3],
    "epoch": 0,
}

# %% 06.5: say in words
evidence = {"bug": 1, "tag": "loss", "healthy": [1.4, 0.9], "broken": [2.3, 2.3], "epoch": 1}
