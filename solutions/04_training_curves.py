"""Solutions of notebook 04, and the answers to its predictions."""

# %% 04.a
# The narrow network is bad on the very images that it is trained on: a high training loss. The one
# that sees the same 300 images again and again memorizes them: no training loss, and a large gap.
guess_reading = ("width", "few")


# %% 04.1
# The loss during epoch e belongs to e - 1/2, that of the next one to e + 1/2. The end of epoch e is
# in the middle of the two, so a straight line passes the mean of both. The slices without the last
# and without the first value put each epoch beside its neighbor.
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    at_the_end = (during[:-1] + during[1:]) / 2
    return val[:-1] - at_the_end


# %% 04.b
# Leakage: no gap, but a low test accuracy. A forgotten zero_grad(): the loss explodes at once.
# Label noise: training is worse than validation at a high loss.
guess_letters = ("G", "O", "F")


# %% 04.c
# The first loss is measured before any update, so it is finite. After that each step multiplies
# the loss by a growing factor: 10^3, 10^12, 10^31, and then 32 bits are not enough.
guess_batches = 4


# %% 04.2
# A mode stays until somebody changes it. Validation switches to eval mode, so every epoch has to
# switch back, before its first batch. As a rule: a function that needs a mode sets it.
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
        with torch.no_grad():
            total = sum(F.cross_entropy(net(x), y).item() * len(y) for x, y in val_loader)
        val_losses.append(total / sum(len(y) for _, y in val_loader))
    return val_losses


# %% 04.d
# The network with batch norm overfits before the last epoch; the typo slows training down, which
# acts like early stopping. At its best epoch, and in accuracy, the correct code is better.
guess_typo = "trian"

# %% 04.e
# SGD and AdamW subtract a part of the weight that is proportional to the decay. Adam divides the
# decay by its own size, so a hundred times the decay is divided by a hundred times as much.
guess_times = (100, 1, 100)


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
# All thresholds are relative: to the loss of a uniform prediction, to the lowest loss, or to the
# fall so far. So they hold for any number of classes and any speed. Means over a quarter of the
# epochs are steadier than single values, and the margins are larger than the noise that is left.
def diagnose(train_losses, val_losses, num_classes):
    quarter = len(train_losses) // 4
    train, val = (
        np.convolve(losses, np.ones(quarter) / quarter, "valid")
        for losses in (train_losses, val_losses)
    )
    if train[-1] < np.log(num_classes) / 2:
        return "overfitting" if val[-1] > 1.1 * val.min() else "healthy"
    falling = train[-1 - quarter] - train[-1] > 0.1 * (train_losses[0] - train[-1])
    return "too slow" if falling else "underfitting"


# %% 04.5
# Twice the width, five paired seeds, with the parameters that the notebook comes with. The paired
# interval of the difference goes from 0.008 to 0.018: all of it lies above zero.
my_study = {
    "change": "width=16 instead of 8",
    "baseline": [0.800, 0.811, 0.803, 0.803, 0.794],
    "changed": [0.810, 0.825, 0.813, 0.814, 0.813],
    "verdict": "better",
}
