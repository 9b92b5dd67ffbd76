"""A report on a classifier, for people: a folder with a page, figures, tables and a model card."""

import html
import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import f1_score
from torch import Tensor

from course_utils import evaluation, plots
from course_utils.errors import DataError
from course_utils.image_io import printable
from image_classifier.model import ImageClassifier
from tools.html import write_page

CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class Judged:
    """What a classifier said of images whose classes are known.

    Attributes:
        files: Their paths.
        images: uint8 of shape (count, 3, height, width).
        targets: Class indices of shape (count,).
        probabilities: Shape (count, classes).
    """

    files: list[str]
    images: Tensor
    targets: Tensor
    probabilities: Tensor


def metrics_of(judged: Judged) -> pd.Series:
    """Compute what a report says, with the range in which the truth probably lies.

    Args:
        judged: See `workflow.judge`.

    Returns:
        images, accuracy, macro F1 (each with "low" and "high" of its 95 % interval), top-2
        accuracy, and the calibration error.
    """
    targets, predictions = judged.targets.numpy(), judged.probabilities.argmax(dim=1).numpy()
    correct = int((targets == predictions).sum())
    low, high = evaluation.accuracy_interval(correct, len(targets))

    def macro_f1(targets: np.ndarray, predictions: np.ndarray) -> float:
        return f1_score(targets, predictions, average="macro", zero_division=0)

    f1_low, f1_high = evaluation.bootstrap_interval(macro_f1, targets, predictions, resamples=500)
    return pd.Series(
        {
            "images": float(len(targets)),
            "accuracy": correct / len(targets),
            "accuracy low": low,
            "accuracy high": high,
            "macro F1": macro_f1(targets, predictions),
            "macro F1 low": f1_low,
            "macro F1 high": f1_high,
            "top-2 accuracy": evaluation.top_k_accuracy(judged.probabilities, judged.targets, 2),
            "calibration error": evaluation.expected_calibration_error(
                judged.probabilities, judged.targets
            ),
        }
    )


def write_report(
    output: str | Path,
    classifier: ImageClassifier,
    judged: Judged,
    metrics: pd.Series,
    title: str,
    history: pd.DataFrame | None = None,
) -> None:
    """Write `index.html`, its figures, `metrics.json`, `predictions.csv` and a model card.

    Args:
        output: The folder; files of an earlier report in it are replaced.
        classifier: What was judged.
        judged: See `workflow.judge`.
        metrics: What `metrics_of` gave.
        title: Of the page.
        history: Of the training, if there was one.

    Raises:
        DataError: The folder cannot be written to.
    """
    output = Path(output)
    predictions = judged.probabilities.argmax(dim=1)
    matrix = evaluation.confusion_matrix(judged.targets, predictions, len(classifier.classes))
    figures = _figures(classifier, judged, matrix, history)
    card = model_card(classifier, metrics)
    try:
        output.mkdir(parents=True, exist_ok=True)
        pictures = {
            name: plots.save_figure(figure, output, name) for name, figure in figures.items()
        }
        numbers = {name: round(float(value), 6) for name, value in metrics.items()}
        (output / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
        _predictions(classifier, judged).to_csv(output / "predictions.csv", index=False)
        (output / CARD).write_text(card, encoding="utf-8")
        by_class = evaluation.class_report(matrix, classifier.classes).round(3)
        body = _body(judged, metrics, by_class, title, figures, pictures, card)
        write_page(output / "index.html", title, body)
    except OSError as error:
        raise DataError(f"{output} could not be written: {error.strerror or error}.") from error
    finally:
        for figure in figures.values():
            plt.close(figure)


def _figures(
    classifier: ImageClassifier,
    judged: Judged,
    matrix: np.ndarray,
    history: pd.DataFrame | None,
) -> dict[str, Figure]:
    """Draw what the report shows, by the name of the file."""
    figures = {}
    if history is not None and len(history):
        figures["curves"] = plots.training_curves(history)
    figures["confusion"] = plots.confusion_heatmap(matrix, classifier.classes)
    wrong = evaluation.misclassified(judged.probabilities, judged.targets).head(12)
    if len(wrong):
        titles = [
            f"{classifier.classes[row.true]}\nnot {classifier.classes[row.predicted]} "
            f"({row.probability:.0%})"
            for row in wrong.itertuples()
        ]
        images = judged.images[wrong.index.tolist()]
        figures["mistakes"] = plots.image_grid(images, titles, "Worst mistakes", 6, size=1.5)
    table = evaluation.reliability_table(judged.probabilities, judged.targets)
    figures["reliability"] = plots.reliability_diagram(table)
    return figures


def _predictions(classifier: ImageClassifier, judged: Judged) -> pd.DataFrame:
    """List what was said of each file."""
    best = judged.probabilities.max(dim=1)
    return pd.DataFrame(
        {
            "file": [printable(path) for path in judged.files],
            "class": [classifier.classes[index] for index in judged.targets.tolist()],
            "predicted": [classifier.classes[index] for index in best.indices.tolist()],
            "probability": np.round(best.values.tolist(), 4),
        }
    )


def model_card(classifier: ImageClassifier, metrics: pd.Series) -> str:
    """Write what a user of a classifier should know, in Markdown.

    The questions are those of M. Mitchell et al., Model Cards for Model Reporting (2019).

    Args:
        classifier: What was judged.
        metrics: What `metrics_of` gave.

    Returns:
        The text; what only people can say is left for them to fill in.
    """
    about = [f"- **{key}**: {value}" for key, value in classifier.about.items()]
    sure = f"Below a probability of {classifier.threshold:g} the answer is *not sure*."
    return "\n".join(
        [
            "# Model card",
            "",
            f"A classifier of {len(classifier.classes)} classes: {', '.join(classifier.classes)}.",
            "",
            f"- **network**: {classifier.architecture['name']}, images of "
            f"{classifier.image_size} x {classifier.image_size} pixels",
            *about,
            "",
            f"On {metrics['images']:.0f} images: accuracy {metrics['accuracy']:.3f} (95 % interval "
            f"{metrics['accuracy low']:.3f} to {metrics['accuracy high']:.3f}), macro F1 "
            f"{metrics['macro F1']:.3f} ({metrics['macro F1 low']:.3f} to "
            f"{metrics['macro F1 high']:.3f}). {sure}",
            "",
            "## Limits",
            "",
            "- It knows these classes and nothing else; other things get one of their names.",
            "- It has learned from the images it was given. With other light, backgrounds or "
            "cameras it may be worse than these numbers.",
            "",
            "## To be filled in by you",
            "",
            "- What is it for, and what must it not be used for?",
            "- Who is harmed by which mistake?",
            "- Who answers questions, and when is it judged again?",
            "",
        ]
    )


def _body(
    judged: Judged,
    metrics: pd.Series,
    by_class: pd.DataFrame,
    title: str,
    figures: dict[str, Figure],
    pictures: dict[str, Path],
    card: str,
) -> str:
    """Lay out the page."""
    from nbconvert.filters import markdown2html

    sure = evaluation.coverage_curve(judged.probabilities, judged.targets)
    sure = sure[sure["threshold"].round(2).isin([0, 0.5, 0.7, 0.8, 0.9, 0.95])].round(3)
    headings = {
        "curves": "Training",
        "confusion": "What is taken for what",
        "mistakes": "Worst mistakes",
        "reliability": "Can its probabilities be believed?",
    }
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p><strong>Accuracy {metrics['accuracy']:.3f}</strong> on {metrics['images']:.0f} images "
        f"(95 % interval {metrics['accuracy low']:.3f} to {metrics['accuracy high']:.3f}); macro "
        f"F1 {metrics['macro F1']:.3f} ({metrics['macro F1 low']:.3f} to "
        f"{metrics['macro F1 high']:.3f}).</p>",
        '<p><a href="predictions.csv">Every prediction</a> · <a href="metrics.json">metrics</a> · '
        f'<a href="{CARD}">model card</a></p>',
        "<h2>Each class</h2>",
        by_class.to_html(border=0),
    ]
    for name, figure in figures.items():
        alt = html.escape(figure.get_label(), quote=True)
        parts.append(f"<h2>{headings[name]}</h2>")
        parts.append(f'<p><img src="{pictures[name].name}" alt="{alt}"></p>')
    parts += [
        "<h2>How many answers at which threshold?</h2>",
        "<p>Where the largest probability is below the threshold, the answer is “not sure”.</p>",
        sure.to_html(border=0, index=False),
        f"<section>{markdown2html(card)}</section>".replace("h1", "h2"),
    ]
    return "\n".join(parts)
