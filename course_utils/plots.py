"""The figures of the course. Each function returns a Figure whose label is its alt text.

>>> from course_utils import plots
>>> plots.show(plots.training_curves(history.frame))
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import display
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from course_utils.errors import DataError
from course_utils.image_io import load_image

PALETTE = "colorblind"
PICTURE_DPI = 72  # figures full of pictures make notebooks large
MOST_WRITTEN = 25  # classes of a confusion matrix; with more, numbers could not be read


def show(figure: Figure, alt: str | None = None) -> None:
    """Display a figure in a notebook, with a text for those who cannot see it, and close it.

    Args:
        figure: The figure.
        alt: What the figure shows, in a sentence; its label when left out.

    Raises:
        ValueError: There is no text.
    """
    alt = alt or figure.get_label()
    if not alt:
        raise ValueError("A figure needs an alt text: show(figure, 'what it shows').")
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def image_grid(
    images: Tensor | Sequence,
    titles: Sequence[str] | None = None,
    title: str = "",
    columns: int = 8,
    size: float = 1.2,
) -> Figure:
    """Draw images side by side, each with its own title.

    Args:
        images: PIL images, or tensors of shape (channels, height, width) with 1 or 3 channels:
            uint8 from 0 to 255, or floating point from 0 to 1.
        titles: One for each image.
        title: Of the whole figure.
        columns: Images in a row.
        size: The width of an image in inches.

    Returns:
        The figure.
    """
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    height = size * (1.25 if titles is not None else 1.05)
    height += 0.13 * max((str(text).count("\n") for text in titles or ()), default=0)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * size, rows * height + 0.4),
        squeeze=False,
        layout="constrained",
        dpi=PICTURE_DPI,
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        _draw(axis, image)
        if titles is not None:
            axis.set_title(titles[number], fontsize=8)
    figure.suptitle(title, fontsize=11)
    texts = dict.fromkeys(str(text).replace("\n", " ") for text in titles or ())
    captions = f": {', '.join(texts)}" if texts else ""
    count = "One image" if len(images) == 1 else f"{len(images)} images"
    count += f" in {rows} rows" if rows > 1 else ""
    figure.set_label(f"{count}. {title}{captions}.")
    return figure


def _draw(axis: plt.Axes, image: object) -> None:
    """Draw a PIL image or a tensor; gray ones in gray, not in false colors."""
    if isinstance(image, Tensor):
        image = image.detach().cpu().permute(1, 2, 0).numpy()
        image = image[:, :, 0] if image.shape[2] == 1 else image
    pixels = np.asarray(image)
    top = 255 if pixels.dtype == np.uint8 else 1
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=top, interpolation="nearest")


def attribution_maps(
    images: Tensor | Sequence,
    heats: Tensor,
    titles: Sequence[str] | None = None,
    title: str = "",
    columns: int = 6,
    top: float | None = None,
) -> Figure:
    """Draw images in gray with a heat map over each, all on one scale.

    Args:
        images: As `image_grid` takes them.
        heats: Shape (count, height, width), of the size of the images; what is below 0 is left
            out.
        titles: One for each image.
        title: Of the whole figure.
        columns: Images in a row.
        top: The heat that is drawn in full; the largest of all images when left out.

    Returns:
        The figure.
    """
    heats = heats.detach().float().cpu().clamp(min=0)
    top = float(heats.max()) if top is None else top
    figure = image_grid(images, titles, title, columns, size=1.5)
    for axis, heat in zip(figure.axes, heats, strict=False):
        picture = axis.images[0].get_array()
        if picture.ndim == 3:  # colors of the picture would mix with those of the heat
            gray = picture @ np.array([0.299, 0.587, 0.114])
            axis.images[0].remove()
            axis.imshow(gray, cmap="gray", vmin=0, vmax=255 if picture.dtype == np.uint8 else 1)
        share = (heat / top if top > 0 else heat).clamp(max=1).numpy()
        axis.imshow(share, cmap="inferno", vmin=0, vmax=1, alpha=0.15 + 0.6 * share)
    names = titles if titles is not None else [f"image {n + 1}" for n in range(len(heats))]
    places = [
        f"{str(name).replace(chr(10), ' ')}: {_hottest_place(heat)}"
        for name, heat in zip(names, heats, strict=False)
    ]
    figure.set_label(f"{len(heats)} heat maps. {title}. Hottest place: {'; '.join(places)}.")
    return figure


def _hottest_place(heat: Tensor) -> str:
    """Say in words where a heat map is hottest."""
    if not heat.any():
        return "none"
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    vertical = ("top", "middle", "bottom")[3 * row // heat.shape[0]]
    horizontal = ("left", "center", "right")[3 * column // heat.shape[1]]
    return f"{vertical} {horizontal}"


def class_distribution(counts: pd.DataFrame, title: str = "Images of each class") -> Figure:
    """Draw how many images each class has, a bar for each part of the data.

    Args:
        counts: One row a class, one column a part, as `statistics.class_counts` gives it.
        title: Of the figure.

    Returns:
        The figure.
    """
    long = counts.rename_axis("class").reset_index().melt("class", var_name="set")
    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    sns.barplot(long, x="class", y="value", hue="set", palette=PALETTE, ax=axis)
    axis.set(title=title, xlabel="class", ylabel="number of images")
    if len(counts) > 6:
        axis.tick_params(axis="x", rotation=30)
    total = counts.sum(axis=1)
    figure.set_label(
        f"Bar chart. {title}, for {', '.join(counts.columns)}. Most images: {total.idxmax()} "
        f"({total.max()}); fewest: {total.idxmin()} ({total.min()})."
    )
    return figure


def training_curves(history: pd.DataFrame, title: str = "Training") -> Figure:
    """Draw loss and accuracy of training and validation over the epochs.

    Args:
        history: `History.frame`.
        title: Of the figure.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
    for axis, quantity in zip(axes, ("loss", "accuracy"), strict=True):
        columns = {f"train_{quantity}": "train", f"val_{quantity}": "validation"}
        long = history.rename(columns=columns).melt("epoch", list(columns.values()), "set")
        sns.lineplot(
            long,
            x="epoch",
            y="value",
            hue="set",
            style="set",
            markers=True,
            palette=PALETTE,
            ax=axis,
        )
        axis.legend(title=None)
        unit = "nats per image" if quantity == "loss" else "share of right answers"
        axis.set(title=f"{title}: {quantity}", xlabel="epoch", ylabel=f"{quantity} ({unit})")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    first, last = history.iloc[0], history.iloc[-1]
    figure.set_label(
        f"Two line charts over {len(history)} epochs. {title}. Loss on the training set goes from "
        f"{first.train_loss:.2f} to {last.train_loss:.2f}, on the validation set from "
        f"{first.val_loss:.2f} to {last.val_loss:.2f}; validation accuracy goes from "
        f"{first.val_accuracy:.2f} to {last.val_accuracy:.2f}."
    )
    return figure


def curve_gallery(
    histories: Mapping[str, pd.DataFrame],
    title: str = "Loss of training and validation",
    top: float | None = None,
    columns: int = 4,
) -> Figure:
    """Draw the losses of many runs side by side, on one scale.

    Args:
        histories: `History.frame` of each run, by the title of its panel. A run that broke off may
            have fewer epochs than the others, or none.
        title: Of the whole figure.
        top: The upper end of the axis; curves may leave the panel there. The largest loss when
            left out.
        columns: Panels in a row.

    Returns:
        The figure.
    """
    columns = min(columns, len(histories))
    rows = math.ceil(len(histories) / columns)
    size = (2.5 * columns, 2.15 * rows + 0.7)
    figure, axes = plt.subplots(
        rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    colors = sns.color_palette(PALETTE)
    for axis in axes.flat[len(histories) :]:
        axis.set_axis_off()
    for axis, (name, frame) in zip(axes.flat, histories.items(), strict=False):
        axis.plot(frame["epoch"], frame["train_loss"], "o-", ms=3, color=colors[0], label="train")
        axis.plot(
            frame["epoch"], frame["val_loss"], "s--", ms=3, color=colors[1], label="validation"
        )
        axis.set_title(name, fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axis in axes.flat[max(0, len(histories) - columns) : len(histories)]:
        axis.set_xlabel("epoch", fontsize=9)
    axes[0, 0].set_ylim(0, top)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=11)
    figure.supylabel("loss (nats per image)", fontsize=10)
    figure.set_label(
        f"{len(histories)} line charts. {title}. "
        + " ".join(_describe_losses(name, frame) for name, frame in histories.items())
    )
    return figure


def _describe_losses(name: str, frame: pd.DataFrame) -> str:
    """Say in a sentence from where to where both losses go, and where validation was lowest."""
    name = " ".join(name.split())
    if frame.empty:
        return f"{name}: no complete epoch."
    first, last = frame.iloc[0], frame.iloc[-1]
    best = frame.loc[frame["val_loss"].idxmin()]
    return (
        f"{name}: training from {first.train_loss:.2f} to {last.train_loss:.2f}, validation from "
        f"{first.val_loss:.2f} to {last.val_loss:.2f}, lowest in epoch {best.epoch:.0f}."
    )


def confusion_heatmap(
    matrix: np.ndarray,
    classes: Sequence[str],
    title: str = "Confusion matrix",
    normalize: bool = False,
) -> Figure:
    """Draw a confusion matrix as a heat map; rows are the truth, columns the predictions.

    Cells that are zero stay empty. With more than 25 classes no numbers are written, and only some
    of the names.

    Args:
        matrix: Counts of shape (classes, classes), `matrix[true, predicted]`, as
            `sklearn.metrics.confusion_matrix` gives them.
        classes: The names in the order of the indices.
        title: Of the figure.
        normalize: Write and color per cent of each row instead of counts.

    Returns:
        The figure.
    """
    matrix = np.asarray(matrix)
    shown = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1) if normalize else matrix
    count = len(classes)
    written = count <= MOST_WRITTEN
    labels = [_short(str(name)) for name in classes]
    # Long names take room from the heat map; many classes make its cells small instead of it large.
    longest = max(map(len, labels))
    side = min(1.8 + 0.55 * count, 8.0) + 0.07 * max(0, longest - 11)
    figure, axis = plt.subplots(figsize=(side + 0.8, side), layout="constrained")
    sns.heatmap(
        shown,
        annot=np.where(matrix > 0, np.char.mod("%.0f", shown), "") if written else False,
        fmt="",
        annot_kws={"fontsize": 10 if count <= 12 else 7},
        cmap="Blues",
        # The square root lifts a few mistakes above white beside hundreds of right answers.
        norm=PowerNorm(0.5, vmin=0, vmax=max(shown.max(), 1)),
        square=True,
        cbar_kws={
            "label": "% of the true class" if normalize else "number of images",
            "shrink": 0.8,
        },
        ax=axis,
    )
    step = math.ceil(count / MOST_WRITTEN)
    places = np.arange(0, count, step)
    axis.set_xticks(places + 0.5, labels[::step], rotation=90 if count > 3 or longest > 8 else 0)
    axis.set_yticks(places + 0.5, labels[::step], rotation=0)
    axis.set(title=title, xlabel="predicted class", ylabel="true class")
    off_diagonal = matrix - np.diag(np.diag(matrix))
    true, predicted = np.unravel_index(off_diagonal.argmax(), matrix.shape)
    worst = (
        f"The most frequent mistake is {classes[true]} taken for {classes[predicted]} "
        f"({off_diagonal.max()} times)."
    )
    figure.set_label(
        f"Heat map. {title}: {np.trace(matrix)} of {matrix.sum()} images are on the diagonal. "
        + (worst if off_diagonal.any() else "There is no mistake.")
    )
    return figure


def reliability_diagram(table: pd.DataFrame, title: str = "Reliability") -> Figure:
    """Draw how often a classifier is right against how sure it was.

    Args:
        table: What `evaluation.reliability` returned.
        title: Of the figure.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        2, 1, figsize=(4.2, 4.8), sharex=True, height_ratios=[3, 1], layout="constrained"
    )
    colors = sns.color_palette(PALETTE)
    middle, width = (table["low"] + table["high"]) / 2, table["high"] - table["low"]
    axes[0].bar(middle, table["accuracy"], width, color=colors[0], edgecolor="white")
    axes[0].plot(table["confidence"], table["confidence"], "o--", color=colors[1], label="honest")
    axes[0].set(title=title, ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    axes[0].legend(loc="upper left")
    axes[1].bar(middle, table["count"], width, color="gray", edgecolor="white")
    axes[1].set(xlabel="probability of the predicted class", ylabel="images")
    above = (table["confidence"] > table["accuracy"]).sum()
    figure.set_label(
        f"Reliability diagram. {title}. The share of right answers is below the probability in "
        f"{above} of {len(table)} bins; most images are in the bin up to "
        f"{table.loc[table['count'].idxmax(), 'high']:.2f}."
    )
    return figure


def save_figure(figure: Figure, folder: str | Path, *parts: str | int) -> Path:
    """Save a figure as PNG, with a file name that is right on every system.

    Args:
        figure: The figure.
        folder: Where to; it is made if need be.
        *parts: What makes up the name, for example the set, the epoch and the class. Whatever is no
            letter, digit, dot or hyphen becomes "_".

    Returns:
        The path of the file; one of the same name is replaced.

    Example:
        >>> save_figure(figure, "build/05", "test", "epoch-08", "T-shirt/top").name
        'test-epoch-08-T-shirt_top.png'
    """
    name = "-".join(str(part) for part in parts)
    name = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", name))[:60].strip(".")
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    return path


def _short(name: str, most: int = 18) -> str:
    """Cut a long class name, so that it leaves room for the figure."""
    return name if len(name) <= most else name[: most - 1] + "…"


def health_grid(findings: pd.DataFrame, root: str | Path, most: int = 12) -> Figure:
    """Draw the files that a health check complains about.

    Args:
        findings: What `integrity.check_folder` returned.
        root: The folder that was checked.
        most: How many pictures to draw at most.

    Returns:
        The figure; files that cannot be drawn are shown as a gray cross.
    """
    files = [row for row in findings.itertuples() if (Path(root) / row.file).is_file()][:most]
    columns = min(6, max(1, len(files)))
    rows = max(1, math.ceil(len(files) / columns))
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * 1.9, rows * 2.2 + 0.4),
        squeeze=False,
        layout="constrained",
        dpi=PICTURE_DPI,
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, files, strict=False):
        try:
            _draw(axis, load_image(Path(root) / row.file))
        except DataError:
            axis.plot([0, 1, None, 0, 1], [0, 1, None, 1, 0], color="gray")
        axis.set_title(f"{row.problem}\n{Path(row.file).name}", fontsize=8)
    figure.suptitle(f"{len(findings)} findings in {Path(root).name}", fontsize=11)
    summary = findings.problem.value_counts(sort=False)
    listed = ", ".join(f"{count} x {problem}" for problem, count in summary.items() if count)
    figure.set_label(f"Pictures of {len(files)} files with findings: {listed or 'nothing found'}.")
    return figure


def prediction_chart(
    image: Tensor | object, top: pd.DataFrame, title: str = "Prediction"
) -> Figure:
    """Draw an image beside a bar chart of its most likely classes.

    Args:
        image: A PIL image, or a tensor as `image_grid` takes it.
        top: Class and probability, the most likely first, as `evaluation.top_classes` gives them.
        title: Of the figure.

    Returns:
        The figure.
    """
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(7.5, 2.6), width_ratios=(1, 1.8), layout="constrained", dpi=PICTURE_DPI
    )
    _draw(left, image)
    left.set_axis_off()
    sns.barplot(top, x="probability", y="class", color=sns.color_palette(PALETTE)[0], ax=right)
    right.bar_label(right.containers[0], fmt="{:.1%}", padding=3)
    right.set(xlim=(0, 1.15), xticks=[0, 0.25, 0.5, 0.75, 1], ylabel="")
    figure.suptitle(title, fontsize=11)
    chances = ", ".join(f"{row[1]} {row.probability:.1%}" for row in top.itertuples())
    figure.set_label(f"An image and a bar chart of its likely classes. {title}: {chances}.")
    return figure
