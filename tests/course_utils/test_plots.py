"""Figures show what they are given, and describe it in their alt text."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import colormaps
from matplotlib.text import Text
from PIL import Image

from course_utils import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def texts(drawn):
    return [text.get_text() for text in drawn]


def test_show_displays_the_alt_text_and_closes_the_figure(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda figure, metadata: shown.append(metadata))
    figure = plt.figure()
    figure.set_label("A line that rises.")
    plots.show(figure)
    plots.show(plt.figure(), "Another text.")
    assert [metadata["image/png"] for metadata in shown] == [
        {"alt": "A line that rises."}, {"alt": "Another text."}
    ]  # fmt: skip
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match="needs an alt text"):
        plots.show(plt.figure())


def test_image_grid_accepts_tensors_and_pil_images():
    gray, color = torch.full((1, 4, 6), 0.5), torch.zeros(3, 4, 6)
    color[0] = 1
    images = [gray, color, (color * 255).to(torch.uint8), Image.new("L", (6, 4), 128)]
    figure = plots.image_grid(images, ["one", "two", "three", "four"], "Kinds", columns=3)
    drawn = [axis for axis in figure.axes if axis.images]
    assert len(figure.axes) == 6
    assert [axis.get_title() for axis in drawn] == ["one", "two", "three", "four"]
    assert [axis.images[0].get_array().shape for axis in drawn] == [
        (4, 6), (4, 6, 3), (4, 6, 3), (4, 6)
    ]  # fmt: skip
    assert drawn[0].images[0].get_clim() == (0, 1)
    assert drawn[3].images[0].get_clim() == (0, 255)
    assert drawn[1].images[0].get_array()[0, 0].tolist() == [1, 0, 0]
    assert figure.get_label() == "4 images in 2 rows. Kinds: one, two, three, four."


def test_image_grid_has_a_title_for_each_image_or_none():
    pictures = [Image.new("L", (4, 4))] * 2
    one, two = plots.image_grid(pictures, ["a", "b"]), plots.image_grid(pictures, ["a\nb", "c"])
    assert two.get_figheight() > one.get_figheight()  # room for two lines
    assert two.get_label().endswith("a b, c.")
    assert plots.image_grid(pictures, title="Both").get_label() == "2 images. Both."
    with pytest.raises(ValueError, match="shorter"):
        plots.image_grid(pictures, ["a"])


def test_class_distribution_has_a_bar_for_every_number():
    counts = pd.DataFrame({"train": [30, 10], "test": [6, 2]}, index=["cat", "dog"])
    figure = plots.class_distribution(counts)
    heights = [bar.get_height() for group in figure.axes[0].containers for bar in group]
    assert heights == [30, 10, 6, 2]
    assert texts(figure.axes[0].get_xticklabels()) == ["cat", "dog"]
    assert "Most images: cat (36); fewest: dog (12)" in figure.get_label()


def history(epochs):
    losses = np.linspace(1, 0.5, epochs)
    frame = pd.DataFrame({"epoch": range(1, epochs + 1), "train_loss": losses})
    return frame.assign(
        val_loss=losses + 0.1, train_accuracy=1 - losses / 2, val_accuracy=0.9 - losses / 2
    )


@pytest.mark.parametrize("epochs", [1, 6])
def test_training_curves_draw_the_history(epochs):
    frame = history(epochs)
    figure = plots.training_curves(frame, "A run")
    for axis, quantity in zip(figure.axes, ("loss", "accuracy"), strict=True):
        lines = [line for line in axis.lines if len(line.get_xdata())]
        for line, name in zip(lines, ("train", "val"), strict=False):
            np.testing.assert_allclose(line.get_ydata(), frame[f"{name}_{quantity}"])
            np.testing.assert_allclose(line.get_xdata(), frame["epoch"])
        assert texts(axis.get_legend().get_texts()) == ["train", "validation"]
        assert axis.get_xlabel() == "epoch"
    assert [axis.get_ylabel() for axis in figure.axes] == ["loss (nats per image)", "accuracy"]
    last = frame.iloc[-1]
    assert f"goes from 1.00 to {last.train_loss:.2f}" in figure.get_label()


def test_curve_gallery_has_a_panel_for_every_run():
    good = history(6)
    runs = {"good": good, "broke\noff": good[:2], "a": history(3), "b": good[:0], "c": history(1)}
    figure = plots.curve_gallery(runs, "Runs", limit=2.0)
    drawn = [axis for axis in figure.axes if axis.lines]
    assert [axis.get_title() for axis in drawn] == list(runs)
    assert len(figure.axes) == 8
    for axis, frame in zip(drawn, runs.values(), strict=True):
        for line, column in zip(axis.lines, ("train_loss", "val_loss"), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), frame[column])
            np.testing.assert_array_equal(line.get_xdata(), frame["epoch"])
        assert axis.get_ylim() == (0, 2)
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == ["train", "validation"]
    alt = figure.get_label()
    assert "good: training from 1.00 to 0.50, validation from 1.10 to 0.60, lowest in" in alt
    assert "broke off: training from 1.00 to 0.90" in alt
    assert "b: no complete epoch." in alt


def test_confusion_heatmap_shows_the_counts():
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 5, 5]])
    figure = plots.confusion_heatmap(matrix, ["cat", "dog", "cow"])
    axis = figure.axes[0]
    assert texts(axis.texts) == ["8", "2", "", "1", "9", "", "", "5", "5"]
    assert axis.get_xlabel() == "predicted class"
    assert axis.get_ylabel() == "true class"
    assert texts(axis.get_yticklabels()) == ["cat", "dog", "cow"]
    assert "22 of 30 images are on the diagonal" in figure.get_label()
    assert "cow predicted as dog (5 times)" in figure.get_label()
    perfect = plots.confusion_heatmap(np.eye(2, dtype=int), ["cat", "dog"])
    assert "There are no errors" in perfect.get_label()


@pytest.mark.parametrize("count", [1, 3, 12, 25, 100])
def test_confusion_heatmap_stays_readable(count):
    matrix = 90 * np.eye(count, dtype=int) + 1
    names = [f"class {number} with a rather long name" for number in range(count)]
    figure = plots.confusion_heatmap(matrix, names)
    figure.draw_without_rendering()
    axis = figure.axes[0]
    assert bool(axis.texts) == (count <= 25)
    assert max(figure.get_size_inches()) < 10
    labels = axis.get_yticklabels()
    assert min(count, 25) == len(labels)
    for label, place in zip(labels, axis.get_yticks(), strict=True):
        assert label.get_text().split()[1] == str(int(place))
    boxes = [label.get_window_extent() for label in axis.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
    assert axis.get_window_extent().height > figure.bbox.height / 3


def test_a_single_error_has_a_color():
    matrix = 500 * np.eye(3, dtype=int)
    matrix[0, 2] = 5
    mesh = plots.confusion_heatmap(matrix, ["a", "b", "c"]).axes[0].collections[0]
    mesh.update_scalarmappable()
    colors = mesh.get_facecolors()[:, :3]
    assert np.abs(colors[2] - colors[1]).max() > 0.05
    assert np.abs(colors[0] - colors[1]).max() > 0.5


def test_reliability_diagram_draws_the_bins():
    columns = ["low", "high", "count", "confidence", "accuracy"]
    table = pd.DataFrame([(0.4, 0.5, 10, 0.45, 0.5), (0.9, 1.0, 90, 0.97, 0.8)], columns=columns)
    figure = plots.reliability_diagram(table)
    upper, lower = figure.axes
    assert [bar.get_height() for bar in upper.containers[0]] == [0.5, 0.8]
    assert [bar.get_x() for bar in upper.containers[0]] == pytest.approx([0.4, 0.9])
    assert texts(upper.get_legend().get_texts()) == ["perfect calibration"]
    assert [bar.get_height() for bar in lower.containers[0]] == [10, 90]
    assert "accuracy is below the mean probability in 1 of 2 bins" in figure.get_label()
    assert "up to 1.00" in figure.get_label()


def test_health_grid_draws_images_and_crosses(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_text("no image")
    rows = [("unreadable", "broken.png"), ("duplicate", "red.png"), ("empty class folder", "cats")]
    findings = pd.DataFrame(rows, columns=["problem", "file"])
    figure = plots.health_grid(findings, tmp_path)
    cross, red = (axis.images[0].get_array() for axis in figure.axes)
    assert cross.ndim == 2 and cross[0, 0] == cross[0, -1] < cross[0, 20]
    assert red[0, 0].tolist() == [255, 0, 0]
    assert [axis.get_title() for axis in figure.axes] == [
        "unreadable\nbroken.png",
        "duplicate\nred.png",
    ]
    assert figure.get_label() == (
        "Images of 2 files with findings: 1 x unreadable, 1 x duplicate, 1 x empty class folder."
    )
    assert "nothing found" in plots.health_grid(findings.iloc[:0], tmp_path).get_label()


def test_prediction_draws_the_image_and_its_classes():
    top = pd.DataFrame({"class": ["cat", "dog & cow"], "probability": [0.75, 0.25]})
    figure = plots.prediction_chart(Image.new("RGB", (8, 4), "red"), top, "A photograph")
    left, right = figure.axes
    assert left.images[0].get_array().shape == (4, 8, 3)
    assert [bar.get_width() for bar in right.containers[0]] == [0.75, 0.25]
    assert texts(right.get_yticklabels()) == ["cat", "dog & cow"]
    assert texts(right.texts) == ["75.0%", "25.0%"]
    assert "A photograph: cat 75.0%, dog & cow 25.0%." in figure.get_label()


def test_overlay_mixes_gray_with_the_colors_of_the_attribution():
    attribution = torch.tensor([[0.0, 1.0, 2.0, -1.0]])
    white = np.full((1, 4, 3), 255, np.uint8)
    found = plots.overlay(white, attribution)
    brightest = 255 * np.array(colormaps["inferno"](1.0)[:3])
    darkest = 255 * np.array(colormaps["inferno"](0.0)[:3])
    np.testing.assert_allclose(found[0, 0], 0.85 * 255 + 0.15 * darkest, atol=0.51)
    np.testing.assert_allclose(found[0, 2], 0.25 * 255 + 0.75 * brightest, atol=0.51)
    assert found.dtype == np.uint8 and (found[0, 3] == found[0, 0]).all()
    assert (plots.overlay(white, attribution, limit=1.0)[0, 1] == found[0, 2]).all()
    for image in (torch.ones(1, 1, 4), torch.ones(3, 1, 4), Image.new("RGB", (4, 1), "white")):
        np.testing.assert_array_equal(plots.overlay(image, attribution), found)
    assert (plots.overlay(white, torch.zeros(1, 4)) == found[0, 0]).all()


def test_a_class_name_is_not_a_formula(tmp_path):
    """Such a name ended the training report with a traceback."""
    name = "a$^$"  # as a formula, this is a syntax error
    picture, matrix = Image.new("L", (4, 4)), np.array([[3, 1], [0, 4]])
    top = pd.DataFrame({"class": [name], "probability": [1.0]})
    (tmp_path / f"{name}.png").touch()
    findings = pd.DataFrame({"problem": ["unreadable"], "file": [f"{name}.png"]})
    for figure in (
        plots.image_grid([picture], [name], name),
        plots.class_distribution(pd.DataFrame({"train": [3, 4]}, [name, "b"]), name),
        plots.training_curves(history(2), name),
        plots.curve_gallery({name: history(2)}, name),
        plots.confusion_heatmap(matrix, [name, "b"], name),
        plots.prediction_chart(picture, top, name),
        plots.health_grid(findings, tmp_path),
    ):
        figure.draw_without_rendering()
        assert any(name in text.get_text() for text in figure.findobj(Text))
