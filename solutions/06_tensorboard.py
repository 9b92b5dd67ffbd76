"""Solutions of notebook 06: the exercises, and the answers to the predictions."""

# %% 06.a
# A chart draws one line per run, so add_scalars needs a run for every line: two quantities times
# two sets. Two writers create two runs, however many quantities they log.
guess_runs = (4, 2)


# %% 06.b
# Taking a batch draws random numbers, for the order of the images and for flips and crops. The next
# epoch gets different random numbers.
guess_same = "different"


# %% 06.1
# The writer is opened once and closed once. The counter is an attribute of the object, so it
# continues in the next epoch.
class BatchLogger(training.Callback):
    def __init__(self, folder):
        self.writer = SummaryWriter(folder)
        self.step = 0

    def on_batch_end(self, state, loss):
        self.step += 1
        self.writer.add_scalar("loss", loss, self.step)

    def on_train_end(self, state):
        self.writer.close()


# %% 06.2
# `net.eval()` stays in effect until the mode is set again. Training would continue without dropout,
# and batch norm would no longer update its statistics. `net.train()` at the end is not enough: a
# network that was in eval mode must be in eval mode afterwards. `net.train(False)` is `net.eval()`.
def measure_accuracy(net, images, labels):
    was_training = net.training
    net.eval()
    with torch.no_grad():
        correct = net(images).argmax(dim=1) == labels
    net.train(was_training)
    return correct.float().mean().item()


# %% 06.c
# The weights of the first layers never change, although they have gradients.
guess_cause = "frozen layers"


# %% 06.3
# `any()` of a gradient is True if at least one value is not zero. torch.equal compares exactly;
# with a tolerance, a parameter that took a small step would be reported.
def not_updated(net, before):
    return [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is not None
        and parameter.grad.any()
        and torch.equal(parameter, before[name])
    ]


# %% 06.4
# First select the rows (validation, accuracy), then the best one. The highest value of all is also
# the highest of its run, so no grouping is needed. `rstrip("/val")` would remove single letters.
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()].removesuffix("/val")


# %% 06.d
# A scalar is one number. A histogram sorts all weights of a layer into bins. For the matrix, all
# validation images go through the network, and then Matplotlib draws an image.
guess_order = ("scalar", "histogram", "matrix")


# %% 06.5
# With labels shuffled before training, the training loss stays near chance level from the first
# epoch on, above all healthy values. The accuracy would show it, too.
evidence = {
    "bug": "labels of the training images shuffled",
    "tag": "loss, run train",
    "healthy": [1.38, 0.93, 0.81, 0.74, 0.71, 0.66, 0.63, 0.60],
    "broken": [2.32, 2.31, 2.30, 2.30, 2.30, 2.30, 2.29, 2.29],
    "epoch": 1,
}
