"""Fine-tuning on solar cells in the full protocol, beside the publication (Deitsch et al. 2019).

Each run is a four-fold cross-validation of all 2,624 cells with its own folds and seeds; every cell
is predicted once, by a model that was trained on the other 75 %. The first stages stay frozen, so
that their activations are computed once, for the images and for their flips. Epochs and learning
rate were selected on folds of the same cells, so the accuracies are slightly optimistic.
"""

import argparse
import copy

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import normalize, resize

from benchmarks.timing import Row, alternate, rows
from course_utils.catalog import prepare_dataset
from course_utils.datasets import InMemoryDataset, image_folder
from course_utils.evaluation import accuracy_interval
from course_utils.progress import progress
from course_utils.training import best_device
from course_utils.transfer import Backbone, build_backbone
from image_classifier.features import fold_batch_norm

EPOCHS, BATCH_SIZE, LEARNING_RATE, IMAGE_SIZE = 6, 32, 0.001, 224
FLIPS = ((), (2,), (3,), (2, 3))
PUBLISHED = 0.8842


def load_cells() -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Load images (count, 1, 300, 300), whether they are defective, and their type and label."""
    files = image_folder(prepare_dataset("solar-cells"), mode="L")
    images = InMemoryDataset.decode(files, v2.Identity()).images
    strata = [path.rsplit("cell", 1)[1].split("_", 1)[1] for path, _ in files.samples]
    return images, np.array(files.targets) == files.class_to_idx["defective"], np.array(strata)


@torch.inference_mode()
def activations(backbone: Backbone, images: Tensor) -> dict[int, Tensor]:
    """Compute what enters the last two stages (2) and the last three (3), for each flip.

    The last stage is the 1x1 convolution with pooling, as in the paper of EfficientNet. The values
    are float16, of shape (flips, count, channels, height, width).
    """
    device, net = best_device(), fold_batch_norm(backbone).net.to(best_device())
    front = nn.Sequential(net.conv_stem, net.bn1, *net.blocks[:-2])
    outputs = {2: [], 3: []}
    for batch in progress(images.split(32), "computing activations"):
        pixels = resize(batch.to(device), [IMAGE_SIZE, IMAGE_SIZE]).float() / 255
        pixels = normalize(
            pixels.expand(-1, 3, -1, -1), backbone.mean.tolist(), backbone.std.tolist()
        )
        entering = [front(pixels.flip(dims)) for dims in FLIPS]
        outputs[3].append(torch.stack(entering).half().cpu())
        outputs[2].append(torch.stack([net.blocks[-2](maps) for maps in entering]).half().cpu())
    return {stages: torch.cat(parts, dim=1) for stages, parts in outputs.items()}


def fine_tune(tail: nn.Module, maps: Tensor, targets: Tensor, train: Tensor) -> nn.Module:
    """Train a copy of the last stages and a new head on random flips."""
    head = nn.Linear(1280, 1)
    nn.init.zeros_(head.weight)
    model = nn.Sequential(copy.deepcopy(tail), nn.Flatten(), nn.Dropout(0.2), head)
    model = model.to(best_device(), memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * (len(train) // BATCH_SIZE)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, steps + 1, pct_start=0.2)
    for _ in range(EPOCHS):
        for batch in train[torch.randperm(len(train))].split(BATCH_SIZE):
            if len(batch) < BATCH_SIZE:
                break
            inputs = maps[torch.randint(len(FLIPS), batch.shape), batch]
            logits = model(inputs.to(best_device()).float())[:, 0]
            loss = F.binary_cross_entropy_with_logits(logits, targets[batch].to(logits))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def mean_outputs(net: nn.Module, maps: Tensor) -> np.ndarray:
    """Compute the outputs (count, values) of a network in eval mode, averaged over the flips."""
    batches = maps.flatten(0, 1).split(128)
    outputs = torch.cat([net(batch.to(best_device()).float()).cpu() for batch in batches])
    return outputs.view(len(FLIPS), maps.shape[1], -1).mean(dim=0).numpy()


def compare(options: argparse.Namespace) -> list[Row]:
    """Compare frozen features with fine-tuning of the last two stages and of the last three."""
    images, is_defective, strata = load_cells()
    backbone = build_backbone()
    net, targets = backbone.net, torch.from_numpy(is_defective)
    maps = activations(backbone, images)
    tails = {
        stages: nn.Sequential(*net.blocks[1 - stages :], net.conv_head, net.bn2, net.global_pool)
        for stages in maps
    }
    features = mean_outputs(tails[2].eval().to(best_device()), maps[2])
    logits: dict[str, list[np.ndarray]] = {}

    def run(name: str, stages: int) -> float:
        found = logits.setdefault(name, [])
        torch.manual_seed(len(found))
        folds = StratifiedKFold(4, shuffle=True, random_state=len(found)).split(strata, strata)
        out_of_fold = np.zeros(len(targets))
        for train, test in folds:
            if stages:
                model = fine_tune(tails[stages], maps[stages], targets, torch.from_numpy(train))
                out_of_fold[test] = mean_outputs(model, maps[stages][:, test])[:, 0]
            else:
                head = LogisticRegression(C=0.01, max_iter=1000)
                # Some features are 0 for almost all cells.
                model = make_pipeline(VarianceThreshold(1e-4), StandardScaler(), head)
                model.fit(features[train], is_defective[train])
                out_of_fold[test] = model.decision_function(features[test])
        found.append(out_of_fold)
        return float(((out_of_fold > 0) == is_defective).mean())

    names = {"frozen features": 0, "last two stages fine-tuned": 2, "last three fine-tuned": 3}
    contenders = {name: lambda name=name, stages=n: run(name, stages) for name, n in names.items()}
    values = alternate(contenders, options.long_rounds)
    notes = {name: summary(found, is_defective) for name, found in logits.items()}
    return rows("solar cells, out-of-fold accuracy", values, "accuracy", notes)


def summary(logits: list[np.ndarray], is_defective: np.ndarray) -> str:
    """Give the accuracy of the mean logits of all runs, with its interval."""
    correct = int(((np.mean(logits, axis=0) > 0) == is_defective).sum())
    low, high = accuracy_interval(correct, len(is_defective))
    share = correct / len(is_defective)
    return (
        f"mean of {len(logits)} runs: {share:.4f} ({low:.3f} to {high:.3f}); published {PUBLISHED}"
    )
