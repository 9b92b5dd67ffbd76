"""A report on a classifier: a web page with figures, tables, and a model card."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, f1_score
from torch import Tensor

from course_utils import evaluation as metrics
from course_utils import plots
from course_utils.errors import DataError
from course_utils.image_io import printable
from image_classifier.model import ImageClassifier


@dataclass(frozen=True)
class Evaluation:
    """Predictions for images whose classes are known.

    Attributes:
        files: Paths of the images.
        classes: Class names.
        images: uint8 of shape (count, 3, height, width).
        targets: Class indices of shape (count,).
        probabilities: Shape (count, classes).
    """

    files: list[str]
    classes: list[str]
    images: Tensor
    targets: Tensor
    probabilities: Tensor

    @property
    def predictions(self) -> Tensor:
        """The predicted class indices, of shape (count,)."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def metrics(self) -> pd.Series:
        """Accuracy and macro F1 with 95 % intervals, top-2 accuracy, calibration error."""
        targets, predictions = self.targets.numpy(), self.predictions.numpy()
        correct = int((targets == predictions).sum())
        low, high = metrics.accuracy_interval(correct, len(targets))
        f1_low, f1_high = metrics.bootstrap_interval(macro_f1, targets, predictions, resamples=500)
        top_2 = self.probabilities.topk(2).indices == self.targets[:, None]
        return pd.Series(
            {
                "images": float(len(targets)),
                "accuracy": correct / len(targets),
                "accuracy low": low,
                "accuracy high": high,
                "macro F1": macro_f1(targets, predictions),
                "macro F1 low": f1_low,
                "macro F1 high": f1_high,
                "top-2 accuracy": top_2.any(dim=1).float().mean().item(),
                "calibration error": metrics.expected_calibration_error(
                    self.probabilities, self.targets
                ),
            }
        )


def macro_f1(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Compute the mean F1 of the classes that occur."""
    return f1_score(targets, predictions, average="macro", zero_division=0)


def accuracy_text(values: pd.Series) -> str:
    """Describe the accuracy and its interval in words."""
    return (
        f"accuracy {values['accuracy']:.3f} on {values['images']:.0f} test images "
        f"(95 % interval {values['accuracy low']:.3f} to {values['accuracy high']:.3f})"
    )


def writable_folder(folder: str | Path) -> Path:
    """Create a folder for results, or raise a DataError before time is spent on them."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be created ({error.strerror}).") from error
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder} cannot be written to. Choose another folder with --output.")
    return folder


def write_report(
    output: Path,
    classifier: ImageClassifier,
    evaluation: Evaluation,
    title: str,
    history: pd.DataFrame | None = None,
) -> None:
    """Write `index.html`, its figures, `metrics.json`, `predictions.csv` and `MODEL_CARD.md`.

    Args:
        output: An existing folder; files of an earlier report are replaced.
        classifier: The classifier that was evaluated.
        evaluation: Its predictions.
        title: Title of the page.
        history: Epochs of a training run, for the learning curves.
    """
    values, targets = evaluation.metrics, evaluation.targets
    numbers = {name: round(value, 6) for name, value in values.items()}
    (output / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    _prediction_table(evaluation).to_csv(output / "predictions.csv", index=False)
    card = _model_card(classifier, values)
    (output / "MODEL_CARD.md").write_text(_markdown("Model card", card), "utf-8")
    classes = metrics.class_report(targets, evaluation.predictions, evaluation.classes)
    coverage = metrics.coverage_curve(evaluation.probabilities, targets)
    page = _template().render(
        title=title,
        summary=accuracy_text(values),
        metrics=values,
        classes=classes.round(3),
        figures=_save_figures(output, evaluation, history),
        coverage=coverage.iloc[[0, 50, 70, 80, 90, 95]].round(3),
        card=card,
    )
    (output / "index.html").write_text(page, "utf-8")


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    return environment.get_template("report.html.j2")


def _save_figures(
    output: Path, evaluation: Evaluation, history: pd.DataFrame | None
) -> list[dict[str, str]]:
    """Save the figures; return the heading, file name and alt text of each."""
    saved = []
    with plt.rc_context({"text.parse_math": False}):  # a class name may contain dollar signs
        for name, heading, figure in _figures(evaluation, history):
            path = plots.save_figure(figure, output, name)
            saved.append({"heading": heading, "file": path.name, "alt": figure.get_label()})
            plt.close(figure)
    return saved


def _figures(
    evaluation: Evaluation, history: pd.DataFrame | None
) -> Iterator[tuple[str, str, Figure]]:
    classes, targets = evaluation.classes, evaluation.targets
    if history is not None and len(history):
        yield "curves", "Training", plots.training_curves(history)
    labels = range(len(classes))
    matrix = confusion_matrix(targets, evaluation.predictions, labels=labels)
    yield "confusion", "Confusion matrix", plots.confusion_heatmap(matrix, classes)
    mistakes = metrics.misclassified(evaluation.probabilities, targets).head(12)
    if len(mistakes):
        titles = [
            f"{classes[row.true]}\nnot {classes[row.predicted]} ({row.probability:.0%})"
            for row in mistakes.itertuples()
        ]
        images, heading = evaluation.images[mistakes.index.tolist()], "Most confident mistakes"
        yield "mistakes", heading, plots.image_grid(images, titles, heading, 6, size=1.5)
    table = metrics.reliability_table(evaluation.probabilities, targets)
    yield "reliability", "Calibration", plots.reliability_diagram(table)


def _prediction_table(evaluation: Evaluation) -> pd.DataFrame:
    best = evaluation.probabilities.max(dim=1)
    return pd.DataFrame(
        {
            "file": [printable(path) for path in evaluation.files],
            "class": [evaluation.classes[index] for index in evaluation.targets.tolist()],
            "predicted": [evaluation.classes[index] for index in best.indices.tolist()],
            "probability": np.round(best.values.tolist(), 4),
        }
    )


def _model_card(classifier: ImageClassifier, values: pd.Series) -> dict[str, list[str]]:
    """Collect what users should know (Mitchell et al. 2019), as items below headings."""
    size = classifier.image_size
    return {
        "Model": [
            f"classes: {', '.join(classifier.classes)}",
            f"network: {classifier.backbone}, images of {size} x {size} pixels",
            *(f"{key}: {value}" for key, value in classifier.about.items()),
        ],
        "Results": [
            accuracy_text(values),
            f"macro F1 {values['macro F1']:.3f} (95 % interval {values['macro F1 low']:.3f} to "
            f"{values['macro F1 high']:.3f})",
            f"predictions with a probability below {classifier.threshold:g} count as not sure",
        ],
        "Limitations": [
            "Every image is assigned to one of these classes, even an image of something else.",
            "With other lighting, backgrounds or cameras than in the training images, the accuracy "
            "may be lower.",
        ],
        "To be filled in by you": [
            "What is the classifier for, and what must it not be used for?",
            "Who is harmed by which mistake?",
            "Who answers questions, and when will it be evaluated again?",
        ],
    }


def _markdown(title: str, sections: dict[str, list[str]]) -> str:
    parts = [f"# {title}"]
    for heading, items in sections.items():
        parts.append(f"## {heading}\n\n" + "\n".join(f"- {item}" for item in items))
    return "\n\n".join(parts) + "\n"
