"""A vision transformer beside a CNN of equal parameters, on all of Fashion-MNIST.

The networks of notebook 11, with its recipe, more images and more updates.
"""

import argparse

import timm
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.transforms import v2

from benchmarks.timing import Row
from benchmarks.to_accuracy import Clock, Curve, compare_runs, load_fashion_mnist
from course_utils import training
from course_utils.datasets import InMemoryDataset, make_loader
from course_utils.models import ConvBlock
from course_utils.statistics import mean_and_std
from course_utils.transforms import BatchRandomCrop, BatchRandomHorizontalFlip, scale_and_normalize

EPOCHS, BATCH_SIZE = 10, 64


def small_vit() -> nn.Module:
    """Build the transformer of notebook 11 with its initial weights."""
    size = {"img_size": 28, "patch_size": 7, "in_chans": 1, "num_classes": 10}
    shape = {"embed_dim": 48, "depth": 4, "num_heads": 4, "mlp_ratio": 2}
    net = timm.create_model("vit_tiny_patch16_224", pretrained=False, **size, **shape)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()  # timm's weights are smaller
    nn.init.normal_(net.pos_embed, std=0.5)
    nn.init.normal_(net.cls_token, std=0.02)
    return net


def small_cnn() -> nn.Module:
    """Build the CNN of notebook 11, with about as many parameters as the transformer."""
    width = 25
    return nn.Sequential(
        ConvBlock(1, width, stride=2),
        ConvBlock(width, 2 * width, stride=2),
        ConvBlock(2 * width, 2 * width),
        ConvBlock(2 * width, 4 * width, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )


def train(name: str, net: nn.Module, rate: float, sets: dict[str, InMemoryDataset]) -> Curve:
    """Train with warm-up, cosine decay, flips and shifts."""
    normalize = scale_and_normalize(*mean_and_std(make_loader(sets["train"], 500)))
    crop = BatchRandomCrop(sets["train"].images.shape[-1], 2)
    augment = v2.Compose([BatchRandomHorizontalFlip(), crop, normalize])
    train_set, test_set = (
        InMemoryDataset(part.images, part.targets, part.classes, batch_transform=transform)
        for part, transform in ((sets["train"], augment), (sets["test"], normalize))
    )
    loader = make_loader(train_set, BATCH_SIZE, shuffle=True, seed=torch.initial_seed() % 2**31)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.05)
    steps = EPOCHS * len(loader)
    schedule = OneCycleLR(optimizer, rate, steps + 1, pct_start=0.2, cycle_momentum=False)
    clock = Clock(name)
    options = {"scheduler": schedule, "schedule_every": "batch", "callbacks": [clock]}
    training.fit(net, loader, make_loader(test_set, 500), optimizer, EPOCHS, **options)
    return clock.curve


def compare(options: argparse.Namespace) -> list[Row]:
    """Train both with the same seeds and number of updates."""
    sets = load_fashion_mnist(options.fashion_mnist)
    contenders = {
        "CNN": lambda: train("CNN", small_cnn(), 0.02, sets),
        "vision transformer": lambda: train("vision transformer", small_vit(), 0.004, sets),
    }
    title = "Fashion-MNIST, about 80,000 parameters"
    return compare_runs(title, contenders, options.long_rounds)
