"""From a folder to a model file, a report and answers, as a user of the command line does it."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from course_utils import evaluation
from course_utils.datasets import image_folder, load_splits
from course_utils.errors import DataError
from image_classifier import workflow
from image_classifier.__main__ import main
from image_classifier.model import load_classifier

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"
FAST = ["--image-size", "64", "--epochs", "3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained classifier in a folder, with its report."""
    output = tmp_path_factory.mktemp("model")
    assert main(["train", str(PHOTOS), "--output", str(output), *FAST]) == 0
    return output


def test_the_report_is_complete(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"model.pt", "index.html", "metrics.json", "predictions.csv", "MODEL_CARD.md"} <= names
    page = (trained / "index.html").read_text("utf-8")
    pictures = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page)
    assert {"curves.png", "confusion.png", "reliability.png"} <= {name for name, _ in pictures}
    assert all((trained / name).is_file() and len(alt) > 40 for name, alt in pictures)
    links = re.findall(r'href="([^"#]+)"', page)
    assert all((trained / link).is_file() for link in links) and len(links) == 3
    assert "http" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)


def test_the_metrics_are_those_of_the_predictions(trained):
    table = pd.read_csv(trained / "predictions.csv")
    metrics = json.loads((trained / "metrics.json").read_text("utf-8"))
    test = load_splits(PHOTOS, mode="RGB")["test"]
    assert table["file"].tolist() == [path for path, _ in test.samples]
    assert metrics["images"] == len(table) == len(test)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(table["class"], table["predicted"]))
    f1 = f1_score(table["class"], table["predicted"], average="macro", zero_division=0)
    assert metrics["macro F1"] == pytest.approx(f1, abs=1e-6)
    assert metrics["accuracy low"] <= metrics["accuracy"] <= metrics["accuracy high"]


def test_the_same_seed_gives_the_same_model(trained, tmp_path):
    assert main(["train", str(PHOTOS), "--output", str(tmp_path), *FAST]) == 0
    one, other = (load_classifier(folder / "model.pt") for folder in (trained, tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert one.temperature == other.temperature


def test_judging_again_gives_the_same_numbers(trained, tmp_path, capsys):
    model = str(trained / "model.pt")
    assert main(["evaluate", model, str(PHOTOS), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"accuracy 0\.\d+ on 24 test images", said)  # a folder without splits: all
    judged = workflow.judge(load_classifier(model), load_splits(PHOTOS, mode="RGB")["test"])
    again = pd.read_csv(trained / "predictions.csv")
    assert judged.probabilities.amax(dim=1).tolist() == pytest.approx(
        again["probability"].tolist(), abs=1e-3
    )


def test_classes_are_matched_by_name(trained, tmp_path):
    """A folder with fewer classes: index 0 there is not index 0 of the classifier."""
    classifier = load_classifier(trained / "model.pt")
    for name in classifier.classes[1:]:
        shutil.copytree(PHOTOS / name, tmp_path / name)
    judged = workflow.judge(classifier, image_folder(tmp_path, mode="RGB"))
    assert sorted(set(judged.targets.tolist())) == [1, 2]
    shutil.copytree(PHOTOS / classifier.classes[0], tmp_path / "unicorns")
    with pytest.raises(DataError, match="does not know the class 'unicorns'"):
        workflow.judge(classifier, image_folder(tmp_path, mode="RGB"))


def test_one_bad_file_does_not_stop_the_others(trained, tmp_path, capsys):
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Sir")
    good = sorted(PHOTOS.rglob("*.jpg"))[:3]
    csv = tmp_path / "answers.csv"
    files = [str(good[0]), str(bad), *map(str, good[1:])]
    model = str(trained / "model.pt")
    assert main(["predict", model, *files, "--csv", str(csv)]) == 1
    said = capsys.readouterr()
    assert "letter.jpg is no image" in said.err and good[2].name in said.out
    table = pd.read_csv(csv)
    assert table["file"].tolist() == files
    assert table["probability"].isna().tolist() == [False, True, False, False]
    assert main(["predict", model, *files[2:]]) == 0


def test_below_the_threshold_it_is_not_sure(trained):
    classifier = load_classifier(trained / "model.pt")
    files = sorted(PHOTOS.rglob("*.jpg"))[:6]
    classifier.threshold = 1.0
    table = workflow.predict_files(classifier, files)
    assert set(table["class"]) == {"not sure"}
    classifier.threshold = 0.0
    sure = workflow.predict_files(classifier, files, batch_size=2)
    assert sure["class"].tolist() == table["likeliest"].tolist()
    assert sure["probability"].tolist() == pytest.approx(table["probability"].tolist(), abs=1e-5)


def test_fine_tuning_changes_the_backbone(tmp_path, trained):
    options = workflow.TrainOptions(image_size=64, epochs=2, fine_tune=1)
    classifier, _ = workflow.train_classifier(PHOTOS, tmp_path, options)
    before = load_classifier(trained / "model.pt").net.backbone.state_dict()
    after = classifier.net.backbone.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any("running" in name for name in changed)
    assert not classifier.training and all(not part.training for part in classifier.modules())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "nowhere"], "There is no folder"),
        (["train", "cutouts", "--backbone", "vgg"], "There is no backbone 'vgg'"),
        (["evaluate", "none.pt", "cutouts"], "There is no file none.pt"),
        (["predict", "none.pt", "a.jpg"], "There is no file none.pt"),
        (["export", "none.pt"], "There is no file none.pt"),
        (["app", "none.pt"], "There is no file none.pt"),
    ],
)
def test_mistakes_get_one_sentence(command, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "build"))
    assert main(command) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


@pytest.mark.parametrize(
    "option", ["--image-size=8", "--fine-tune=-1", "--threshold=nan", "--epochs=0"]
)
def test_odd_numbers_are_refused(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "cutouts", option])
    assert re.search(r"must be (from|0 or more|1 or more)", capsys.readouterr().err)


def test_a_damaged_image_points_to_tidy(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"data tidy FOLDER` leaves such files out"):
        workflow.train_classifier(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_coverage_counts_answers():
    probabilities = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.2, 0.8]])
    curve = evaluation.coverage_curve(probabilities, [0, 0, 1, 1]).set_index("threshold")
    assert curve.loc[0.0].tolist() == [1.0, 0.5]
    assert curve.loc[0.55].tolist() == [0.75, pytest.approx(2 / 3)]
    assert curve.loc[0.7].tolist() == [0.5, 1.0]
    assert curve.loc[1.0, "coverage"] == 0 and pd.isna(curve.loc[1.0, "accuracy"])
