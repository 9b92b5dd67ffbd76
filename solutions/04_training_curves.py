"""Solutions of notebook 04: the exercises, and the answers to the predictions."""

# %% 04.a
# The narrow network fits even its training images badly: a high training loss. The other one sees
# the same 300 images again and again and memorizes them: a training loss near 0 and a large gap.
guess_reading = ("width", "few")


# %% 04.1
# The loss during epoch e belongs to e - 1/2, that of the next epoch to e + 1/2. The end of epoch e
# is halfway between them, where the straight line has the mean of both. The slices without the last
# and without the first value pair each epoch with the next one.
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    at_the_end = (during[:-1] + during[1:]) / 2
    return val[:-1] - at_the_end


# %% 04.b
# Leakage: no gap, but a low test accuracy. No zero_grad(): the loss explodes at once. Label noise:
# training is worse than validation, at a high loss.
guess_letters = ("G", "O", "F")


# %% 04.c
# The first loss is measured before any update, so it has an ordinary size. After that, each step
# multiplies the loss by a growing factor: 10^3, 10^12, 10^31; the next one exceeds float32.
guess_batches = 4


# %% 04.2
# A mode lasts until it is changed. Validation switches to eval mode, so every epoch has to switch
# back before its first batch. As a rule, a function that needs a mode sets it.
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
# The network trained with the correct code overfits before the last epoch; the typo slows training
# down, which acts like early stopping. The correct code wins at its best epoch and in
# accuracy.
guess_typo = "trian"

# %% 04.e
# SGD and AdamW subtract an amount proportional to the weight decay. Adam divides the decay by its
# own size, so a factor of 100 cancels.
guess_times = (100, 1, 100)


# %% 04.3
# The loop goes through the epochs in the order of training, so it cannot look ahead. The number of
# epochs in a row without progress is the distance to the epoch that is kept.
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
# decrease so far. So they hold for any number of classes and any speed. Means over a quarter of the
# epochs are less noisy than single values, and the margins are larger than the remaining noise.
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
# Twice the width, five paired seeds, and the notebook's parameters. The 95 % interval of the paired
# difference is 0.008 to 0.018, all of it above zero.
my_study = {
    "change": "width=16 instead of 8",
    "baseline": [0.800, 0.811, 0.803, 0.803, 0.794],
    "changed": [0.810, 0.825, 0.813, 0.814, 0.813],
    "verdict": "better",
}
