"""Reference implementations: code as in popular tutorials."""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.models.resnet import BasicBlock

Curve = Iterator[tuple[float, float]]  # seconds of training so far, accuracy on the test set


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


def resnet8() -> nn.Module:
    """Build the ResNet-8 of CIFAR tutorials: three stages of one block, 16 to 64 channels."""
    width = 16

    def halve(before: int, after: int) -> BasicBlock:
        conv = nn.Conv2d(before, after, 1, 2, bias=False)
        return BasicBlock(before, after, 2, nn.Sequential(conv, nn.BatchNorm2d(after)))

    return nn.Sequential(
        nn.Conv2d(3, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        BasicBlock(width, width),
        halve(width, 2 * width),
        halve(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    )


def train(
    net: nn.Module,
    train_set: datasets.VisionDataset,
    test_set: datasets.VisionDataset,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    epochs: int,
) -> Curve:
    """Train as tutorials do, with a loader that opens images one by one, and a plain loop.

    Yields:
        After each epoch, the seconds of training so far (without evaluation) and the accuracy.
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
    """Compute the accuracy of a network."""
    net.eval()
    correct = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in loader)
    return correct / len(loader.dataset)


def train_on_fashion_mnist(root: Path, epochs: int) -> Curve:
    """Train the tutorials' network on FashionMNIST(root) with Adam and batches of 32."""
    to_tensor = transforms.ToTensor()
    train_set = datasets.FashionMNIST(root, train=True, transform=to_tensor)
    test_set = datasets.FashionMNIST(root, train=False, transform=to_tensor)
    net = tutorial_cnn()
    return train(net, train_set, test_set, torch.optim.Adam(net.parameters()), 32, epochs)


def train_on_cifar10(root: Path, epochs: int) -> Curve:
    """Train ResNet-8 on root/train and root/test, with SGD at 0.01 and batches of 128."""
    normalize = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))
    plain = transforms.Compose([transforms.ToTensor(), normalize])
    augmented = transforms.Compose(
        [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), plain]
    )
    net = resnet8()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    train_set = datasets.ImageFolder(root / "train", augmented)
    return train(net, train_set, datasets.ImageFolder(root / "test", plain), optimizer, 128, epochs)
