"""The ablation of notebook 03: fine-tune with all combinations of five factors.

`python -m benchmarks.fine_tuning` fine-tunes the last two stages of EfficientNet-Lite0 on the 187
photographs of cutouts. The earlier stages stay frozen, so that their activations are computed once.
Each row is a cross-validation: five runs with different seeds, one per fold. The best learning rate
is selected on the same predictions, so its accuracy is optimistic; if it is at the edge of its grid
(at_edge), a rate outside the grid may be better.
"""

import argparse
from itertools import product

import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_utils.datasets import load_in_memory
from course_utils.evaluation import mcnemar
from course_utils.paths import output_folder
from course_utils.training import seed_everything
from course_utils.transfer import build_backbone
from course_utils.transforms import scale_and_normalize

BATCH = 16
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)
FACTORS = {
    "optimizer": ["SGD", "AdamW"],
    "head first": [True, False],  # trained on frozen features before the last stages
    "batch norm": ["eval mode", "train mode"],
    "ratio": [0.1, 1.0],  # of the backbone's learning rate to that of the head
}
GRIDS = {"SGD": [0.001, 0.01, 0.1], "AdamW": [1e-4, 1e-3, 1e-2, 1e-1]}


def split_backbone() -> tuple[nn.Module, nn.Module]:
    """Split the network into the stages that stay frozen and the last two."""
    net = build_backbone().net
    early = nn.Sequential(net.conv_stem, net.bn1, *net.blocks[:-1])
    return early.eval(), nn.Sequential(net.blocks[-1], net.conv_head, net.bn2, net.global_pool)


@torch.no_grad()
def load_maps(image_size: int) -> tuple[Tensor, Tensor]:
    """Compute activations (count, 2, channels, height, width), with those of flipped images."""
    parts = load_in_memory("cutouts", image_size, mode="RGB").values()
    backbone, (early, _) = build_backbone(), split_backbone()
    normalize = scale_and_normalize(backbone.mean, backbone.std)
    images = normalize(torch.cat([part.images for part in parts]))
    maps = [torch.cat([early(b) for b in x.split(32)]) for x in (images, images.flip(3))]
    return torch.stack(maps, dim=1), torch.cat([part.targets for part in parts])


def make_optimizer(recipe: dict, tail: nn.Module, head: nn.Module) -> torch.optim.Optimizer:
    """Create an optimizer with separate learning rates for the last stages and the head."""
    groups = [
        {"params": tail.parameters(), "lr": recipe["rate"] * recipe["ratio"]},
        {"params": head.parameters(), "lr": recipe["rate"]},
    ]
    if recipe["optimizer"] == "SGD":
        return torch.optim.SGD(groups, momentum=0.9, weight_decay=1e-4)
    return torch.optim.AdamW(groups, weight_decay=0.01)


def train_head(tail: nn.Module, head: nn.Linear, maps: Tensor, targets: Tensor) -> None:
    """Train the head on the features of the frozen network."""
    with torch.no_grad():
        features = tail.eval()(maps[:, 0])
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.001, weight_decay=0.01)
    for _ in range(100):
        loss = cross_entropy(head(features), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def fine_tune(maps: Tensor, targets: Tensor, recipe: dict, epochs: int) -> nn.Module:
    """Train the last two stages and a new head."""
    _, tail = split_backbone()
    head = nn.Linear(1280, int(targets.max()) + 1)
    if recipe["head first"]:
        train_head(tail, head, maps, targets)
    net = nn.Sequential(tail, nn.Dropout(0.2), head).to(memory_format=torch.channels_last).train()
    if recipe["batch norm"] == "eval mode":
        for layer in tail.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval().requires_grad_(False)
    optimizer = make_optimizer(recipe, tail, head)
    steps = len(maps) // BATCH  # a last batch of one image would give batch norm poor statistics
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=epochs * steps + 1,
        pct_start=0.2,
    )
    for _ in range(epochs):
        for chosen in torch.randperm(len(maps))[: steps * BATCH].split(BATCH):
            flipped = torch.randint(2, (BATCH,))
            loss = cross_entropy(net(maps[chosen, flipped]), targets[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def out_of_fold(maps: Tensor, targets: Tensor, recipe: dict, epochs: int) -> Tensor:
    """Predict each image with a network that was not trained on it."""
    predictions = torch.empty_like(targets)
    for seed, (train, test) in enumerate(FOLDS.split(targets, targets)):
        seed_everything(seed)
        net = fine_tune(maps[train], targets[train], recipe, epochs)
        with torch.no_grad():
            predictions[test] = net(maps[test, 0]).argmax(dim=1)
    return predictions


@torch.no_grad()
def out_of_fold_frozen(maps: Tensor, targets: Tensor) -> Tensor:
    """Predict each image with logistic regression on frozen features, in the same folds."""
    features = split_backbone()[1].eval()(maps[:, 0])
    head = LogisticRegression(max_iter=1000)
    return torch.from_numpy(cross_val_predict(head, features.numpy(), targets.numpy(), cv=FOLDS))


def best_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Select the most accurate rate of each recipe; at_edge marks rates at the edge of the grid."""
    best = table.loc[table.groupby(list(FACTORS), sort=False)["accuracy"].idxmax()]
    edges = best["optimizer"].map(lambda name: (GRIDS[name][0], GRIDS[name][-1]))
    pairs = zip(best["rate"], edges, strict=True)
    return best.assign(at_edge=[rate in edge for rate, edge in pairs])


def main() -> None:
    """Run the ablation; print each row as it is measured, and write the table at the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fine_tuning", description=__doc__)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--optimizers", nargs="+", choices=GRIDS, default=list(GRIDS))
    options = parser.parse_args()
    maps, targets = load_maps(options.image_size)
    frozen = out_of_fold_frozen(maps, targets)
    print(f"frozen features: {(frozen == targets).float().mean():.3f}", flush=True)
    rows = []
    for values in product(options.optimizers, *list(FACTORS.values())[1:]):
        recipe = dict(zip(FACTORS, values, strict=True))
        for rate in GRIDS[recipe["optimizer"]]:
            recipe["rate"] = rate
            found = out_of_fold(maps, targets, recipe, options.epochs)
            accuracy = (found == targets).float().mean().item()
            rows.append(recipe | {"accuracy": accuracy, "p": mcnemar(targets, frozen, found)})
            print(*rows[-1].values(), flush=True)
    table = pd.DataFrame(rows)
    name = "-".join(["fine_tuning", *options.optimizers])
    table.to_csv(output_folder("bench") / f"{name}.csv", index=False)
    print(best_rates(table).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
