"""Benchmark of extracting features of 1,000 images of 224 px with EfficientNet-Lite0."""

import argparse
import copy
from functools import partial

import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import Row, alternate, rows, seconds
from course_utils.training import amp_dtype, mixed_precision
from course_utils.transfer import build_backbone, extract_features
from image_classifier.features import fold_batch_norm

COUNT = 1000


def compare(options: argparse.Namespace) -> list[Row]:
    """Compare a plain forward pass with two ways of extracting features."""
    torch.manual_seed(0)
    images = torch.randn(COUNT, 3, 224, 224)
    loader = DataLoader(TensorDataset(images, torch.zeros(COUNT, dtype=torch.int64)), 32)
    backbone = build_backbone()
    plain_net = copy.deepcopy(backbone.net).to(memory_format=torch.contiguous_format)

    def plain() -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([plain_net(batch) for batch, _ in loader])

    folded = fold_batch_norm(backbone)

    @torch.no_grad()
    def fast() -> torch.Tensor:
        with mixed_precision(torch.device("cpu")):
            return torch.cat([folded(batch).float() for batch, _ in loader])

    contenders = {
        "plain forward pass": plain,
        "extract_features (channels last)": partial(extract_features, backbone, loader),
        "folded batch norm, mixed precision": fast,
    }
    values = alternate(
        {name: lambda work=work: COUNT / seconds(work) for name, work in contenders.items()},
        options.rounds,
    )
    expected, found = plain(), fast()
    error = ((found - expected).norm() / expected.norm()).item()
    note = f"relative error {error:.1e} with {amp_dtype(torch.device('cpu'))}"
    title = f"features of {COUNT} images of 224 px"
    return rows(title, values, "images/s", {"folded batch norm, mixed precision": note})
