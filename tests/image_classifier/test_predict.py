"""Predictions of files and folders; one unreadable file does not stop the others."""

import pandas as pd
import pytest

from course_utils.errors import DataError
from course_utils.image_io import load_image
from image_classifier.model import load_classifier, save_classifier
from image_classifier.predict import predict_files


@pytest.fixture(scope="session")
def classifier(trained):
    return load_classifier(trained / "model.pt")


@pytest.fixture(scope="session")
def images(photos):
    return sorted(photos.rglob("*.jpg"))


def test_an_unreadable_file_does_not_stop_the_others(trained, images, tmp_path, run, monkeypatch):
    monkeypatch.setattr("image_classifier.predict.CHUNK", 2)
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Sir")
    files = [images[0], bad, *images[1:3]]
    csv = tmp_path / "new" / "classes.csv"
    result = run("predict", trained / "model.pt", *files, "--csv", csv)
    assert result.code == 1
    assert "letter.jpg" in result.err and images[2].name in result.out
    assert "1 of 4 files" in result.err
    table = pd.read_csv(csv)
    assert table["file"].tolist() == [str(path) for path in files]
    assert table["probability"].isna().tolist() == [False, True, False, False]
    assert run("predict", trained / "model.pt", *images[:2]).code == 0


def test_only_unreadable_files(trained, tmp_path, run):
    """Defect: a row of nan was printed."""
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    result = run("predict", trained / "model.pt", tmp_path / "letter.jpg", tmp_path / "none.jpg")
    assert result.code == 1
    assert result.out == "" and "nan" not in result.err.lower()
    assert "2 of 2 files could not be read" in result.err


def test_below_the_threshold_the_class_is_not_sure(classifier, images):
    classifier.threshold = 1.1
    table = predict_files(classifier, images)
    assert set(table["class"]) == {"not sure"}
    classifier.threshold = 0.0
    sure = predict_files(classifier, images[:6])
    assert sure["class"].tolist() == table["predicted"].tolist()[:6]
    for row, path in zip(sure.itertuples(), images, strict=False):
        name, probability = next(iter(classifier.top(load_image(path)).items()))
        assert (row.predicted, row.probability) == (name, pytest.approx(probability, abs=0.01))


def test_a_folder_stands_for_its_images(classifier, photos, images, tmp_path):
    """Defect: a folder was refused."""
    table = predict_files(classifier, [photos])
    assert table["file"].tolist() == [str(path) for path in images]
    with pytest.raises(DataError, match="There are no images in"):
        predict_files(classifier, [tmp_path])


def test_names_that_are_not_utf_8(make_classifier, images, tmp_path, run):
    save_classifier(make_classifier("mobilenet_v3_small", 64), tmp_path / "model.pt")
    odd = tmp_path / b"\xff.jpg".decode("utf-8", "surrogateescape")
    odd.write_bytes(images[0].read_bytes())
    result = run("predict", tmp_path / "model.pt", odd, "--csv", tmp_path / "table.csv")
    assert result.code == 0 and r"\udcff.jpg" in result.out
    assert r"\udcff.jpg" in (tmp_path / "table.csv").read_text("utf-8")
