"""Training writes a model file and a complete report, and fails before the work if it must."""

import json
import re
import shutil

import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score

from course_utils import evaluation
from course_utils.datasets import image_folder, load_splits
from course_utils.errors import DataError
from image_classifier import report, train
from image_classifier.evaluate import evaluate_classifier, evaluate_images
from image_classifier.model import load_classifier
from image_classifier.train import calibrate, train_classifier

FAST = {"image_size": 64, "epochs": 1}


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
    card = (trained / "MODEL_CARD.md").read_text("utf-8")
    for line in filter(None, card.splitlines()):
        assert line.removeprefix("# ") == "Model card" or line.lstrip("#- ") in page


def test_the_metrics_follow_from_the_predictions(trained, photos):
    table = pd.read_csv(trained / "predictions.csv")
    metrics = json.loads((trained / "metrics.json").read_text("utf-8"))
    test = load_splits(photos, mode="RGB")["test"]
    assert table["file"].tolist() == [path for path, _ in test.samples]
    assert metrics["images"] == len(table) == len(test)
    assert metrics["accuracy"] == pytest.approx(accuracy_score(table["class"], table["predicted"]))
    f1 = f1_score(table["class"], table["predicted"], average="macro", zero_division=0)
    assert metrics["macro F1"] == pytest.approx(f1, abs=1e-6)
    assert metrics["accuracy low"] <= metrics["accuracy"] <= metrics["accuracy high"]


def test_top_2_accuracy():
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    images = torch.zeros(3, 3, 4, 4, dtype=torch.uint8)
    targets = torch.tensor([1, 2, 2])
    result = report.Evaluation(["a", "b", "c"], ["x", "y", "z"], images, targets, probabilities)
    assert result.metrics["top-2 accuracy"] == pytest.approx(2 / 3)
    assert result.metrics["accuracy"] == pytest.approx(1 / 3)


def test_the_same_seed_gives_the_same_model(trained, photos, tmp_path):
    train_classifier(photos, tmp_path, image_size=64, epochs=3)
    one, other = (load_classifier(folder / "model.pt") for folder in (trained, tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert one.temperature == other.temperature


def test_evaluation_reproduces_the_metrics_of_training(trained, photos, tmp_path, run):
    result = run("evaluate", trained / "model.pt", photos, "--output", tmp_path)
    assert result.code == 0
    assert re.search(r"accuracy 0\.\d+ on 24 test images", result.out)  # no splits: all images
    test = load_splits(photos, mode="RGB")["test"]
    again = evaluate_images(load_classifier(trained / "model.pt"), test).probabilities
    before = pd.read_csv(trained / "predictions.csv")["probability"]
    assert again.amax(dim=1).tolist() == pytest.approx(before.tolist(), abs=1e-3)


def test_classes_are_matched_by_name(trained, photos, tmp_path):
    """In a folder without the first class, index 0 is not index 0 of the classifier."""
    classifier = load_classifier(trained / "model.pt")
    for name in classifier.classes[1:]:
        shutil.copytree(photos / name, tmp_path / name)
    result = evaluate_images(classifier, image_folder(tmp_path, mode="RGB"))
    assert sorted(set(result.targets.tolist())) == [1, 2]
    shutil.copytree(photos / classifier.classes[0], tmp_path / "unicorns")
    with pytest.raises(DataError, match="has no class 'unicorns'"):
        evaluate_images(classifier, image_folder(tmp_path, mode="RGB"))


def test_fine_tuning_changes_the_backbone(photos, tmp_path, trained):
    classifier, _ = train_classifier(photos, tmp_path, **FAST, fine_tune=1)
    before = load_classifier(trained / "model.pt").net.backbone.state_dict()
    after = classifier.net.backbone.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and not any("running" in name for name in changed)
    assert all(not part.training for part in classifier.modules())


def test_temperature_does_not_collapse_if_all_predictions_are_correct():
    """Defect: with T = 0.04 even images of other classes had a probability of 1."""
    logits, targets = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    assert calibrate(logits, targets) == 1
    overconfident = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), torch.tensor([0, 1, 1])
    assert calibrate(*overconfident) == evaluation.fit_temperature(*overconfident) > 1
    modest = torch.tensor([[1.0, 0.9]] * 9 + [[0.0, 0.1]]), torch.tensor([0] * 10)
    assert calibrate(*modest) == evaluation.fit_temperature(*modest) < 1


def odd_evaluation(classes):
    """Predictions with a mistake between the first two classes."""
    return report.Evaluation(
        ["a.jpg", "b.jpg"],
        classes,
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
        torch.tensor([0, 1]),
        torch.tensor([[0.2, 0.8], [0.3, 0.7]]),
    )


@pytest.mark.parametrize(
    "odd", ["moth1", "h1", "a$^$", "<script>alert(1)</script>", 'a"b', "\udcff"]
)
def test_the_report_shows_any_class_name(odd, make_classifier, tmp_path):
    """Defects: moth1 became moth2, a$^$ ended in a traceback, and HTML was not escaped."""
    classifier = make_classifier()
    classifier.classes = [train.printable(odd), "pears"]
    evaluated = odd_evaluation(classifier.classes)
    report.write_report(tmp_path, classifier, evaluated, f"Evaluated on {classifier.classes[0]}")
    page = (tmp_path / "index.html").read_text("utf-8")
    assert "<script" not in page
    escaped = page.replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")
    assert escaped.replace("&quot;", '"').count(classifier.classes[0]) >= 4
    assert "moth2" not in page
    assert {"confusion.png", "mistakes.png"} <= {path.name for path in tmp_path.iterdir()}


def test_an_unwritable_output_is_noticed_before_training(photos, trained, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(train, "decode_images", None)  # fails if called
    monkeypatch.setattr("image_classifier.evaluate.evaluate_images", None)
    for output in (tmp_path / "file", tmp_path / "file" / "model"):
        with pytest.raises(DataError, match="cannot be created"):
            train_classifier(photos, output)
        with pytest.raises(DataError, match="cannot be created"):
            evaluate_classifier(trained / "model.pt", photos, output)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(DataError, match=r"cannot be written to\. Choose another folder"):
        train_classifier(photos, tmp_path / "read-only")


def test_an_unreadable_image_is_named_with_the_remedy(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"\d\.jpg .* `python -m image_classifier prepare FOLDER`"):
        train_classifier(tmp_path, tmp_path / "out", **FAST)


def test_class_names_that_are_not_utf_8(photos, tmp_path):
    data = tmp_path / "data"
    for name, odd in zip(sorted(path.name for path in photos.iterdir()), "abc", strict=True):
        target = data / (b"\xff\xfe" + odd.encode()).decode("utf-8", "surrogateescape")
        shutil.copytree(photos / name, target)
    classifier, _ = train_classifier(data, tmp_path / "out", **FAST)
    assert classifier.classes == ["\\udcff\\udcfea", "\\udcff\\udcfeb", "\\udcff\\udcfec"]
    evaluate_classifier(tmp_path / "out" / "model.pt", data, tmp_path / "again")
    assert "udcff" in (tmp_path / "again" / "index.html").read_text("utf-8")
