"""Make docs/course.png, the picture at the top of the README and of the website.

    python tools/build_picture.py

What the course ends with, in one look: test photographs, what a network answers that learned for
some seconds on features, where it looked (Grad-CAM), and its confusion matrix.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from course_utils.datasets import load_splits
from course_utils.evaluation import confusion_matrix
from image_classifier import app, workflow
from image_classifier.model import ImageClassifier
from image_classifier.report import Judged

TARGET = Path(__file__).resolve().parents[1] / "docs" / "course.png"
INCHES = (10.5, 3.3)
DOTS = 140  # an inch


def choose(judged: Judged) -> list[int]:
    """Take of each class the photograph that the network is most sure of, and one mistake."""
    sure, answers = judged.probabilities.max(dim=1)
    right = answers == judged.targets
    best = [
        int((sure * right * (judged.targets == label)).argmax())
        for label in judged.targets.unique()
    ]
    return [*best[:5], int((sure * ~right).argmax())]


def draw(classifier: ImageClassifier, judged: Judged) -> Figure:
    """Draw photographs above, heat below, and the confusion matrix at the right."""
    chosen = choose(judged)
    figure = plt.figure(figsize=INCHES, layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.9, 1])
    axes = left.subplots(2, len(chosen))
    for column, index in enumerate(chosen):
        pixels = judged.images[index]
        probability, answer = judged.probabilities[index].max(dim=0)
        is_right = answer == judged.targets[index]
        axes[0, column].imshow(pixels.permute(1, 2, 0))
        axes[0, column].set_title(
            f"{classifier.classes[answer]}\n{probability:.0%}",
            color="black" if is_right else "#b30000",
            fontsize=10,
        )
        axes[1, column].imshow(app.overlay(classifier, pixels))
    for axis in axes.flat:
        axis.axis("off")
    draw_counts(right.subplots(), classifier.classes, judged)
    return figure


def draw_counts(axis: plt.Axes, classes: list[str], judged: Judged) -> None:
    """Draw the confusion matrix."""
    count = len(classes)
    answers = judged.probabilities.argmax(dim=1)
    matrix = confusion_matrix(judged.targets, answers, count)
    axis.imshow(matrix, cmap="Blues", vmax=1.4 * matrix.max())
    for row, column in np.argwhere(matrix):
        axis.text(column, row, matrix[row, column], ha="center", va="center")
    axis.set_xticks(range(count), classes, rotation=90)
    axis.set_yticks(range(count), classes)
    axis.tick_params(length=0, labelsize=10)
    axis.set(xlabel="predicted class", ylabel="true class")


def main() -> None:
    """Train, draw, and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        classifier, metrics = workflow.train_classifier("cutouts", folder)
    judged = workflow.judge(classifier, load_splits("cutouts", mode="RGB")["test"])
    figure = draw(classifier, judged)
    figure.savefig(TARGET, dpi=DOTS)
    Image.open(TARGET).convert("RGB").save(TARGET, optimize=True)
    print(
        f"accuracy {metrics['accuracy']:.3f}; {TARGET.stat().st_size / 1e3:.0f} kB: {TARGET.name}"
    )


if __name__ == "__main__":
    main()
