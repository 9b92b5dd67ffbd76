"""What a training run writes for TensorBoard, read back; and the real server on these logs."""

import copy
import json
import re
import subprocess
import sys
import time
import urllib.request
from io import BytesIO
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
from course_utils.tensorboard import (
    PARTS,
    TensorBoardLogger,
    read_logs,
    read_tags,
    save_images,
)
from course_utils.training import fit

SLOW = ["images", "confusion_matrix", "graph"]
CLASSES = ["größer", "two words"]


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


def train(folder, epochs=3, model=None, logger=None, **options):
    """Train with a logger; return model, history and logger."""
    model = model or network()
    logger = logger or TensorBoardLogger(folder, loaders(), {"lr": 0.1, "optimizer": "SGD"})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options["scheduler"] = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    loader = make_loader(data(30, 2), 8, shuffle=True)
    torch.manual_seed(1)
    callbacks = [logger] if logger != "none" else []
    history = fit(
        model, loader, loaders()["val"], optimizer, epochs, callbacks=callbacks, **options
    )
    return model, history, logger


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run with all parts, for the tests that only read."""
    folder = tmp_path_factory.mktemp("logs") / "first run"
    return folder, *train(folder)


def values(frame, run_name, tag):
    return frame[(frame.run == run_name) & (frame.tag == tag)]


def test_scalars_equal_the_history(run):
    folder, _, history, logger = run
    scalars = read_logs(folder)
    for name in ("train", "val"):
        for quantity in ("loss", "accuracy"):
            found = values(scalars, name, quantity)
            assert found.step.tolist() == [1, 2, 3]
            np.testing.assert_allclose(found.value, history[f"{name}_{quantity}"], rtol=1e-6)
    rates = values(scalars, ".", "learning_rate").value
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.025], rtol=1e-6)
    np.testing.assert_allclose(values(scalars, ".", "seconds/training").value, history["seconds"])
    assert 0 < values(scalars, ".", "seconds/logging").value.sum() < logger.seconds


def test_every_part_is_there(run):
    tags = read_tags(run[0])
    assert set(tags.kind) == {
        "scalars", "images", "histograms", "graph", "pr_curves", "text", "hparams"
    }  # fmt: skip
    found = tags.groupby("run").tag.agg(set)
    assert {"confusion_matrix", "images", "pr/größer", "pr/two words"} < found["train"]
    assert found["train"] == found["val"]
    assert {"training images", "weights/5.weight", "gradients/5.weight"} < found["."]
    every_epoch = tags[tags.tag.isin(["confusion_matrix", "weights/0.bias", "pr/größer"])]
    assert set(every_epoch.steps) == set(every_epoch.last_step) == {3}


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone(part, tmp_path):
    skip = [name for name in PARTS if name != part]
    logger = TensorBoardLogger(tmp_path, loaders(), {"lr": 0.1}, skip)
    train(None, 1, logger=logger)
    kind = {"confusion_matrix": "images"}.get(part, part)
    if part == "embedding":
        assert (tmp_path / "projector_config.pbtxt").is_file()
    else:
        assert set(read_tags(tmp_path).kind) == {kind}
        assert not (tmp_path / "projector_config.pbtxt").exists()


def test_training_is_the_same_with_and_without_the_logger(tmp_path):
    logger = TensorBoardLogger(tmp_path, loaders(), {"lr": 0.1})
    model, history, _ = train(None, 2, logger=logger)
    sampled_after = torch.rand(3)
    same, without, _ = train(None, 2, logger="none")
    assert torch.equal(sampled_after, torch.rand(3))
    for name, value in same.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert history["val_loss"] == without["val_loss"]


def test_layers_keep_their_mode(tmp_path):
    model = network()
    seen = []

    class Modes(TensorBoardLogger):
        def on_epoch_end(self, run):
            model.train()
            model[1].eval()  # frozen, as in notebook 03
            super().on_epoch_end(run)
            seen.append([module.training for module in model.modules()])

    train(None, 1, model, Modes(tmp_path, loaders(), {"lr": 1}))
    assert seen == [[True, True, False, True, True, True, True]]


def test_no_figure_stays_open_and_none_is_closed(tmp_path):
    mine = plt.figure()
    try:
        train(tmp_path, 2)
        assert plt.get_fignums() == [mine.number]
    finally:
        plt.close(mine)


def test_the_last_matrix_is_drawn_from_the_predictions(run):
    folder, model, *_ = run
    images = read_logs(folder, "images")
    plain = data(21, 1)
    plain.transform = None
    still = TensorBoardLogger(folder.parent / "still", {"val": make_loader(plain, 8)}, skip=[
        part for part in PARTS if part != "confusion_matrix"])  # fmt: skip
    loader = make_loader(plain, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    model = copy.deepcopy(model)
    fit(model, loader, loader, optimizer, 1, callbacks=[still])
    logits, targets = predict_logits(model, loader)
    matrix = confusion_matrix(targets, logits.argmax(dim=1), labels=[0, 1])
    figure = plots.confusion_heatmap(matrix, CLASSES, "val, epoch 1")
    figure.axes[0].collections[0].set_clim(0, matrix.sum(axis=1).max())
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
    plt.close(figure)
    [logged] = read_logs(still.folder, "images").value
    np.testing.assert_array_equal(np.asarray(logged), drawn)
    assert values(images, "val", "confusion_matrix").step.tolist() == [1, 2, 3]


def test_histograms_count_every_weight(run):
    folder, model, *_ = run
    last = values(read_logs(folder, "histograms"), ".", "weights/5.weight").value.iloc[-1]
    weights = model[5].weight.detach().double().numpy().ravel()
    assert last[:, 2].sum() == weights.size
    middle = last[len(last) // 2, 1]
    assert last[last[:, 1] <= middle, 2].sum() == (weights < middle).sum()


def test_pr_curves_equal_scikit_learn(tmp_path):
    plain = data(40, 3)
    plain.transform = None
    loader = make_loader(plain, 8)
    model = network()
    skip = [part for part in PARTS if part != "pr_curves"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    logger = TensorBoardLogger(tmp_path, {"val": loader}, skip=skip)
    fit(model, loader, loader, optimizer, 1, callbacks=[logger])
    logits, targets = predict_logits(model, loader)
    scores = logits.softmax(dim=1)[:, 1]
    curve = values(read_logs(tmp_path, "pr_curves"), "val", "pr/two words").value.item()
    for number in (0, 50, 63, 70):
        positive = scores >= number / 126
        precision = precision_score(targets, positive, zero_division=0)
        assert curve[0, number] == (positive & (targets == 1)).sum()
        assert curve[4, number] == pytest.approx(precision, abs=1e-6)
        assert curve[5, number] == pytest.approx(recall_score(targets, positive), abs=1e-6)


def test_embedding_has_names_and_images(run):
    folder, model, *_ = run
    assert "features:00003" in (folder / "projector_config.pbtxt").read_text("utf-8")
    points = pd.read_csv(folder / "00003/features/tensors.tsv", sep="\t", header=None)
    names = pd.read_csv(folder / "00003/features/metadata.tsv", sep="\t")
    assert points.shape == (21, 48)  # what the last linear layer takes
    assert names.true.tolist() == [CLASSES[label] for label in data(21, 1).targets]
    logits = model[5](torch.tensor(points.to_numpy(), dtype=torch.float32))
    assert names.predicted.tolist() == [CLASSES[label] for label in logits.argmax(dim=1)]
    assert Image.open(folder / "00003/features/sprite.png").size == (5 * 32, 5 * 32)


def test_a_single_logit_has_two_classes(tmp_path):
    model, *_ = train(tmp_path, 1, network(outputs=1))
    tags = read_tags(tmp_path)
    assert {"pr/größer", "pr/two words", "confusion_matrix"} < set(tags.tag)


class TestResume:
    def test_a_resumed_run_has_every_step_once(self, tmp_path):
        """The checkpoint of the third epoch is lost; what this epoch logged does not count."""
        checkpoint = tmp_path / "run.pt"

        def logger(folder):
            few = {"val": loaders()["val"]}
            skip = [*SLOW, "text", "embedding"]
            return TensorBoardLogger(tmp_path / folder, few, {"lr": 0.1}, skip)

        train(None, 2, logger=logger("a"), checkpoint=checkpoint)
        kept = checkpoint.read_bytes()
        train(None, 3, logger=logger("a"), checkpoint=checkpoint, resume=True)
        checkpoint.write_bytes(kept)
        train(None, 4, logger=logger("a"), checkpoint=checkpoint, resume=True)
        train(None, 4, logger=logger("b"))

        for kind in ("scalars", "pr_curves", "histograms"):
            once, whole = (read_logs(tmp_path / name, kind) for name in "ab")
            key = ["run", "tag", "step"]
            once, whole = (f.sort_values(key).reset_index(drop=True) for f in (once, whole))
            assert once[key].equals(whole[key])
        same = ~whole_scalars(tmp_path / "a").tag.str.startswith("seconds")
        a, b = whole_scalars(tmp_path / "a")[same], whole_scalars(tmp_path / "b")[same]
        assert a.value.tolist() == b.value.tolist()

    def test_a_new_run_replaces_an_old_one_and_nothing_else(self, tmp_path):
        for name in ("notes.txt", "other/events.out.tfevents.1", "train/notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        for epochs in (2, 1):
            train(None, epochs, logger=TensorBoardLogger(tmp_path, loaders(), skip=SLOW))
        assert read_logs(tmp_path).step.max() == 1
        assert "features:00002" not in (tmp_path / "projector_config.pbtxt").read_text()
        assert (tmp_path / "notes.txt").exists()
        assert (tmp_path / "other/events.out.tfevents.1").exists()
        assert (tmp_path / "train/notes.txt").exists()

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


def whole_scalars(folder):
    return read_logs(folder).sort_values(["run", "tag", "step"]).reset_index(drop=True)


class TestReading:
    def test_scalars_equal_those_of_event_accumulator(self, run):
        own = EventAccumulator(str(run[0] / "val"), STORE_EVERYTHING_SIZE_GUIDANCE).Reload()
        ours = read_logs(run[0] / "val")
        for tag in own.Tags()["scalars"]:
            events = own.Scalars(tag)
            found = values(ours, ".", tag)
            assert found.step.tolist() == [event.step for event in events]
            assert found.value.tolist() == [event.value for event in events]
            assert found.wall_time.tolist() == [event.wall_time for event in events]

    def test_logs_of_other_programs(self, tmp_path):
        with SummaryWriter(tmp_path) as writer:
            writer.add_scalar("old", 1.5, 7)
            writer.add_scalar("new", 2.5, 8, new_style=True)
            writer.add_text("note", "ä", 9)
        found = read_logs(tmp_path)
        assert found[["tag", "step", "value"]].to_numpy().tolist() == [
            ["old", 7, 1.5], ["new", 8, 2.5]
        ]  # fmt: skip
        assert read_logs(tmp_path, "text").value.tolist() == ["ä"]

    def test_images_become_png_files(self, run, tmp_path):
        images = read_logs(run[0], "images")
        files = save_images(images[images.run == "val"], tmp_path)
        names = [file.relative_to(tmp_path).as_posix() for file in files]
        assert names == ["val/images_0000.png"] + [
            f"val/confusion_matrix_000{step}.png" for step in (1, 2, 3)
        ]
        logged = values(images, "val", "confusion_matrix").value.iloc[2]
        np.testing.assert_array_equal(np.asarray(Image.open(files[3])), np.asarray(logged))

    def test_no_folder_and_no_logs(self, tmp_path):
        for folder in (tmp_path, tmp_path / "nothing"):
            with pytest.raises(
                CourseError, match=f"There are no logs in {folder}: is it the right"
            ):
                read_logs(folder)


class TestErrors:
    def test_an_unknown_part(self, tmp_path):
        with pytest.raises(ValueError, match="no part 'weights'; choose from scalars"):
            TensorBoardLogger(tmp_path, {}, skip=["weights"])

    def test_a_folder_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(CourseError, match="Cannot write logs to .*file"):
            train(tmp_path / "file", 1)

    def test_a_network_that_cannot_be_traced(self, tmp_path):
        class Odd(nn.Sequential):
            def forward(self, images):
                if not self.training and len(images) == 1:
                    raise RuntimeError("one image is too few")
                return super().forward(images)

        with pytest.raises(CourseError, match=r"cannot be traced \(one image is too few\): skip"):
            train(tmp_path, 1, Odd(*network()))

    def test_weights_that_are_nan(self, tmp_path):
        model = network()
        logger = TensorBoardLogger(tmp_path, loaders(), {"lr": 1})
        with torch.no_grad():
            model[5].bias[0] = float("nan")
        run = type("Run", (), {})()
        run.model, run.train_loader = model, loaders()["train"]
        run.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        run.history = type("History", (list,), {})([1])
        row = {"epoch": 1, "seconds": 1.0, "learning_rate": 0.1}
        row |= {f"{s}_{q}": float("nan") for s in ("train", "val") for q in ("loss", "accuracy")}
        run.history.rows = [row]
        logger.on_train_begin(run)
        logger.on_epoch_end(run)
        logger.on_train_end(run)
        tags = set(read_tags(tmp_path).tag)
        assert {"loss", "confusion_matrix", "weights/5.bias"} < tags


@pytest.mark.filterwarnings("error")
def test_nothing_is_printed(tmp_path, capfd):
    """No word about TensorFlow, the tracer or protocol buffers, on either stream."""
    train(tmp_path, 1)
    read_tags(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def server(run, tmp_path_factory):
    """The real server on the logs of `run`; gives a function that asks it for a page."""
    log = tmp_path_factory.mktemp("server") / "server.txt"
    options = ["--logdir", str(run[0].parent), "--host", "127.0.0.1", "--port", "0"]
    options += ["--load_fast", "false", "--samples_per_plugin", "images=200"]
    with open(log, "w") as output:
        command = [sys.executable, "-m", "tensorboard.main", *options]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + 90
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)/", log.read_text("utf-8"))):
            assert process.poll() is None and time.monotonic() < end, log.read_text("utf-8")
            time.sleep(0.1)

        def ask(page, **query):
            url = f"http://127.0.0.1:{found[1]}/data/plugin/{page}?{urlencode(query)}"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=30) as answer:
                return answer.read()

        while b"first run/val" not in ask("scalars/tags"):
            assert time.monotonic() < end, "the server has not read the logs"
            time.sleep(0.1)
        yield ask
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class TestServer:
    def test_scalars_of_train_and_val_share_their_tags(self, server, run):
        tags = json.loads(server("scalars/tags"))
        assert set(tags["first run/train"]) == set(tags["first run/val"]) == {"loss", "accuracy"}
        answer = json.loads(server("scalars/scalars", run="first run/val", tag="loss"))
        assert [step for _, step, _ in answer] == [1, 2, 3]
        np.testing.assert_allclose([v for *_, v in answer], run[2]["val_loss"], rtol=1e-6)

    def test_the_slider_has_every_epoch(self, server, run):
        tags = json.loads(server("images/tags"))
        assert tags["first run/val"]["confusion_matrix"]["samples"] == 1
        query = {"run": "first run/val", "tag": "confusion_matrix", "sample": 0}
        found = json.loads(server("images/images", **query))
        assert [image["step"] for image in found] == [1, 2, 3]
        page, _, key = found[-1]["query"].partition("=")
        assert page == "blob_key"
        picture = server("images/individualImage", blob_key=key)
        ours = values(read_logs(run[0], "images"), "val", "confusion_matrix").value.iloc[-1]
        assert Image.open(BytesIO(picture)).tobytes() == ours.tobytes()

    def test_the_other_tabs(self, server):
        assert "weights/5.weight" in json.loads(server("histograms/tags"))["first run"]
        assert "pr/größer" in json.loads(server("pr_curves/tags"))["first run/val"]
        assert json.loads(server("graphs/info"))["first run"]["run_graph"]
        assert json.loads(server("projector/runs")) == ["first run"]
        text = json.loads(server("text/text", run="first run", tag="run/text_summary"))
        assert "<table>" in text[0]["text"]

    def test_settings_are_shown_with_their_results(self, server, run):
        experiment = json.loads(server("hparams/experiment", request="{}"))
        columns = [{"hparam": info["name"]} for info in experiment["hparamInfos"]]
        assert [column["hparam"] for column in columns] == ["lr", "optimizer"]
        columns += [{"metric": info["name"]} for info in experiment["metricInfos"]]
        request = {
            "startIndex": 0, "sliceSize": 9, "allowedStatuses": ["STATUS_UNKNOWN"],
            "colParams": [column | {"includeInResult": True} for column in columns],
        }  # fmt: skip
        groups = json.loads(server("hparams/session_groups", request=json.dumps(request)))
        [group] = groups["sessionGroups"]
        assert group["hparams"]["optimizer"] == "SGD"
        found = {(v["name"]["group"], v["name"]["tag"]): v["value"] for v in group["metricValues"]}
        assert found["val", "accuracy"] == pytest.approx(run[2]["val_accuracy"][-1], rel=1e-6)
