"""What a training run writes for TensorBoard, read back; and the real server on these logs."""

import json
import time
import urllib.request
from types import SimpleNamespace
from urllib.parse import urlencode

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix, precision_score, recall_score
from tensorboard.backend.event_processing.event_accumulator import (
    STORE_EVERYTHING_SIZE_GUIDANCE,
    EventAccumulator,
)
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from course_utils import plots
from course_utils.datasets import InMemoryDataset, make_loader
from course_utils.errors import CourseError
from course_utils.evaluation import predict_logits
from course_utils.tensorboard import PARTS, TensorBoardLogger, read_logs, read_tags
from course_utils.training import COLUMNS, History, TrainerState, fit
from tools.screenshots import served

CLASSES = ["größer", "two words"]


def all_but(*parts):
    return [part for part in PARTS if part not in parts]


def data(count, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 2, (count,), generator=generator)
    noise = torch.randint(0, 100, (count, 1, 6, 6), generator=generator)
    images = (noise + 60 * targets[:, None, None, None]).to(torch.uint8)

    def shake(image):  # random, as augmentations are
        return (image + torch.randint(0, 20, image.shape)).to(torch.uint8)

    return InMemoryDataset(images, targets, CLASSES, shake, lambda batch: batch.float() / 255)


def loaders():
    return {name: make_loader(data(21, seed), 8) for name, seed in (("train", 0), ("val", 1))}


def network(outputs=2):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(48, outputs),
    )  # fmt: skip


def train(logger=None, epochs=1, model=None, **options):
    """Train with a logger or without; return model, history, and the next random numbers."""
    model = model or network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options["scheduler"] = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    loader = make_loader(data(30, 2), 8, shuffle=True)
    torch.manual_seed(1)
    callbacks = [logger] if logger else []
    history = fit(
        model, loader, loaders()["val"], optimizer, epochs, callbacks=callbacks, **options
    )
    return model, history, torch.rand(3)


def logger_of(folder, skip=()):
    return TensorBoardLogger(folder, loaders(), {"lr": 0.1, "optimizer": "SGD"}, skip)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with all parts, for the tests that only read."""
    folder = tmp_path_factory.mktemp("logs") / "first run"
    mine, logger = plt.figure(), logger_of(folder)
    model, history, numbers = train(logger, 3)
    assert plt.get_fignums() == [mine.number], "a figure stays open, or one of the user is closed"
    plt.close(mine)
    return SimpleNamespace(
        folder=folder, logger=logger, model=model, history=history, random_numbers=numbers
    )


def log_one_epoch(logger, model, loader, **row):
    """Call a logger as `fit` does, after an epoch with the results `row`."""
    optimizer, history = torch.optim.SGD(model.parameters(), lr=0.1), History()
    state = TrainerState(model, optimizer, None, None, loader, epochs=1, history=history)
    logger.on_train_begin(state)
    history.rows.append(row)
    logger.on_epoch_end(state)
    logger.on_train_end(state)


def values(frame, run_name, tag):
    return frame[(frame.run == run_name) & (frame.tag == tag)]


def test_scalars_equal_the_history(run):
    scalars = read_logs(run.folder)
    for name in ("train", "val"):
        for quantity in ("loss", "accuracy"):
            found = values(scalars, name, quantity)
            assert found.step.tolist() == [1, 2, 3]
            np.testing.assert_allclose(found.value, run.history[f"{name}_{quantity}"], rtol=1e-6)
    rates = values(scalars, ".", "learning_rate").value
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.025], rtol=1e-6)
    seconds = values(scalars, ".", "seconds/training").value
    np.testing.assert_allclose(seconds, run.history["seconds"])
    assert 0 < values(scalars, ".", "seconds/logging").value.sum() < run.logger.seconds


def test_every_part_is_there(run):
    tags = read_tags(run.folder)
    assert set(tags.kind) == {
        "scalars", "images", "histograms", "graph", "pr_curves", "text", "hparams"
    }  # fmt: skip
    found = tags.groupby("run").tag.agg(set)
    assert {"confusion_matrix", "images", "pr/größer", "pr/two words"} < found["train"]
    assert found["train"] == found["val"]
    assert {"training images", "weights/5.weight", "gradients/5.weight"} < found["."]
    every_epoch = tags[tags.tag.isin(["confusion_matrix", "weights/0.bias", "pr/größer"])]
    assert set(every_epoch.steps) == set(every_epoch.last_step) == {3}
    [text] = read_logs(run.folder, "text").value
    assert "| optimizer | SGD |\n| scheduler | StepLR |\n| batch size | 8 |" in text


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone(part, tmp_path):
    train(logger_of(tmp_path, all_but(part)))
    if part == "embedding":
        assert (tmp_path / "projector_config.pbtxt").is_file()
    else:
        kinds = {"images", "scalars"} if part == "confusion_matrix" else {part}
        assert set(read_tags(tmp_path).kind) == kinds
        assert not (tmp_path / "projector_config.pbtxt").exists()


def test_training_is_the_same_with_and_without_the_logger(run):
    same, history, random_numbers = train(epochs=3)
    assert torch.equal(run.random_numbers, random_numbers)
    for name, value in same.state_dict().items():
        assert torch.equal(value, run.model.state_dict()[name]), name
    assert run.history["val_loss"] == history["val_loss"]


def test_matrix_and_curves_show_the_predictions(run, tmp_path):
    dataset = data(40, 3)
    dataset.transform = None  # the same images each time
    loader = make_loader(dataset, 8)
    skip = all_but("confusion_matrix", "pr_curves")
    log_one_epoch(TensorBoardLogger(tmp_path, {"val": loader}, skip=skip), run.model, loader)
    logits, targets = predict_logits(run.model, loader)

    matrix = confusion_matrix(targets, logits.argmax(dim=1), labels=[0, 1])
    figure = plots.confusion_heatmap(matrix, CLASSES, "val, epoch 1")
    figure.axes[0].collections[0].set_clim(0, matrix.sum(axis=1).max())
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
    plt.close(figure)
    [logged] = read_logs(tmp_path, "images").value
    np.testing.assert_array_equal(np.asarray(logged), drawn)
    recalls = read_logs(tmp_path).set_index("tag").value
    expected = recall_score(targets, logits.argmax(dim=1), average=None)
    np.testing.assert_allclose(recalls[[f"recall/{name}" for name in CLASSES]], expected, rtol=1e-6)

    scores = logits.softmax(dim=1)[:, 1]
    curve = values(read_logs(tmp_path, "pr_curves"), "val", "pr/two words").value.item()
    for number in (0, 50, 63, 70):
        positive = scores >= number / 126
        precision = precision_score(targets, positive, zero_division=0)
        assert curve[0, number] == (positive & (targets == 1)).sum()
        assert curve[4, number] == pytest.approx(precision, abs=1e-6)
        assert curve[5, number] == pytest.approx(recall_score(targets, positive), abs=1e-6)


def test_histograms_count_every_weight(run):
    last = values(read_logs(run.folder, "histograms"), ".", "weights/5.weight").value.iloc[-1]
    weights = run.model[5].weight.detach().double().numpy().ravel()
    assert last[:, 2].sum() == weights.size
    middle = last[len(last) // 2, 1]
    assert last[last[:, 1] <= middle, 2].sum() == (weights < middle).sum()


def test_embedding_has_names_and_images(run):
    assert "features:00003" in (run.folder / "projector_config.pbtxt").read_text("utf-8")
    folder = run.folder / "00003" / "features"
    points = pd.read_csv(folder / "tensors.tsv", sep="\t", header=None)
    names = pd.read_csv(folder / "metadata.tsv", sep="\t")
    assert points.shape == (21, 48)  # what the last linear layer takes
    assert names.true.tolist() == [CLASSES[label] for label in data(21, 1).targets]
    logits = run.model[5](torch.tensor(points.to_numpy(), dtype=torch.float32))
    assert names.predicted.tolist() == [CLASSES[label] for label in logits.argmax(dim=1)]
    assert Image.open(folder / "sprite.png").size == (5 * 32, 5 * 32)


def test_a_single_logit_has_two_classes(tmp_path):
    train(logger_of(tmp_path, ["images", "graph"]), model=network(outputs=1))
    assert {"pr/größer", "pr/two words", "confusion_matrix"} < set(read_tags(tmp_path).tag)


class TestResume:
    def test_a_resumed_run_has_every_step_once(self, tmp_path):
        """The checkpoint of the second epoch is lost; what this epoch logged does not count."""
        checkpoint = tmp_path / "run.pt"

        def logger(folder):
            skip = all_but("scalars", "pr_curves", "histograms")
            return logger_of(tmp_path / folder, skip)

        train(logger("a"), 1, checkpoint=checkpoint)
        kept = checkpoint.read_bytes()
        train(logger("a"), 2, checkpoint=checkpoint, resume=True)
        checkpoint.write_bytes(kept)
        train(logger("a"), 3, checkpoint=checkpoint, resume=True)
        train(logger("b"), 3)

        key = ["run", "tag", "step"]
        for kind in ("scalars", "pr_curves", "histograms"):
            logs = (read_logs(tmp_path / name, kind) for name in "ab")
            once, whole = (log.sort_values(key, ignore_index=True) for log in logs)
            assert once[key].equals(whole[key])
            if kind == "scalars":
                same = ~once.tag.str.startswith("seconds")
                assert once.value[same].equals(whole.value[same])

    def test_a_new_run_replaces_an_old_one_and_nothing_else(self, tmp_path):
        others = [tmp_path / name for name in ("notes.txt", "other/events.out.tfevents.1")]
        for file in others:
            file.parent.mkdir(exist_ok=True)
            file.touch()
        train(logger_of(tmp_path, all_but("scalars", "embedding")), 2)
        train(logger_of(tmp_path, all_but("scalars")), 1)
        assert read_logs(tmp_path).step.max() == 1
        assert len(list((tmp_path / "val").iterdir())) == 1
        assert not (tmp_path / "projector_config.pbtxt").exists()
        assert all(file.exists() for file in others)

    def test_the_tenth_file_of_a_second_comes_after_the_ninth(self, tmp_path):
        for number, steps in ((9, [1, 2, 3]), (10, [2, 3, 4])):
            with SummaryWriter(tmp_path / "part", purge_step=steps[0]) as writer:
                for step in steps:
                    writer.add_scalar("loss", number, step)
            [file] = (tmp_path / "part").iterdir()
            (tmp_path / "run").mkdir(exist_ok=True)
            file.rename(tmp_path / "run" / f"events.out.tfevents.1700000000.host.7.{number}")
        found = read_logs(tmp_path)
        assert found.step.tolist() == [1, 2, 3, 4]
        assert found.value.tolist() == [9, 10, 10, 10]


class TestReading:
    def test_scalars_equal_those_of_event_accumulator(self, run):
        folder = run.folder / "val"
        own = EventAccumulator(str(folder), STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
        ours = read_logs(folder)
        for tag in own.Tags()["scalars"]:
            found = values(ours, ".", tag)[["wall_time", "step", "value"]]
            expected = [[event.wall_time, event.step, event.value] for event in own.Scalars(tag)]
            assert found.to_numpy().tolist() == expected

    def test_logs_of_other_programs(self, tmp_path):
        with SummaryWriter(tmp_path) as writer:
            writer.add_scalar("old", 1.5, 7)
            writer.add_scalar("new", 2.5, 8, new_style=True)
            writer.add_text("note", "ä", 9)
        found = read_logs(tmp_path)[["tag", "step", "value"]]
        assert found.to_numpy().tolist() == [["old", 7, 1.5], ["new", 8, 2.5]]
        assert read_logs(tmp_path, "text").value.tolist() == ["ä"]

    def test_no_folder_and_no_logs(self, tmp_path):
        for folder in (tmp_path, tmp_path / "nothing"):
            with pytest.raises(CourseError, match=f"no logs in {folder}: is it the right"):
                read_logs(folder)


def test_an_unknown_part(tmp_path):
    with pytest.raises(ValueError, match="no part 'weights'; choose from scalars"):
        TensorBoardLogger(tmp_path, {}, skip=["weights"])


def test_a_network_that_cannot_be_traced(tmp_path):
    class Odd(nn.Sequential):
        def forward(self, images):
            if not self.training and len(images) == 1:
                raise RuntimeError("one image is too few")
            return super().forward(images)

    with pytest.raises(CourseError, match=r"cannot be traced \(one image is too few\): skip"):
        train(logger_of(tmp_path), model=Odd(*network()))


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
def test_a_run_that_diverges(tmp_path):
    """Losses and weights that are NaN do not end the run."""
    model, row = network(), dict.fromkeys(COLUMNS, float("nan"))
    for values in (model[5].weight[:1], model[5].bias):
        nn.init.constant_(values, float("nan"))
    log_one_epoch(logger_of(tmp_path, ["images"]), model, loaders()["train"], **row)
    tags = set(read_tags(tmp_path).tag)
    assert {"loss", "confusion_matrix", "weights/5.weight"} < tags and "weights/5.bias" not in tags


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
def test_nothing_is_printed(tmp_path, capfd):
    """No word about TensorFlow, the tracer or protocol buffers, on either stream."""
    for _ in range(2):  # the second run replaces the first one
        train(logger_of(tmp_path))
    read_tags(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def server(run):
    """The real server on the logs of `run`; gives a function that asks it for a page."""
    with served(run.folder.parent) as address:

        def ask(page, **query):
            url = f"{address}data/plugin/{page}?{urlencode(query)}"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=30) as answer:
                return json.load(answer)

        end = time.monotonic() + 90
        while "first run/val" not in ask("scalars/tags"):
            assert time.monotonic() < end, "the server has not read the logs"
            time.sleep(0.1)
        yield ask


class TestServer:
    def test_scalars_of_train_and_val_share_their_tags(self, server, run):
        tags = server("scalars/tags")
        recalls = {f"recall/{name}" for name in CLASSES}
        for name in ("train", "val"):
            assert set(tags[f"first run/{name}"]) == {"loss", "accuracy"} | recalls
        answer = server("scalars/scalars", run="first run/val", tag="loss")
        assert [step for _, step, _ in answer] == [1, 2, 3]
        np.testing.assert_allclose([v for *_, v in answer], run.history["val_loss"], rtol=1e-6)

    def test_the_other_tabs(self, server):
        query = {"run": "first run/val", "tag": "confusion_matrix", "sample": 0}
        assert [image["step"] for image in server("images/images", **query)] == [1, 2, 3]
        assert "weights/5.weight" in server("histograms/tags")["first run"]
        assert "pr/größer" in server("pr_curves/tags")["first run/val"]
        assert server("graphs/info")["first run"]["run_graph"]
        assert server("projector/runs") == ["first run"]
        [text] = server("text/text", run="first run", tag="run/text_summary")
        assert "<table>" in text["text"]

    def test_settings_are_shown_with_their_results(self, server, run):
        experiment = server("hparams/experiment", request="{}")
        columns = [{"hparam": info["name"]} for info in experiment["hparamInfos"]]
        assert [column["hparam"] for column in columns] == ["lr", "optimizer"]
        columns += [{"metric": info["name"]} for info in experiment["metricInfos"]]
        request = {
            "startIndex": 0, "sliceSize": 9, "allowedStatuses": ["STATUS_UNKNOWN"],
            "colParams": [column | {"includeInResult": True} for column in columns],
        }  # fmt: skip
        [group] = server("hparams/session_groups", request=json.dumps(request))["sessionGroups"]
        assert group["hparams"]["optimizer"] == "SGD"
        found = {(v["name"]["group"], v["name"]["tag"]): v["value"] for v in group["metricValues"]}
        assert found["val", "accuracy"] == pytest.approx(run.history["val_accuracy"][-1], rel=1e-6)
