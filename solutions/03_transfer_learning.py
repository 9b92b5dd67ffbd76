"""Solutions of notebook 03: the exercises, and the answers to the predictions."""

# %% 03.a
# Wilson's interval for 36 correct predictions of 40 is 0.769 to 0.960. The normal approximation
# gives almost the same width: 2 · 1.96 · √(0.9 · 0.1 / 40) = 0.186.
guess_width = 0.19

# %% 03.b
# Good features place photographs of a class close to each other, so one example per class is enough
# for more than three times chance level.
guess_one = 0.6

# %% 03.c
# `strict=False` loads the tensors whose names are the same on both sides, and these two have no
# name in common. A guess of 294 (all but the head) assumes that torch matches shapes; it does not.
guess_loaded = 0

# %% 03.d
# ImageNet's numbers make the inputs about twice as large as in the training of the backbone;
# unscaled pixels are more than a hundred times too large. torch raises an error for neither.
guess_worse = "0 to 255"

# %% 03.e
# None, with this rate, four epochs and photographs that resemble ImageNet's. Some recipes are
# significantly worse, and the mean of all recipes is about three points lower.
guess_better = 0


# %% 03.1
# Missing are the names that the network has and the file does not, so go through the names of the
# network. `own.keys() - given.keys()` gives the same set.
def missing_names(own, given):
    return {name for name in own if name not in given}


# %% 03.2
# The order matters. `net.train()` sets all parts to train mode, including the backbone, so the
# backbone must be set to eval mode afterwards. With `requires_grad_(False)` alone, the weights
# stay, but batch norm uses the statistics of each batch and updates its running mean and variance.
def head_epoch(net, batches, optimizer):
    net.backbone.requires_grad_(False)
    net.train()
    net.backbone.eval()
    for pixels, labels in batches:
        loss = nn.functional.cross_entropy(net(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


# %% 03.3
# Steps count from 0, so the first rate is 1 / warmup of the peak; a rate of 0 would waste a step.
# `min` keeps the factor at 1 after the warm-up.
def warm_up(step, peak, warmup):
    return peak * min((step + 1) / warmup, 1)


# %% 03.4
# The means are the only "parameters", and they are computed, not trained. With one image per class,
# this is the nearest neighbor; with more, averaging reduces the differences between images.
def nearest_mean(features, labels, new_features):
    means = [features[labels == label].mean(dim=0) for label in range(int(labels.max()) + 1)]
    return torch.cdist(new_features, torch.stack(means)).argmin(dim=1)


# %% 03.5
# The first recipe of section 8 (head first, batch norm in eval mode, ratio 0.1) does harm here: 25
# images are correct only with frozen features, 11 only after fine-tuning, p = 0.03. The log loss
# rises in every epoch, so the network overfits. An experiment: more images (`max_images`), or a
# lower rate. On images far from ImageNet, fine-tuning need not help; only a measurement shows it.
fashion_report = {
    "images": 720,
    "frozen features": 0.850,
    "fine-tuned": 0.831,
    "only frozen right": 25,
    "only fine-tuned right": 11,
    "pays off": "no",
}
