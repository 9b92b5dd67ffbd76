"""Parts of the report: the data, changes since the last report, and explained mistakes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from course_utils import evaluation as metrics
from course_utils import plots
from image_classifier.grad_cam import grad_cam
from image_classifier.model import ImageClassifier

EXPLAINED = 12  # mistakes with an attribution map
KINDS = {"train": "training", "val": "validation", "test": "test"}


def image_counts(output: Path, classifier: ImageClassifier, table: pd.DataFrame) -> pd.DataFrame:
    """Count the evaluated images of each class, and those of each set if there is a `split.csv`.

    `table` has the columns of `predictions.csv`. A `split.csv` that is damaged or belongs to
    another classifier is ignored.
    """
    counts = pd.DataFrame(index=pd.Index(classifier.classes, name="class"))
    split = _read_csv(output / "split.csv", ["class", "set", "digest"])
    used = split.loc[split["set"] != "test", "digest"]
    if len(used) and sorted(set(used)) == classifier.trained_on:
        sets = pd.crosstab(split["class"], split["set"])
        counts = sets.reindex(index=counts.index, columns=list(KINDS), fill_value=0).rename(
            columns=KINDS
        )
    evaluated = table["class"].value_counts()
    counts["evaluated"] = evaluated.reindex(counts.index, fill_value=0)
    total = counts.sum().to_frame("all classes").T  # a class may have this name, too
    return pd.concat([counts, total]).rename_axis("class")


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read columns as text; a missing or damaged file counts as empty."""
    try:  # a class may be called NA
        return pd.read_csv(path, dtype=str, keep_default_na=False)[columns]
    except (OSError, ValueError, KeyError):
        return pd.DataFrame(columns=columns, dtype=str)


def read_results(output: Path) -> tuple[pd.Series, pd.DataFrame] | None:
    """Read the results of the last report in a folder; None if they are missing or damaged."""
    try:
        values = json.loads((output / "metrics.json").read_text("utf-8"))
        values = pd.Series({name: float(value) for name, value in values.items()})
        list(_results(values))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    table = _read_csv(output / "predictions.csv", ["file", "class", "predicted"])
    return values, table.drop_duplicates("file")


def _results(values: pd.Series) -> list[str]:
    """Format the metrics that are compared."""
    with_interval = "{0:.3f} ({1:.3f} to {2:.3f})"
    return [
        f"{values['images']:.0f}",
        *(
            with_interval.format(values[name], values[f"{name} low"], values[f"{name} high"])
            for name in ("accuracy", "macro F1")
        ),
    ]


def compare(
    before: tuple[pd.Series, pd.DataFrame], values: pd.Series, table: pd.DataFrame
) -> tuple[pd.DataFrame, str]:
    """Compare with the last report: metrics of both, and a McNemar test on the common images."""
    rows = ["images", "accuracy (95 % interval)", "macro F1 (95 % interval)"]
    changes = pd.DataFrame({"before": _results(before[0]), "now": _results(values)}, index=rows)
    both = before[1].merge(table, on=["file", "class"], suffixes=(" before", ""))
    if both.empty:
        return changes, (
            "No image is in both reports with the same class: a difference may be due to different "
            "images."
        )
    was, is_now = both["predicted before"] == both["class"], both["predicted"] == both["class"]
    p_value = metrics.mcnemar(np.ones(len(both)), was.astype(int), is_now.astype(int))
    return changes, (
        f"Of the {len(both)} images that are in both reports with the same class, "
        f"{(~was & is_now).sum()} changed from wrong to correct and "
        f"{(was & ~is_now).sum()} from correct to wrong (exact McNemar test: p = {p_value:.2g})."
    )


class _LogitDifferences(nn.Module):
    """The difference of each pair of logits; column `first * classes + second`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        return (logits[:, :, None] - logits[:, None, :]).flatten(1)


def attribute(classifier: ImageClassifier, images: Tensor, mistakes: pd.DataFrame) -> Tensor | None:
    """Compute Grad-CAM maps of the evidence for the predicted class rather than the true one.

    `images` are inputs of `classifier`, `mistakes` come from `evaluation.misclassified`. Returns
    maps of shape (count, height, width), or None if they cannot be computed.
    """
    pairs = mistakes["predicted"] * len(classifier.classes) + mistakes["true"]
    images = classifier.normalize(images.to(classifier.mean.device))
    try:
        net = _LogitDifferences(classifier.net)
        return grad_cam(net, images, torch.tensor(pairs.to_numpy()))
    except (RuntimeError, ValueError):  # out of memory, or no feature maps
        return None


def save_mistakes(
    output: Path, classifier: ImageClassifier, files: Sequence[str], mistakes: pd.DataFrame
) -> dict:
    """Save the most confident mistakes, each beside its attribution map.

    Returns:
        For the template: the images, and limit and colors of the color bar if there are maps.
    """
    for path in output.glob("mistake-[0-9][0-9].jpg"):  # of an earlier report
        path.unlink()
    mistakes = mistakes.head(EXPLAINED)
    if mistakes.empty:
        return {"images": []}
    images = torch.stack([classifier.load(files[index]) for index in mistakes.index])
    maps = attribute(classifier, images, mistakes)
    limit = None if maps is None else float(maps.max())
    shown = []
    for number, row in enumerate(mistakes.itertuples()):
        pixels, alt = images[number].permute(1, 2, 0).numpy(), "A misclassified image."
        if limit is not None:
            pixels = np.hstack([pixels, plots.overlay(images[number], maps[number], limit)])
            alt = f"A misclassified image and its attribution map: {_place(maps[number])}."
        file = f"mistake-{number + 1:02}.jpg"
        Image.fromarray(pixels).save(output / file, quality=90)
        height, width = pixels.shape[:2]
        names = [classifier.classes[index] for index in (row.true, row.predicted)]
        shown.append(
            {"file": file, "alt": alt, "width": width, "height": height, "true": names[0],
             "predicted": names[1], "probability": row.probability}
        )  # fmt: skip
    ramp = plots.overlay(np.full((1, 9), 0.5), torch.linspace(0, 1, 9)[None])[0]
    colors = ", ".join(f"rgb({red}, {green}, {blue})" for red, green, blue in ramp)
    return {"images": shown, "limit": limit, "colors": colors}


def _place(attribution: Tensor) -> str:
    """Describe where a map (height, width) is largest."""
    if attribution.max() <= 0:
        return "no evidence"
    row, column = divmod(int(attribution.argmax()), attribution.shape[1])
    down, right = row / attribution.shape[0], column / attribution.shape[1]
    return f"most evidence {down:.0%} from the top and {right:.0%} from the left"
