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
from image_classifier import report_parts as parts
from image_classifier.model import ImageClassifier

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
)
THRESHOLDS = 0, 0.5, 0.7, 0.8, 0.9, 0.95


def macro_f1(targets: np.ndarray, predictions: np.ndarray) -> float:
    """Average F1 over the classes that have images."""
    classes = np.unique(targets)
    return f1_score(targets, predictions, labels=classes, average="macro", zero_division=0)


@dataclass(frozen=True)
class Evaluation:
    """Predictions for images whose classes are known."""

    files: list[str]
    classes: list[str]
    targets: Tensor  # class indices, (count,)
    probabilities: Tensor  # (count, classes)
    left_out: int = 0  # images that the classifier was trained on, and copies

    @property
    def predictions(self) -> Tensor:
        """The predicted class indices, of shape (count,)."""
        return self.probabilities.argmax(dim=1)

    @cached_property
    def metrics(self) -> pd.Series:
        """Accuracy and macro F1 with 95 % intervals, top-2 accuracy, and calibration error."""
        targets, predictions = self.targets.numpy(), self.predictions.numpy()
        correct = int((targets == predictions).sum())
        interval = metrics.accuracy_interval(correct, len(targets))
        f1_interval = metrics.bootstrap_interval(macro_f1, targets, predictions, resamples=500)
        ece = metrics.expected_calibration_error(self.probabilities, self.targets)
        top_2 = self.probabilities.topk(2).indices == self.targets[:, None]
        return pd.Series(
            {
                "images": float(len(targets)),
                "left out": float(self.left_out),
                "accuracy": correct / len(targets),
                "accuracy low": interval[0],
                "accuracy high": interval[1],
                "macro F1": macro_f1(targets, predictions),
                "macro F1 low": f1_interval[0],
                "macro F1 high": f1_interval[1],
                "top-2 accuracy": top_2.any(dim=1).float().mean().item(),
                "calibration error": ece,
            }
        )


def describe(values: pd.Series) -> str:
    """Describe accuracy and macro F1, with their intervals, in words."""
    left_out = f"; left out: {values['left out']:.0f} images of the training run, or copies"
    return (
        f"accuracy {values['accuracy']:.3f} on {values['images']:.0f} test images (95 % interval "
        f"{values['accuracy low']:.3f} to {values['accuracy high']:.3f}), macro F1 "
        f"{values['macro F1']:.3f} ({values['macro F1 low']:.3f} to {values['macro F1 high']:.3f})"
        f"{left_out if values['left out'] else ''}"
    )


def cell(value: object) -> object:
    """Format a table cell."""
    if not isinstance(value, float):
        return value
    return "–" if np.isnan(value) else f"{value:.3f}"


TEMPLATES.filters["cell"] = cell


def writable_folder(folder: str | Path) -> Path:
    """Create a folder for results; raise DataError before any computing if it is not writable."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be created ({error.strerror}).") from error
    if not os.access(folder, os.W_OK):
        raise DataError(f"{folder} cannot be written to. Choose another folder.")
    return folder


def write_report(
    output: Path,
    classifier: ImageClassifier,
    evaluation: Evaluation,
    title: str,
    history: pd.DataFrame | None = None,
) -> None:
    """Write `index.html`, its figures, `metrics.json`, `predictions.csv` and `MODEL_CARD.md`.

    An earlier report in the folder is compared with the new one and replaced. `history` has the
    learning curves.
    """
    values, targets = evaluation.metrics, evaluation.targets
    table = pd.DataFrame({"file": [printable(path) for path in evaluation.files]})
    table["class"] = [classifier.classes[index] for index in targets.tolist()]
    table["predicted"] = [classifier.classes[index] for index in evaluation.predictions.tolist()]
    table["probability"] = np.round(evaluation.probabilities.amax(dim=1).tolist(), 4)
    before = parts.read_results(output)
    numbers = {name: round(value, 6) for name, value in values.items()}
    (output / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    table.to_csv(output / "predictions.csv", index=False)
    card = _model_card(classifier, values)
    (output / "MODEL_CARD.md").write_text(markdown("Model card", card), "utf-8")
    mistakes = metrics.misclassified(evaluation.probabilities, targets)
    page = TEMPLATES.get_template("report.html.j2").render(
        title=title,
        summary=describe(values),
        changes=before and parts.compare(before, values, table),
        counts=parts.image_counts(output, classifier, table),
        classes=metrics.class_report(targets, evaluation.predictions, evaluation.classes),
        mistakes=parts.save_mistakes(output, classifier, evaluation.files, mistakes),
        figures=_save_figures(output, evaluation, history),
        history=history,
        coverage=_coverage(evaluation, classifier.threshold),
        threshold=classifier.threshold,
        card=card,
    )
    (output / "index.html").write_text(page, "utf-8")


def _coverage(evaluation: Evaluation, own_threshold: float) -> pd.DataFrame:
    """Compute coverage and accuracy if predictions below each threshold are rejected."""
    thresholds = np.unique([*THRESHOLDS, own_threshold])
    confidence = evaluation.probabilities.double().amax(dim=1).numpy()
    covered = confidence >= thresholds[:, None]
    correct = (evaluation.predictions == evaluation.targets).numpy()
    table = pd.DataFrame({"threshold": thresholds, "coverage": covered.mean(axis=1)})
    table["accuracy"] = pd.Series((covered & correct).sum(axis=1)) / covered.sum(axis=1)
    return table


def _save_figures(
    output: Path, evaluation: Evaluation, history: pd.DataFrame | None
) -> dict[str, dict]:
    """Save the figures; return the file, alt text, width and height in pixels of each by name."""
    saved = {}
    for name, figure in _figures(evaluation, history):
        file = f"{name}.png"
        figure.savefig(output / file, metadata={"Software": None})
        width, height = (figure.get_size_inches() * figure.dpi).astype(int).tolist()
        saved[name] = {
            "file": file, "alt": figure.get_label(), "width": width, "height": height
        }  # fmt: skip
        plt.close(figure)
    return saved


def _figures(evaluation: Evaluation, history: pd.DataFrame | None) -> Iterator[tuple[str, Figure]]:
    classes, targets = evaluation.classes, evaluation.targets
    if history is not None and len(history):
        yield "curves", plots.training_curves(history)
    matrix = confusion_matrix(targets, evaluation.predictions, labels=range(len(classes)))
    yield "confusion", plots.confusion_heatmap(matrix, classes)
    table = metrics.reliability_table(evaluation.probabilities, targets)
    yield "reliability", plots.reliability_diagram(table)


def _model_card(classifier: ImageClassifier, values: pd.Series) -> dict[str, list[str]]:
    """Return the items of a model card (Mitchell et al. 2019) by heading."""
    size = classifier.image_size
    return {
        "Model": [
            f"classes: {', '.join(classifier.classes)}",
            f"network: {classifier.backbone}, images of {size} x {size} pixels",
            *(f"{key}: {value}" for key, value in classifier.about.items()),
        ],
        "Results": [
            describe(values),
            f"predictions with a probability below {classifier.threshold:g} count as not sure",
        ],
        "Limitations": [
            "Every image is assigned to one of these classes, even an image of something else.",
            "The accuracy may be lower with lighting, backgrounds or cameras that differ from the "
            "training images.",
        ],
        "To be filled in by you": [
            "What is the classifier for, and what must it not be used for?",
            "Who could be harmed by which mistakes?",
            "Who answers questions, and when will it be evaluated again?",
        ],
    }


def markdown(title: str, sections: dict[str, list[str]]) -> str:
    """Format headings and lists as Markdown."""
    texts = [f"# {printable(title)}"]
    for heading, items in sections.items():
        texts.append(f"## {heading}\n\n" + "\n".join(f"- {printable(item)}" for item in items))
    return "\n\n".join(texts) + "\n"
