# %% 04.1: half an epoch too late
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    at_the_end = during[1:]
    return val[:-1] - at_the_end


# %% 04.1: twice the value between them
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    at_the_end = during[:-1] + during[1:]
    return val[:-1] - at_the_end


# %% 04.1: not half of the loss
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    at_the_end = during[:-1] / 2
    return val[:-1] - at_the_end


# %% 04.1: sign is reversed
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    return (during[:-1] + during[1:]) / 2 - val[:-1]


# %% 04.1: leave out the last
def gaps_at_epoch_end(train_losses, val_losses):
    during, val = np.array(train_losses), np.array(val_losses)
    return val - during.mean()


# %% 04.2: validated in train mode
def train_and_measure(net, train_loader, val_loader, optimizer, rounds):
    val_losses = []
    net.train()
    for _ in range(rounds):
        for images, targets in train_loader:
            loss = F.cross_entropy(net(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        total, count = 0.0, 0
        with torch.no_grad():
            for images, targets in val_loader:
                total += F.cross_entropy(net(images), targets).item() * len(targets)
                count += len(targets)
        val_losses.append(total / count)
    return val_losses


# %% 04.2: must not rely on the mode
def train_and_measure(net, train_loader, val_loader, optimizer, rounds):
    val_losses = []
    for _ in range(rounds):
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
        net.train()
    return val_losses


# %% 04.2: batches are trained in eval mode
def train_and_measure(net, train_loader, val_loader, optimizer, rounds):
    val_losses = []
    for _ in range(rounds):
        for images, targets in train_loader:
            loss = F.cross_entropy(net(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            net.train()
        net.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for images, targets in val_loader:
                total += F.cross_entropy(net(images), targets).item() * len(targets)
                count += len(targets)
        val_losses.append(total / count)
    return val_losses


# %% 04.2: the bug is still there
def train_and_measure(net, train_loader, val_loader, optimizer, rounds):
    val_losses = []
    net.train()
    for _ in range(rounds):
        optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
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


# %% 04.2: apart from the mode
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
            losses = [
                F.cross_entropy(net(images), targets).item() for images, targets in val_loader
            ]
        val_losses.append(sum(losses) / len(val_loader))
    return val_losses


# %% 04.3: losses after the stop
def stop_early(losses, patience):
    without = 0
    for epoch in range(1, len(losses)):
        without = without + 1 if losses[epoch] >= min(losses[:epoch]) else 0
        if without == patience:
            return int(np.argmin(losses)) + 1, epoch + 1
    return int(np.argmin(losses)) + 1, len(losses)


# %% 04.3: below the lowest so far
def stop_early(losses, patience):
    kept, without = 1, 0
    for epoch in range(2, len(losses) + 1):
        if losses[epoch - 1] < losses[epoch - 2]:
            kept, without = epoch, 0
        else:
            without += 1
        if without >= patience:
            return kept, epoch
    return kept, len(losses)


# %% 04.3: equals the lowest one is not lower
def stop_early(losses, patience):
    kept = 1
    for epoch, loss in enumerate(losses, start=1):
        if loss <= losses[kept - 1]:
            kept = epoch
        if epoch - kept >= patience:
            return kept, epoch
    return kept, len(losses)


# %% 04.3: must be in a row
def stop_early(losses, patience):
    kept, without = 1, 0
    for epoch, loss in enumerate(losses[1:], start=2):
        if loss < losses[kept - 1]:
            kept = epoch
        else:
            without += 1
        if without >= patience:
            return kept, epoch
    return kept, len(losses)


# %% 04.3: epochs are counted from 1
def stop_early(losses, patience):
    kept = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[kept]:
            kept = epoch
        if epoch - kept >= patience:
            return kept, epoch
    return kept, len(losses) - 1


# %% 04.3: one epoch too late
def stop_early(losses, patience):
    kept = 1
    for epoch, loss in enumerate(losses, start=1):
        if loss < losses[kept - 1]:
            kept = epoch
        if epoch - kept > patience:
            return kept, epoch
    return kept, len(losses)


# %% 04.4: no fixed loss is low or high
def diagnose(train_losses, val_losses, num_classes):
    if val_losses[-1] > 1.2 * min(val_losses):
        return "overfitting"
    if train_losses[-1] < 1.2:
        return "healthy"
    return "too slow" if train_losses[-5] - train_losses[-1] > 0.05 else "underfitting"


# %% 04.4: the last loss is hardly ever the lowest
def diagnose(train_losses, val_losses, num_classes):
    if val_losses[-1] > min(val_losses) * 1.0001:
        return "overfitting"
    if train_losses[-1] < 0.5 * np.log(num_classes):
        return "healthy"
    fell = train_losses[-5] - train_losses[-1]
    return "too slow" if fell > 0.03 * np.log(num_classes) else "underfitting"


# %% 04.4: still falling at the end
def diagnose(train_losses, val_losses, num_classes):
    if val_losses[-1] > 1.2 * min(val_losses):
        return "overfitting"
    return "healthy" if train_losses[-1] < 0.5 * np.log(num_classes) else "underfitting"


# %% 04.4: how far above it does the curve end
def diagnose(train_losses, val_losses, num_classes):
    if train_losses[-1] < 0.5 * np.log(num_classes):
        return "healthy"
    fell = train_losses[-5] - train_losses[-1]
    return "too slow" if fell > 0.03 * np.log(num_classes) else "underfitting"


# %% 04.4: is not one of the words
def diagnose(train_losses, val_losses, num_classes):
    return "bias" if train_losses[-1] > 0.5 * np.log(num_classes) else "variance"


# %% 04.5: the numbers do not show 'better'
my_study = {
    "change": "width=16 instead of 8",
    "baseline": [0.777, 0.768, 0.787, 0.780, 0.781],
    "changed": [0.782, 0.796, 0.788, 0.788, 0.776],
    "verdict": "better",
}

# %% 04.5: the numbers of the example
my_study = {
    "change": "width=16 instead of 8",
    "baseline": [0.71, 0.72, 0.73, 0.74, 0.75],
    "changed": [0.70, 0.72, 0.74, 0.76, 0.78],
    "verdict": "not decided",
}


# %% 04.5: look at the sign
my_study = {
    "change": "a quarter of the images",
    "baseline": [0.777, 0.768, 0.787, 0.780, 0.781],
    "changed": [0.739, 0.712, 0.711, 0.732, 0.723],
    "verdict": "better",
}

# %% 04.5: the runs show a difference
my_study = {
    "change": "batch norm",
    "baseline": [0.777, 0.768, 0.787, 0.780, 0.781],
    "changed": [0.796, 0.807, 0.801, 0.822, 0.790],
    "verdict": "not decided",
}

# %% 04.5: equality is not proven
my_study = {
    "change": "width=16 instead of 8",
    "baseline": [0.777, 0.768, 0.787, 0.780, 0.781],
    "changed": [0.782, 0.796, 0.788, 0.788, 0.776],
    "verdict": "no difference",
}

# %% 04.5: in percent
my_study = {
    "change": "batch norm",
    "baseline": [77.7, 76.8, 78.7, 78.0, 78.1],
    "changed": [79.6, 80.7, 80.1, 82.2, 79.0],
    "verdict": "better",
}

# %% 04.5: at least five
my_study = {
    "change": "batch norm",
    "baseline": [0.777],
    "changed": [0.796],
    "verdict": "better",
}

# %% 04.5: its own seed
my_study = {
    "change": "batch norm",
    "baseline": [0.777, 0.777, 0.777, 0.777, 0.777],
    "changed": [0.796, 0.796, 0.796, 0.796, 0.796],
    "verdict": "better",
}


# %% 04.4: compared with half of chance level
def diagnose(train_losses, val_losses, num_classes):
    if val_losses[-1] > 1.2 * min(val_losses):
        return "overfitting"
    if train_losses[-1] < 0.7 * np.log(num_classes):
        return "healthy"
    fell = train_losses[-5] - train_losses[-1]
    return "too slow" if fell > 0.03 * np.log(num_classes) else "underfitting"


# %% 04.5: analyze the differences
my_study = {
    "change": "learning rate 20 % higher",
    "baseline": [0.71, 0.74, 0.68, 0.77, 0.72],
    "changed": [0.72, 0.75, 0.692, 0.778, 0.731],
    "verdict": "not decided",
}

# %% 04.5: pairs need the same seeds
my_study = {
    "change": "learning rate 20 % higher",
    "baseline": [0.71, 0.74, 0.68, 0.77, 0.72],
    "changed": [0.72, 0.75, 0.692, 0.778, 0.731, 0.74],
    "verdict": "better",
}
