"""Solutions of notebook 04, and the answers to its predictions."""

# %% 04.a
# A network with one channel is bad on the very images that it is trained on: a high level. One that
# sees the same 300 images again and again memorizes them: no level, and a wide gap.
guess_reading = ("small", "few")


# %% 04.1
# The loss during epoch e belongs to e - 1/2, that of the next one to e + 1/2. The end of epoch e is
# in the middle of the two, so a straight line passes the mean of both. The slices without the last
# and without the first value put each epoch beside its neighbor.
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    at_the_end = (during[:-1] + during[1:]) / 2
    return val[:-1] - at_the_end


# %% 04.b
# The first loss is measured before any step, so it is a number for sure. After that each step makes
# the loss larger by a factor, which itself grows: 10^4, 10^14, 10^33, and then a number of 32 bits
# can hold it no longer.
guess_batches = 4


# %% 04.2
# A mode stays until somebody changes it. Validation switches to eval mode, so every epoch has to
# switch back, before its first batch. As a rule: whoever needs a mode sets it, right there.
def train_and_measure(net, train_loader, val_loader, optimizer, rounds):
    val_losses = []
    for _ in range(rounds):
        net.train()
        for images, targets in train_loader:
            loss = F.cross_entropy(net(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for images, targets in val_loader:
                total += F.cross_entropy(net(images), targets).item() * len(targets)
                count += len(targets)
        val_losses.append(total / count)
    return val_losses


# %% 04.c
# An accuracy near 0.78 moves by half a point to a point from seed to seed; the best and the worst
# of five lie about two points apart. That is more than many an improvement that people report.
guess_points = 2

# %% 04.d
# SGD and AdamW take off a part of the weight that is proportional to the decay. Adam divides what
# it gets by its own size, so the hundredfold decay is divided by a hundred times as much.
guess_times = (100, 1, 100)

# %% 04.e
# A schedule multiplies the rate of every group by the same factor, so their ratio stays.
guess_ratio = 10


# %% 04.3
# The loop goes through the epochs as training would, and so cannot look ahead. The epochs without
# progress in a row are the distance to the epoch that is kept; nothing else has to be counted.
def stop_early(losses, patience):
    kept = 1
    for epoch, loss in enumerate(losses, start=1):
        if loss < losses[kept - 1]:
            kept = epoch
        if epoch - kept >= patience:
            return kept, epoch
    return kept, len(losses)


# %% 04.4
# All thresholds are relative: to the loss of a uniform prediction, or to the lowest loss. So
# they hold for any number of classes. Means over a quarter of the epochs are steadier than single
# values, and the margins of 20 % and 3 % are larger than the noise that is left.
def diagnose(train_losses, val_losses, num_classes):
    uniform = np.log(num_classes)
    quarter = len(train_losses) // 4
    level = np.mean(train_losses[-quarter:]) / uniform
    progress = np.mean(train_losses[-2 * quarter : -quarter]) / uniform - level
    if np.mean(val_losses[-quarter:]) > 1.2 * np.min(val_losses):
        return "overfitting"
    if level < 0.4:
        return "healthy"
    return "too slow" if progress > 0.03 else "underfitting"


# %% 04.5
# Batch norm, five seeds each, with the parameters that the notebook comes with. The interval of the
# difference goes from 0.009 to 0.040: all of it lies above zero. A network of double the width, for
# comparison, gives -0.003 to 0.018, which decides nothing.
my_study = {
    "change": "batch norm after every convolution (norm=True)",
    "baseline": [0.777, 0.768, 0.787, 0.780, 0.781],
    "changed": [0.796, 0.807, 0.801, 0.822, 0.790],
    "verdict": "better",
}
