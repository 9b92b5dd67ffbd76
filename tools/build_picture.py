"""Draw docs/course.png, the figure at the top of the README.

    python -m tools.build_picture

It shows test photographs with the predictions of a classifier that was trained for seconds, the
evidence for them (Grad-CAM), and the confusion matrix.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

from course_utils.datasets import load_splits
from image_classifier.app import overlay
from image_classifier.evaluate import evaluate_files
from image_classifier.features import file_digests
from image_classifier.model import ImageClassifier
from image_classifier.report import Evaluation
from image_classifier.train import train_classifier

TARGET = Path(__file__).resolve().parents[1] / "docs" / "course.png"
INCHES = (10.5, 3.3)
DPI = 140


def choose(evaluation: Evaluation) -> list[int]:
    """Select the most confident correct prediction of five classes, and one mistake."""
    confidence, predictions = evaluation.probabilities.max(dim=1)
    correct = predictions == evaluation.targets
    best = [
        int((confidence * correct * (evaluation.targets == label)).argmax())
        for label in evaluation.targets.unique()
    ]
    return [*best[:5], int((confidence * ~correct).argmax())]


def draw(classifier: ImageClassifier, evaluation: Evaluation) -> Figure:
    """Draw photographs above their heat maps, and the confusion matrix to the right."""
    chosen = choose(evaluation)
    figure = plt.figure(figsize=INCHES, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.9, 1])
    axes = left.subplots(2, len(chosen))
    for column, index in enumerate(chosen):
        pixels = classifier.load(evaluation.files[index])
        probability, label = evaluation.probabilities[index].max(dim=0)
        color = "black" if label == evaluation.targets[index] else "#b30000"
        title = f"{classifier.classes[label]}\n{probability:.0%}"
        axes[0, column].imshow(pixels.permute(1, 2, 0))
        axes[0, column].set_title(title, color=color, fontsize=10)
        axes[1, column].imshow(overlay(classifier, pixels))
    for axis in axes.flat:
        axis.axis("off")
    draw_matrix(right.subplots(), classifier.classes, evaluation)
    return figure


def draw_matrix(axis: plt.Axes, classes: list[str], evaluation: Evaluation) -> None:
    """Draw the confusion matrix with its nonzero counts."""
    labels = range(len(classes))
    matrix = confusion_matrix(evaluation.targets, evaluation.predictions, labels=labels)
    axis.imshow(matrix, cmap="Blues", vmax=1.4 * matrix.max())
    for row, column in np.argwhere(matrix):
        axis.text(column, row, matrix[row, column], ha="center", va="center")
    axis.set_xticks(labels, classes, rotation=90)
    axis.set_yticks(labels, classes)
    axis.tick_params(length=0, labelsize=10)
    axis.set(xlabel="predicted class", ylabel="true class")


def main() -> None:
    """Train, draw, and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        classifier, metrics = train_classifier("cutouts", folder)
    test = load_splits("cutouts", mode="RGB")["test"]
    digests = file_digests([path for path, _ in test.samples])
    evaluation = evaluate_files(classifier, test, digests, classifier.trained_on)
    draw(classifier, evaluation).savefig(TARGET, dpi=DPI)
    Image.open(TARGET).convert("RGB").save(TARGET, optimize=True)
    print(f"accuracy {metrics['accuracy']:.3f}, {TARGET.stat().st_size / 1e3:.0f} kB: {TARGET}")


if __name__ == "__main__":
    main()
