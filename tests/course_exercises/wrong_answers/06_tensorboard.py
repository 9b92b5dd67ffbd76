"""Notebook 06: wrong answers, each with words of the hint that it must get."""


# %% 06.1: a tag is a chart
def one_chart(folder, epoch, train_loss, val_loss):
    with SummaryWriter(folder / "train") as writer:
        writer.add_scalar("loss", train_loss, epoch)
    with SummaryWriter(folder / "val") as writer:
        writer.add_scalar("val_loss", val_loss, epoch)


# %% 06.1: at step 0, not at 1
def one_chart(folder, epoch, train_loss, val_loss):
    with SummaryWriter(folder / "train") as writer:
        writer.add_scalar("loss", train_loss, epoch)
    with SummaryWriter(folder / "val") as writer:
        writer.add_scalar("loss", val_loss)


# %% 06.1: at step 1, not at 7
def one_chart(folder, epoch, train_loss, val_loss):
    with SummaryWriter(folder / "train") as writer:
        writer.add_scalar("loss", train_loss, epoch)
    with SummaryWriter(folder / "val") as writer:
        writer.add_scalar("loss", val_loss, 1)


# %% 06.1: add_scalars made it
def one_chart(folder, epoch, train_loss, val_loss):
    with SummaryWriter(folder / "train") as writer:
        writer.add_scalar("loss", train_loss, epoch)
    with SummaryWriter(folder / "val") as writer:
        writer.add_scalars("loss", {"val": val_loss}, epoch)


# %% 06.1: which writer is open here
def one_chart(folder, epoch, train_loss, val_loss):
    with SummaryWriter(folder / "train") as writer:
        writer.add_scalar("loss", train_loss, epoch)
        writer.add_scalar("loss", val_loss, epoch)


# %% 06.1: the line of val holds 0.25
def one_chart(folder, epoch, train_loss, val_loss):
    with SummaryWriter(folder / "train") as writer:
        writer.add_scalar("loss", train_loss, epoch)
    with SummaryWriter(folder / "val") as writer:
        writer.add_scalar("loss", train_loss, epoch)


# %% 06.2: what was it before
def measure_accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        right = net(images).argmax(dim=1) == labels
    net.train()
    return right.float().mean().item()


# %% 06.2: predicts in train mode
def measure_accuracy(net, images, labels):
    with torch.no_grad():
        right = net(images).argmax(dim=1) == labels
    return right.float().mean().item()


# %% 06.2: three of four are right
def measure_accuracy(net, images, labels):
    was_training = net.training
    net.eval()
    with torch.no_grad():
        right = net(images).argmax(dim=1) == labels
    net.train(was_training)
    return right.sum().item()


# %% 06.2: the layers inside are still in another mode
def measure_accuracy(net, images, labels):
    was_training = net.training
    net.eval()
    with torch.no_grad():
        right = net(images).argmax(dim=1) == labels
    net.training = was_training
    return right.float().mean().item()


# %% 06.3: they still contain the 0
def smooth(values, weight=0.6):
    average, shown = 0, []
    for value in values:
        average = weight * average + (1 - weight) * value
        shown.append(average)
    return shown


# %% 06.3: ZeroDivisionError
def smooth(values, weight=0.6):
    average, shown = 0, []
    for n, value in enumerate(values):
        average = weight * average + (1 - weight) * value
        shown.append(average / (1 - weight**n))
    return shown


# %% 06.3: what is carried on
def smooth(values, weight=0.6):
    average, shown = 0, []
    for n, value in enumerate(values, start=1):
        average = (weight * average + (1 - weight) * value) / (1 - weight**n)
        shown.append(average)
    return shown


# %% 06.3: not at the first value
def smooth(values, weight=0.6):
    average, shown = values[0], []
    for value in values:
        average = weight * average + (1 - weight) * value
        shown.append(average)
    return shown


# %% 06.3: the new value the rest
def smooth(values, weight=0.6):
    return pd.Series(values).ewm(alpha=weight).mean().tolist()


# %% 06.3: but here it is 0.9
def smooth(values, weight=0.6):
    return pd.Series(values).ewm(alpha=0.4).mean().tolist()


# %% 06.3: one for each step
def smooth(values, weight=0.6):
    return [pd.Series(values).ewm(alpha=1 - weight).mean().iloc[-1]]


# %% 06.4: cut off the '/val'
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()]


# %% 06.4: another method cuts off a word
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()].rstrip("/val")


# %% 06.4: is best in its last epoch
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


# %% 06.4: That is a training accuracy
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.contains("/")]
    return rows.run[rows.value.idxmax()].removesuffix("/val")


# %% 06.4: cut off only the end
def best_run(scalars):
    rows = scalars[(scalars.tag == "accuracy") & scalars.run.str.endswith("/val")]
    return rows.run[rows.value.idxmax()].split("/")[0]


# %% 06.5: 'scarce' is missing
logging_plan = {
    "milliseconds": {"scalar": 0.3, "histogram": 6, "matrix": 1000},
    "kilobytes": {"scalar": 0.04, "histogram": 9, "matrix": 50},
    "times": {"scalar": 200, "histogram": 240, "matrix": 10},
    "seconds": 11.5,
    "megabytes": 2.67,
}

# %% 06.5: most goes to: matrix
logging_plan = {
    "milliseconds": {"scalar": 0.3, "histogram": 6, "matrix": 1000},
    "kilobytes": {"scalar": 0.04, "histogram": 9, "matrix": 50},
    "times": {"scalar": 200, "histogram": 50 * 120, "matrix": 100},
    "seconds": 136.1,
    "megabytes": 59,
    "scarce": "time",
}

# %% 06.5: will run out first
logging_plan = {
    "milliseconds": {"scalar": 0.3, "histogram": 6, "matrix": 1000},
    "kilobytes": {"scalar": 0.04, "histogram": 9, "matrix": 50},
    "times": {"scalar": 200, "histogram": 240, "matrix": 10},
    "seconds": 11.5,
    "megabytes": 2.67,
    "scarce": "disk",
}

# %% 06.5: is a thousand times too large
logging_plan = {
    "milliseconds": {"scalar": 0.3, "histogram": 6, "matrix": 1000},
    "kilobytes": {"scalar": 0.04, "histogram": 9, "matrix": 50},
    "times": {"scalar": 200, "histogram": 240, "matrix": 10},
    "seconds": 11500,
    "megabytes": 2.67,
    "scarce": "time",
}

# %% 06.5: make 11.5 seconds, not 1.3
logging_plan = {
    "milliseconds": {"scalar": 0.3, "histogram": 6, "matrix": 1000},
    "kilobytes": {"scalar": 0.04, "histogram": 9, "matrix": 50},
    "times": {"scalar": 200, "histogram": 240, "matrix": 10},
    "seconds": 1.3,
    "megabytes": 2.67,
    "scarce": "time",
}

# %% 06.5: is not a multiple of 120
logging_plan = {
    "milliseconds": {"scalar": 0.3, "histogram": 6, "matrix": 1000},
    "kilobytes": {"scalar": 0.04, "histogram": 9, "matrix": 50},
    "times": {"scalar": 200, "histogram": 250, "matrix": 10},
    "seconds": 11.6,
    "megabytes": 2.76,
    "scarce": "time",
}

# %% 06.5: too few: the least is 200
logging_plan = {
    "milliseconds": {"scalar": 0.3, "histogram": 6, "matrix": 1000},
    "kilobytes": {"scalar": 0.04, "histogram": 9, "matrix": 50},
    "times": {"scalar": 50, "histogram": 240, "matrix": 10},
    "seconds": 11.5,
    "megabytes": 2.66,
    "scarce": "time",
}
