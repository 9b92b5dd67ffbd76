"""Features of images of 224 px from EfficientNet-Lite0: the slowest cell of many courses."""

import argparse
import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import Row, alternate, rows, seconds
from course_utils.training import amp_dtype
from course_utils.transfer import build_backbone, extract_features

COUNT = 1000


def compare(options: argparse.Namespace) -> list[Row]:
    """Compare the plain forward pass with what `extract_features` does."""
    torch.manual_seed(0)
    images = torch.randn(COUNT, 3, 224, 224)
    loader = DataLoader(TensorDataset(images, torch.zeros(COUNT, dtype=torch.int64)), 32)
    backbone = build_backbone()
    plain_net = copy.deepcopy(backbone.net).to(memory_format=torch.contiguous_format)

    def plain(net: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([net(batch) for batch, _ in loader])

    contenders: dict[str, Callable[[], object]] = {
        "plain forward pass": lambda: plain(plain_net),
        "extract_features (channels last)": lambda: extract_features(backbone, loader),
        "extract_features, fast": lambda: extract_features(backbone, loader, fast=True),
    }
    values = alternate(
        {name: lambda work=work: COUNT / seconds(work)() for name, work in contenders.items()},
        options.rounds,
    )
    wanted, found = plain(plain_net), extract_features(backbone, loader, fast=True).tensors[0]
    away = ((found - wanted).norm() / wanted.norm()).item()
    notes = {
        "extract_features, fast": f"{away:.1e} away, relative to the length of the features; "
        f"short numbers: {amp_dtype(torch.device('cpu'))}"
    }
    return rows(f"features of {COUNT} images of 224 px", values, "images/s", notes)
