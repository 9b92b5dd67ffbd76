"""The figures of the course.

>>> from course_utils import plots
>>> plots.show(plots.training_curves(history.frame))

Each function returns a Figure whose label is its alt text. Images are PIL images, or tensors of
shape (channels, height, width) with 1 or 3 channels, uint8 from 0 to 255 or floating point from 0
to 1; arrays have the channels last.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib import colormaps
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from course_utils.errors import DataError
from course_utils.image_io import load_image

PALETTE = "colorblind"
COLORS = sns.color_palette(PALETTE)
IMAGE_DPI = 72  # keeps notebooks with many images small
MAX_ANNOTATED = 25  # classes of a confusion matrix; with more, the numbers would be illegible

Images = Tensor | Sequence
_subplots = partial(plt.subplots, layout="constrained")


def show(figure: Figure, alt: str | None = None) -> None:
    """Display a figure in a notebook and close it; its label is the default alt text."""
    alt = alt or figure.get_label()
    if not alt:
        raise ValueError("A figure needs an alt text: show(figure, 'what it shows').")
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def _finish(figure: Figure, alt: str) -> Figure:
    """Set the alt text and turn off math text: a class name may contain $."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    figure.set_label(alt)
    return figure


def image_grid(
    images: Images, titles: Sequence[str] = (), title: str = "", columns: int = 8, size: float = 1.2
) -> Figure:
    """Draw a grid of images, `size` inches each, with a title for each image and for the figure."""
    columns = max(1, min(columns, len(images)))
    rows = max(1, math.ceil(len(images) / columns))
    height = size * (1.25 if titles else 1.05)
    height += 0.13 * max((text.count("\n") for text in titles), default=0)
    figsize = (columns * size, rows * height + 0.4)
    figure, axes = _subplots(rows, columns, figsize=figsize, squeeze=False, dpi=IMAGE_DPI)
    for axis in axes.flat:
        axis.set_axis_off()
    pairs = zip(images, titles or [""] * len(images), strict=True)
    for axis, (image, text) in zip(axes.flat, pairs, strict=False):
        _draw(axis, image)
        axis.set_title(text, fontsize=8)
    figure.suptitle(title, fontsize=11)
    captions = ", ".join(dict.fromkeys(map(_one_line, titles)))
    count = "One image" if len(images) == 1 else f"{len(images)} images"
    count += f" in {rows} rows" if rows > 1 else ""
    return _finish(figure, f"{count}. {title}: {captions}." if captions else f"{count}. {title}.")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _pixels(image: object) -> tuple[np.ndarray, int]:
    """Return pixels of shape (height, width) or (height, width, 3), and the value of white."""
    if isinstance(image, Tensor):
        image = image.detach().cpu().permute(1, 2, 0).numpy()
        image = image[:, :, 0] if image.shape[2] == 1 else image
    pixels = np.asarray(image)
    return pixels, 255 if pixels.dtype == np.uint8 else 1


def _draw(axis: plt.Axes, image: object) -> None:
    pixels, white = _pixels(image)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=white, interpolation="nearest")


def overlay(image: object, attribution: Tensor, limit: float | None = None) -> np.ndarray:
    """Overlay an attribution map (height, width) on the grayscale version of an image.

    Negative values are set to 0; `limit`, by default the maximum, gets the brightest color. Returns
    uint8 of shape (height, width, 3).
    """
    pixels, white = _pixels(image)
    gray = (pixels @ [0.299, 0.587, 0.114] if pixels.ndim == 3 else pixels) / white
    strength = attribution.detach().float().cpu().clamp(min=0).numpy()
    limit = strength.max() if limit is None else limit
    strength = np.minimum(strength / limit, 1) if limit > 0 else strength
    colors = colormaps["inferno"](strength)[:, :, :3]
    weight = 0.15 + 0.6 * strength[:, :, None]
    mixed = (1 - weight) * gray[:, :, None] + weight * colors
    return (255 * mixed).round().clip(0, 255).astype(np.uint8)


def class_distribution(counts: pd.DataFrame, title: str = "Images per class") -> Figure:
    """Draw the number of images per class; `counts` has a row per class and a column per split."""
    long = counts.rename_axis("class").reset_index().melt("class", var_name="set")
    figure, axis = _subplots(figsize=(8, 3.6))
    sns.barplot(long, x="class", y="value", hue="set", palette=PALETTE, ax=axis)
    axis.set(title=title, xlabel="class", ylabel="number of images")
    if len(counts) > 6:
        axis.tick_params(axis="x", rotation=30)
    total = counts.sum(axis=1)
    sizes = (
        f"Most images: {total.idxmax()} ({total.max()}); fewest: {total.idxmin()} ({total.min()})"
    )
    return _finish(figure, f"Bar chart. {title}, for {', '.join(counts.columns)}. {sizes}.")


def training_curves(history: pd.DataFrame, title: str = "Training") -> Figure:
    """Draw training and validation loss and accuracy per epoch, from `History.frame`."""
    figure, axes = _subplots(1, 2, figsize=(9.5, 3.6))
    for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        columns = {f"train_{quantity}": "train", f"val_{quantity}": "validation"}
        frame = history.set_index("epoch")[list(columns)].rename(columns=columns)
        sns.lineplot(frame, markers=True, palette=PALETTE, ax=axis)
        unit = " (nats per image)" if quantity == "loss" else ""
        axis.set(title=f"{title}: {quantity}", xlabel="epoch", ylabel=quantity + unit)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _finish(
        figure,
        f"Two line charts over {len(history)} epochs. {title}. The training loss goes "
        f"{_from_to(history['train_loss'])}, the validation loss {_from_to(history['val_loss'])}, "
        f"the validation accuracy {_from_to(history['val_accuracy'])}.",
    )


def _from_to(values: pd.Series) -> str:
    return f"from {values.iloc[0]:.2f} to {values.iloc[-1]:.2f}"


def curve_gallery(
    histories: Mapping[str, pd.DataFrame],
    title: str = "Training and validation loss",
    limit: float | None = None,
) -> Figure:
    """Draw loss curves of several runs (`History.frame` by title) on one scale up to `limit`."""
    columns = min(4, len(histories))
    rows = math.ceil(len(histories) / columns)
    size = (2.5 * columns, 2.15 * rows + 0.7)
    figure, axes = _subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for axis in axes.flat[len(histories) :]:
        axis.set_axis_off()
    for axis, (name, frame) in zip(axes.flat, histories.items(), strict=False):
        epochs = frame["epoch"]
        axis.plot(epochs, frame["train_loss"], "o-", ms=3, color=COLORS[0], label="train")
        axis.plot(epochs, frame["val_loss"], "s--", ms=3, color=COLORS[1], label="validation")
        axis.set_title(name, fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axis in axes.flat[max(0, len(histories) - columns) : len(histories)]:
        axis.set_xlabel("epoch", fontsize=9)
    axes[0, 0].set_ylim(0, limit)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=11)
    figure.supylabel("loss (nats per image)", fontsize=10)
    sentences = " ".join(_describe_losses(name, frame) for name, frame in histories.items())
    return _finish(figure, f"{len(histories)} line charts. {title}. {sentences}")


def _describe_losses(name: str, frame: pd.DataFrame) -> str:
    if frame.empty:
        return f"{_one_line(name)}: no complete epoch."
    train, val = frame["train_loss"], frame["val_loss"]
    best = frame["epoch"][val.idxmin()]
    losses = f"training {_from_to(train)}, validation {_from_to(val)}, lowest in epoch {best:.0f}"
    return f"{_one_line(name)}: {losses}."


def confusion_heatmap(
    matrix: np.ndarray, classes: Sequence[str], title: str = "Confusion matrix"
) -> Figure:
    """Draw the counts `matrix[true, predicted]`."""
    count = len(classes)
    labels = [name if len(name) <= 18 else name[:17] + "…" for name in map(str, classes)]
    # Long names need space beside the heat map; with many classes, its cells become smaller.
    longest = max(map(len, labels))
    side = min(1.8 + 0.55 * count, 8.0) + 0.07 * max(0, longest - 11)
    figure, axis = _subplots(figsize=(side + 0.8, side))
    written = np.where(matrix > 0, np.char.mod("%d", matrix), "")
    sns.heatmap(
        matrix,
        annot=written if count <= MAX_ANNOTATED else False,
        fmt="",
        annot_kws={"fontsize": 10 if count <= 12 else 7},
        cmap="Blues",
        # A square-root scale keeps a few errors visible beside hundreds of correct predictions.
        norm=PowerNorm(0.5, vmin=0, vmax=max(matrix.max(), 1)),
        square=True,
        cbar_kws={"label": "number of images", "shrink": 0.8},
        ax=axis,
    )
    step = math.ceil(count / MAX_ANNOTATED)
    places = np.arange(0, count, step)
    axis.set_xticks(places + 0.5, labels[::step], rotation=90 if count > 3 or longest > 8 else 0)
    axis.set_yticks(places + 0.5, labels[::step], rotation=0)
    axis.set(title=title, xlabel="predicted class", ylabel="true class")
    errors = matrix - np.diag(np.diag(matrix))
    true, predicted = np.unravel_index(errors.argmax(), matrix.shape)
    worst = f"{classes[true]} predicted as {classes[predicted]} ({errors.max()} times)"
    return _finish(
        figure,
        f"Heat map. {title}: {np.trace(matrix)} of {matrix.sum()} images are on the diagonal. "
        + (f"The most frequent error is {worst}." if errors.any() else "There are no errors."),
    )


def reliability_diagram(table: pd.DataFrame) -> Figure:
    """Draw accuracy against confidence, from `evaluation.reliability_table`."""
    figure, axes = _subplots(2, 1, figsize=(4.2, 4.8), sharex=True, height_ratios=[3, 1])
    middle, width = (table["low"] + table["high"]) / 2, table["high"] - table["low"]
    confidence = table["confidence"]
    axes[0].bar(middle, table["accuracy"], width, color=COLORS[0], edgecolor="white")
    axes[0].plot(confidence, confidence, "o--", color=COLORS[1], label="perfect calibration")
    axes[0].set(title="Reliability", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes[0].legend(loc="upper left")
    axes[1].bar(middle, table["count"], width, color="gray", edgecolor="white")
    axes[1].set(xlabel="probability of the predicted class", ylabel="images")
    below, fullest = (table["accuracy"] < confidence).sum(), table.loc[table["count"].idxmax()]
    return _finish(
        figure,
        f"Reliability diagram. The accuracy is below the mean probability in {below} of "
        f"{len(table)} bins; most images are in the bin up to {fullest.high:.2f}.",
    )


def health_grid(findings: pd.DataFrame, root: str | Path) -> Figure:
    """Draw the first twelve files of `health.check_folder(root)`, unreadable ones as a cross."""
    root = Path(root)
    rows = [row for row in findings.itertuples() if (root / row.file).is_file()][:12]
    images = [_load_or_cross(root / row.file) for row in rows]
    titles = [f"{row.problem}\n{Path(row.file).name}" for row in rows]
    figure = image_grid(images, titles, f"{len(findings)} findings in {root.name}", 6, size=1.8)
    counts = findings.problem.value_counts(sort=False)
    listed = ", ".join(f"{count} x {problem}" for problem, count in counts.items() if count)
    figure.set_label(f"Images of {len(rows)} files with findings: {listed or 'nothing found'}.")
    return figure


def _load_or_cross(path: Path) -> object:
    try:
        return load_image(path)
    except DataError:
        return 1 - 0.5 * np.maximum(np.eye(99), np.eye(99)[::-1])


def prediction_chart(image: object, top: pd.DataFrame, title: str = "Prediction") -> Figure:
    """Draw an image beside a bar chart of its classes, from `evaluation.top_classes`."""
    size = (7.5, 2.6)
    figure, (left, right) = _subplots(1, 2, figsize=size, width_ratios=(1, 1.8), dpi=IMAGE_DPI)
    _draw(left, image)
    left.set_axis_off()
    sns.barplot(top, x="probability", y="class", color=COLORS[0], ax=right)
    right.bar_label(right.containers[0], fmt="{:.1%}", padding=3)
    right.set(xlim=(0, 1.15), xticks=[0, 0.25, 0.5, 0.75, 1], ylabel="")
    figure.suptitle(title, fontsize=11)
    listed = ", ".join(f"{row[1]} {row.probability:.1%}" for row in top.itertuples())
    return _finish(
        figure, f"An image and a bar chart of its most probable classes. {title}: {listed}."
    )
