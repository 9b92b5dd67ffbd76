"""The other side of each comparison: the way popular tutorials do it, plainly written."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def tutorial_cnn() -> nn.Module:
    """Build the network of many Fashion-MNIST tutorials: two convolutions, one hidden layer."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 5 * 5, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


class ResNet8(nn.Module):
    """The ResNet-8 of the CIFAR tutorials: three stages of one block, 16 to 64 channels."""

    class Block(nn.Module):
        """Two convolutions and a way around them."""

        def __init__(self, before: int, after: int, stride: int) -> None:
            """Build the layers."""
            super().__init__()
            self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(after)
            self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(after)
            self.shortcut = nn.Sequential()
            if before != after:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
                )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Compute the block."""
            out = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(out + self.shortcut(x))

    def __init__(self, width: int = 16) -> None:
        """Build the network."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            self.Block(width, width, 1),
            self.Block(width, 2 * width, 2),
            self.Block(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits."""
        return self.layers(x)


Curve = Iterator[tuple[float, float]]  # seconds of training so far, accuracy on the test set


def train(
    net: nn.Module,
    train_set: datasets.VisionDataset,
    test_set: datasets.VisionDataset,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    epochs: int,
) -> Curve:
    """Train as tutorials do: a loader that opens images one by one, and a loop.

    Args:
        net: Changed in place.
        train_set: Of torchvision, with per-image transforms.
        test_set: Likewise.
        optimizer: Holds the parameters of `net`.
        batch_size: For training.
        epochs: How many at most.

    Yields:
        After each epoch, the seconds of all training so far (without measuring) and the accuracy.
    """
    train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
    test_loader = DataLoader(test_set, batch_size=256)
    loss_fn = nn.CrossEntropyLoss()
    spent = 0.0
    for _ in range(epochs):
        start = time.perf_counter()
        net.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = loss_fn(net(images), labels)
            loss.backward()
            optimizer.step()
        spent += time.perf_counter() - start
        yield spent, accuracy(net, test_loader)


@torch.no_grad()
def accuracy(net: nn.Module, loader: DataLoader) -> float:
    """Measure the share of right answers."""
    net.eval()
    right = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in loader)
    return right / len(loader.dataset)


def train_on_fashion_mnist(root: Path, epochs: int) -> Curve:
    """Train the tutorial's network on Fashion-MNIST with Adam and batches of 32.

    Args:
        root: The folder that holds FashionMNIST/raw/.
        epochs: How many at most.
    """
    to_tensor = transforms.ToTensor()
    parts = [datasets.FashionMNIST(root, part, transform=to_tensor) for part in (True, False)]
    net = tutorial_cnn()
    return train(net, *parts, torch.optim.Adam(net.parameters()), 32, epochs)


def train_on_cifar10(root: Path, epochs: int) -> Curve:
    """Train ResNet-8 on a folder of images, with SGD at 0.01 and batches of 128.

    Args:
        root: The folder that holds train/ and test/, with one subfolder a class in each.
        epochs: How many at most.
    """
    normalize = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))
    plain = transforms.Compose([transforms.ToTensor(), normalize])
    augmented = transforms.Compose(
        [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), plain]
    )
    net = ResNet8()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    train_set = datasets.ImageFolder(root / "train", augmented)
    return train(net, train_set, datasets.ImageFolder(root / "test", plain), optimizer, 128, epochs)
