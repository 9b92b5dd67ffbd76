"""Solutions of notebook 03: the exercises, and what the predictions should have been."""

# %% 03.a
# Wilson's interval for 36 correct predictions of 40 goes from 0.769 to 0.960. A simpler formula
# gives almost the same: 2 · 1.96 · √(0.9 · 0.1 / 40) = 0.186. Most people guess much less.
guess_width = 0.19

# %% 03.b
# Only the last layer has a different shape: it has one row per class. A linear layer has two
# tensors, its weight and its bias; how many numbers are in them does not matter.
guess_left = 2

# %% 03.c
# ImageNet's numbers make the values about twice as large as the network knows them; pixels that
# are not divided by 255 make them hundreds of times too large. Neither is an error for torch.
guess_worse = "0 to 255"


# %% 03.1
# Missing is what the network asks for and the file does not have, so one walks through the names
# of the network. `own.keys() - given.keys()` says the same.
def missing_names(own, given):
    return {name for name in own if name not in given}


# %% 03.2
# The order is what matters. `net.train()` switches every part to train mode, the backbone too, so
# it must be put back to eval mode afterwards. With `requires_grad_(False)` alone the weights
# stay, but batch norm uses the statistics of each batch, and moves its running mean and variance.
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


# %% 03.d
# The head has 1,280 · 6 + 6 = 7,686, the convolution 320 · 1,280 = 409,600. The batch norm layer
# has 2 · 1,280 more, but batch norm stays frozen.
guess_learning = 417_286


# %% 03.3
# Steps count from 0, so step + 1 of them have been taken; a rate of 0 would waste the first. `min`
# keeps the share at 1 once the warm-up is over.
def warm_up(step, peak, warmup):
    return peak * min((step + 1) / warmup, 1)


# %% 03.4
# At the settings of the notebook fine-tuning does harm here: it loses 41 disagreements and wins 17.
# Between equally good methods, a split that uneven has a probability of 0.002. Augmented copies
# with black edges instead of white ones (fill=0) do not change this: 40 to 22. What is far from
# ImageNet need not gain from fine-tuning as it stands; only a measurement tells.
fashion_report = {
    "images": 720,
    "frozen features": 0.851,
    "fine-tuned": 0.818,
    "only frozen right": 41,
    "only fine-tuned right": 17,
    "pays off": "no",
}

# %% 03.5
# Our example is a folder with three of the six classes of cutouts: your numbers will differ. The
# interval starts at 0.669, far above 26 / 72 = 0.361. The curve still rises by 0.014, but with a
# std of 0.169 such a step may be luck: one cannot tell whether more photographs would help.
photo_report = {
    "counts": {"flowers": 24, "fruit": 26, "vegetables": 22},
    "frozen features": 0.778,
    "beats baseline": "yes",
    "curve": {8: (0.787, 0.151), 12: (0.801, 0.169)},
    "more photographs": "cannot tell",
}
