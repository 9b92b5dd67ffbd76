"""Solutions of notebook 06: the exercises, and what the predictions should have been."""

# %% 06.a
# A chart draws one line for each run, so add_scalars needs a run for every line: two quantities
# times two sets. Two writers make two runs, however many quantities there are.
guess_runs = (4, 2)


# %% 06.b
# The training line goes to step 10 · 40 = 400, the validation line to step 10: 10 / 400 = 1 / 40.
# The number of epochs does not matter: it is always one over the number of batches in an epoch.
guess_share = 0.025


# %% 06.1
# The same tag puts both lines into one chart. The folder makes them two runs, so two lines. Without
# the third argument the value would stand at step 0.
def one_chart(folder, epoch, train_loss, val_loss):
    with SummaryWriter(folder / "train") as writer:
        writer.add_scalar("loss", train_loss, epoch)
    with SummaryWriter(folder / "val") as writer:
        writer.add_scalar("loss", val_loss, epoch)


# %% 06.2
# `net.eval()` lasts until somebody says otherwise. The training would go on without dropout, and
# batch norm would no longer learn its statistics. A plain `net.train()` at the end is not enough:
# who measures a network in eval mode wants it back so. `net.train(False)` is `net.eval()`.
def measure_accuracy(net, images, labels):
    was_training = net.training
    net.eval()
    with torch.no_grad():
        right = net(images).argmax(dim=1) == labels
    net.train(was_training)
    return right.float().mean().item()


# %% 06.c
# The writer's own folder holds the loss. Each call of add_hparams makes one run more, named or not.
# Most people expect one run, or two.
guess_hparams = 3


# %% 06.3
# `average` is carried from step to step as it is; only what is shown is divided.
# After one value the average is (1 - weight) · value, so the curve starts at the first value.
def smooth(values, weight=0.6):
    average, shown = 0, []
    for n, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        shown.append(average / (1 - weight**n))
    return shown


# %% 06.4
# First the rows (validation, accuracy), then the best of them. The highest value of all is the
# highest of its run, too, so nothing has to be grouped. `rstrip("/val")` would cut off letters.
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()].removesuffix("/val")


# %% 06.d
# A scalar is a number, a histogram hundreds of them. For the matrix a thousand images go through
# the network, and then Matplotlib draws a picture.
guess_order = ("scalar", "histogram", "matrix")


# %% 06.5
# Costs of the machine that made the outputs of this notebook. Every epoch, 120 histograms and two
# matrices would take 155 s. One matrix (validation) every second epoch, and histograms every second
# epoch, leave time for the loss of each batch. Time is scarcer: a matrix is slow, but small.
logging_plan = {
    "milliseconds": {"scalar": 0.34, "histogram": 6.43, "matrix": 1162},
    "kilobytes": {"scalar": 0.04, "histogram": 9.2, "matrix": 50.1},
    "times": {"scalar": 20_000 + 200, "histogram": 25 * 120, "matrix": 25},
    "seconds": 55.2,
    "megabytes": 29.7,
    "scarce": "time",
}
