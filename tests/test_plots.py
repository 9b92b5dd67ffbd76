"""Figures show what they were given, and say it in words."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from course_utils import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_show_gives_the_alt_text_and_closes(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "display", lambda figure, metadata: shown.append(metadata))
    figure = plt.figure()
    figure.set_label("A line that rises.")
    plots.show(figure)
    plots.show(plt.figure(), "Another text.")
    assert shown == [
        {"image/png": {"alt": "A line that rises."}},
        {"image/png": {"alt": "Another text."}},
    ]
    assert plt.get_fignums() == []
    with pytest.raises(ValueError, match="needs an alt text"):
        plots.show(plt.figure())


def test_image_grid_takes_every_kind_of_image():
    grey, colour = torch.full((1, 4, 6), 0.5), torch.zeros(3, 4, 6)
    colour[0] = 1
    images = [grey, colour, (colour * 255).to(torch.uint8), Image.new("L", (6, 4), 128)]
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


def test_class_distribution_has_a_bar_for_every_number():
    counts = pd.DataFrame({"train": [30, 10], "test": [6, 2]}, index=["cat", "dog"])
    figure = plots.class_distribution(counts)
    heights = [bar.get_height() for group in figure.axes[0].containers for bar in group]
    assert heights == [30, 10, 6, 2]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["cat", "dog"]
    assert "Most images: cat (36); fewest: dog (12)" in figure.get_label()


def history(epochs):
    numbers = np.linspace(1, 0.5, epochs)
    return pd.DataFrame(
        {
            "epoch": range(1, epochs + 1),
            "train_loss": numbers,
            "val_loss": numbers + 0.1,
            "train_accuracy": 1 - numbers / 2,
            "val_accuracy": 0.9 - numbers / 2,
        }
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
        assert [text.get_text() for text in axis.get_legend().get_texts()] == [
            "train", "validation"
        ]  # fmt: skip
        assert axis.get_xlabel() == "epoch"
        assert quantity in axis.get_ylabel()
    last = frame.iloc[-1]
    assert f"goes from 1.00 to {last.train_loss:.2f}" in figure.get_label()


def test_curve_gallery_has_a_panel_for_every_run():
    good = history(6)
    runs = {"good": good, "broke\noff": good[:2], "a": history(3), "b": good[:0], "c": history(1)}
    figure = plots.curve_gallery(runs, "Runs", top=2.0, columns=3)
    drawn = [axis for axis in figure.axes if axis.lines]
    assert [axis.get_title() for axis in drawn] == list(runs)
    assert len(figure.axes) == 6
    for axis, frame in zip(drawn, runs.values(), strict=True):
        for line, column in zip(axis.lines, ("train_loss", "val_loss"), strict=True):
            np.testing.assert_array_equal(line.get_ydata(), frame[column])
            np.testing.assert_array_equal(line.get_xdata(), frame["epoch"])
        assert axis.get_ylim() == (0, 2)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["train", "validation"]
    alt = figure.get_label()
    assert "good: training from 1.00 to 0.50, validation from 1.10 to 0.60, lowest in" in alt
    assert "broke off: training from 1.00 to 0.90" in alt
    assert "b: no complete epoch." in alt


def test_confusion_matrix_shows_the_counts():
    matrix = np.array([[8, 2, 0], [1, 9, 0], [0, 5, 5]])
    figure = plots.confusion_matrix(matrix, ["cat", "dog", "cow"])
    axis = figure.axes[0]
    assert [int(text.get_text()) for text in axis.texts] == matrix.flatten().tolist()
    assert axis.get_xlabel() == "predicted class"
    assert axis.get_ylabel() == "true class"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cat", "dog", "cow"]
    assert "22 of 30 images are on the diagonal" in figure.get_label()
    assert "cow taken for dog (5 times)" in figure.get_label()
    perfect = plots.confusion_matrix(np.eye(2, dtype=int), ["cat", "dog"])
    assert "There is no mistake" in perfect.get_label()


def test_health_grid_draws_what_can_be_drawn(tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    (tmp_path / "broken.png").write_text("no image")
    findings = pd.DataFrame(
        [
            ("error", "unreadable", "broken.png", "no image"),
            ("warning", "duplicate", "red.png", "same as other.png"),
            ("error", "empty class folder", "cats", "no image in it"),
        ],
        columns=["level", "problem", "file", "detail"],
    )
    figure = plots.health_grid(findings, tmp_path)
    assert [len(axis.images) for axis in figure.axes] == [0, 1]
    assert [axis.get_title() for axis in figure.axes] == [
        "unreadable\nbroken.png",
        "duplicate\nred.png",
    ]
    assert figure.get_label() == (
        "Pictures of 2 files with findings: 1 x unreadable, 1 x duplicate, 1 x empty class folder."
    )
    assert "nothing found" in plots.health_grid(findings.iloc[:0], tmp_path).get_label()
