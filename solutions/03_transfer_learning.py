"""Solutions of notebook 03: the exercises, and what the predictions should have been."""

# %% 03.a
# Wilson's interval for 36 correct predictions of 40 goes from 0.769 to 0.960. A simpler formula
# gives almost the same: 2 · 1.96 · √(0.9 · 0.1 / 40) = 0.186. Most people guess much less.
guess_width = 0.19

# %% 03.b
# Good features place photographs of a class close to each other, so that one example is worth a
# lot: more than three times chance level.
guess_one = 0.6

# %% 03.c
# `strict=False` loads what has the same name on both sides, and the two programs have no name in
# common. A guess of 294 (everything but the head) expects torch to match shapes; it does not.
guess_loaded = 0

# %% 03.d
# ImageNet's numbers make the inputs about twice as large as in the training of the backbone;
# pixels that are not scaled are more than a hundred times too large. Neither is an error for torch.
guess_worse = "0 to 255"

# %% 03.e
# None, with this rate, four epochs and photographs that resemble ImageNet's. Some recipes are
# significantly worse, and the average recipe loses some points.
guess_better = 0


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


# %% 03.3
# Steps count from 0, so step + 1 of them have been taken; a rate of 0 would waste the first. `min`
# keeps the share at 1 once the warm-up is over.
def warm_up(step, peak, warmup):
    return peak * min((step + 1) / warmup, 1)


# %% 03.4
# The means are the only "parameters", and they are computed, not trained. With one image per class
# this is the nearest neighbor; with more, averaging removes what differs between the images.
def nearest_mean(features, labels, new_features):
    means = [features[labels == label].mean(dim=0) for label in range(int(labels.max()) + 1)]
    return torch.cdist(new_features, torch.stack(means)).argmin(dim=1)


# %% 03.5
# The first recipe of section 8 (head first, batch norm in eval mode, ratio 0.1) does harm here: it
# loses 25 disagreements and wins 11, p = 0.03. The log loss rises in every epoch, so the network
# overfits. An experiment: more images (`max_images`), or a lower rate. What is
# far from ImageNet need not gain from fine-tuning as it stands; only a measurement tells.
fashion_report = {
    "images": 720,
    "frozen features": 0.850,
    "fine-tuned": 0.831,
    "only frozen right": 25,
    "only fine-tuned right": 11,
    "pays off": "no",
}
