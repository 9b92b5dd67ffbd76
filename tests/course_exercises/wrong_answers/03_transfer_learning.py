"""Typical wrong answers to the exercises of notebook 03, each with a part of its hint."""


# %% 03.1: in the file and not in the network
def missing_names(own, given):
    return {name for name in given if name not in own}


# %% 03.1: these names are in both
def missing_names(own, given):
    return set(own) & set(given)


# %% 03.1: so they are not missing
def missing_names(own, given):
    return set(own) ^ set(given)


# %% 03.1: make it a set
def missing_names(own, given):
    return [name for name in own if name not in given]


# %% 03.1: it should be x.bias, x.weight
def missing_names(own, given):
    return {name for name in own if not any(name in other for other in given)}


# %% 03.2: without its dropout
def head_epoch(net, batches, optimizer):
    net.backbone.requires_grad_(False)
    net.train()
    net.eval()
    for pixels, labels in batches:
        loss = nn.functional.cross_entropy(net(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# %% 03.2: one step per batch
def head_epoch(net, batches, optimizer):
    net.train()
    net.backbone.requires_grad_(False).eval()
    pixels, labels = batches[0]
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(pixels), labels).backward()
    optimizer.step()
    return net


# %% 03.2: statistics of the batch
def head_epoch(net, batches, optimizer):
    net.backbone.requires_grad_(False)
    net.train()
    for layer in net.backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats = False
    for pixels, labels in batches:
        loss = nn.functional.cross_entropy(net(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# %% 03.2: another one may
def head_epoch(net, batches, optimizer):
    net.train()
    net.backbone.eval()
    for pixels, labels in batches:
        loss = nn.functional.cross_entropy(net(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# %% 03.2: the backbone should stay as it was
def head_epoch(net, batches, optimizer):
    net.backbone.requires_grad_(False)
    net.train()
    for pixels, labels in batches:
        loss = nn.functional.cross_entropy(net(pixels), labels)
        net.backbone.eval()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# %% 03.2: does not require grad
def head_epoch(net, batches, optimizer):
    net.requires_grad_(False)
    net.train()
    net.backbone.eval()
    for pixels, labels in batches:
        loss = nn.functional.cross_entropy(net(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# %% 03.2: it was not trained
def head_epoch(net, batches, optimizer):
    net.backbone.requires_grad_(False)
    net.train()
    net.backbone.eval()
    for pixels, labels in batches:
        loss = nn.functional.cross_entropy(net(pixels), labels)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
    return net


# %% 03.3: the first step changes nothing
def warm_up(step, peak, warmup):
    return peak * min(step / warmup, 1)


# %% 03.3: they should stay at 0.4
def warm_up(step, peak, warmup):
    return peak * (step + 1) / warmup


# %% 03.3: not later
def warm_up(step, peak, warmup):
    return peak * min((step + 1) / (warmup + 1), 1)


# %% 03.3: there is no warm-up
def warm_up(step, peak, warmup):
    return max(peak * min((step + 1) / warmup, 1), peak)


# %% 03.3: is not a number
def warm_up(step, peak, warmup):
    return [peak * min((number + 1) / warmup, 1) for number in range(step)]


# %% 03.4: the class whose mean is farthest
def nearest_mean(features, labels, new_features):
    means = [features[labels == k].mean(dim=0) for k in range(int(labels.max()) + 1)]
    return torch.cdist(new_features, torch.stack(means)).argmax(dim=1)


# %% 03.4: nearest single image
def nearest_mean(features, labels, new_features):
    return labels[torch.cdist(new_features, features).argmin(dim=1)]


# %% 03.4: the sum of each class
def nearest_mean(features, labels, new_features):
    sums = [features[labels == k].sum(dim=0) for k in range(int(labels.max()) + 1)]
    return torch.cdist(new_features, torch.stack(sums)).argmin(dim=1)


# %% 03.4: Which class has the smallest one?
def nearest_mean(features, labels, new_features):
    means = [features[labels == k].mean(dim=0) for k in range(int(labels.max()) + 1)]
    return torch.cdist(new_features, torch.stack(means))


# %% 03.4: the index of the class
def nearest_mean(features, labels, new_features):
    means = [features[labels == k].mean(dim=0) for k in range(int(labels.max()) + 1)]
    return torch.cdist(new_features, torch.stack(means)).amin(dim=1)


# %% 03.4: indices of images
def nearest_mean(features, labels, new_features):
    return torch.cdist(new_features, features).argmin(dim=1)


# %% 03.4: one label per new image
def nearest_mean(features, labels, new_features):
    means = [features[labels == k].mean(dim=0) for k in range(int(labels.max()) + 1)]
    return torch.cdist(new_features, torch.stack(means)).argmin(dim=0)


# %% 03.4: largest dot product
def nearest_mean(features, labels, new_features):
    means = [features[labels == k].mean(dim=0) for k in range(int(labels.max()) + 1)]
    return (new_features @ torch.stack(means).T).argmax(dim=1)


# %% 03.5: the example's numbers, from cutouts
fashion_report = {
    "images": 187,
    "frozen features": 0.914,
    "fine-tuned": 0.904,
    "only frozen right": 5,
    "only fine-tuned right": 3,
    "pays off": "cannot tell",
}

# %% 03.5: ten classes
fashion_report = {
    "images": 187,
    "frozen features": 0.8,
    "fine-tuned": 0.85,
    "only frozen right": 2,
    "only fine-tuned right": 7,
    "pays off": "cannot tell",
}

# %% 03.5: mixed up
fashion_report = {
    "images": 720,
    "frozen features": 0.75,
    "fine-tuned": 0.8,
    "only frozen right": 60,
    "only fine-tuned right": 24,
    "pays off": "no",
}

# %% 03.5: if both methods were equally good
fashion_report = {
    "images": 720,
    "frozen features": 0.75,
    "fine-tuned": 0.76,
    "only frozen right": 30,
    "only fine-tuned right": 37,
    "pays off": "yes",
}

# %% 03.5: should be between 0 and 1
fashion_report = {
    "images": 720,
    "frozen features": 75.0,
    "fine-tuned": 80.0,
    "only frozen right": 24,
    "only fine-tuned right": 60,
    "pays off": "yes",
}
