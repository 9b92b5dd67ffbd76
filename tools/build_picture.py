"""Draw docs/course.png, the figure at the top of the README, and docs/app.png.

    python -m tools.build_picture

The first shows test photographs with the predictions of a classifier that was trained in seconds,
their Grad-CAM maps, and the confusion matrix; the second is a screenshot of the web page.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

from course_utils.datasets import load_splits
from image_classifier.app import build_page, launch, overlay
from image_classifier.evaluate import evaluate_files
from image_classifier.features import file_digests
from image_classifier.model import ImageClassifier
from image_classifier.report import Evaluation
from image_classifier.train import train_classifier
from tools.screenshots import SETTLED, launched, save_small

DOCS = Path(__file__).resolve().parents[1] / "docs"
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
    """Draw photographs above their attribution maps, and the confusion matrix to the right."""
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


def take_screenshot(classifier: ImageClassifier, photograph: str, target: Path) -> None:
    """Take a screenshot of the web page after a photograph was uploaded; needs Chromium."""
    app = build_page(classifier)
    address = launch(app)
    with launched() as browser:
        page = browser.new_page(viewport={"width": 960, "height": 620})
        page.goto(address)
        with page.expect_file_chooser() as chooser:
            page.get_by_text("Click to Upload").click()
        chooser.value.set_files(photograph)
        page.wait_for_function("document.querySelectorAll('img[src*=file]').length == 2")
        page.wait_for_timeout(SETTLED)
        save_small(page.screenshot(), target)
    app.close(verbose=False)


def main() -> None:
    """Train, draw, and write the files."""
    with tempfile.TemporaryDirectory() as folder:
        classifier, metrics = train_classifier("cutouts", folder)
    test = load_splits("cutouts", mode="RGB")["test"]
    digests = file_digests([path for path, _ in test.samples])
    evaluation = evaluate_files(classifier, test, digests, classifier.trained_on)
    target = DOCS / "course.png"
    draw(classifier, evaluation).savefig(target, dpi=DPI)
    Image.open(target).convert("RGB").save(target, optimize=True)
    take_screenshot(classifier, evaluation.files[choose(evaluation)[0]], DOCS / "app.png")
    print(f"accuracy {metrics['accuracy']:.3f}, written to docs/course.png and docs/app.png")


if __name__ == "__main__":
    main()
