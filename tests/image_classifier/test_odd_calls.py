"""Odd arguments in random combinations: one sentence, no traceback, and nothing half-written."""

import json
import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from image_classifier.model import FORMAT, save_classifier

NUMBERS = ["nan", "inf", "-inf", "-1", "0", "1", "1e3", "0.5", "9" * 30, "ten", "", "１２", "0x20"]
NAMES = [
    "none",
    "",
    ".",
    "..",
    "-x",
    "--",
    "*.none",
    "[",
    "a" * 300,
    "new\nline",
    "\x1b[2J",
    "ß\udcff",
]


def paint(path, size=(9, 7), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return path


def make_folders():
    """Write folders of images that training can use, and many that it cannot."""
    shapes = {
        "good": {"a": 6, "b": 6},
        "three": {"a": 3, "b": 4},
        "two": {"a": 2, "b": 2},
        "one class": {"a": 6},
        "odd\nnames": {"new\nline": 5, "ß\udcff": 5, "-c": 5, "\x1b[1m": 5},
        "split/train": {"a": 1, "b": 5},
        "split/test": {"a": 2, "b": 2},
        "different/train": {"a": 3, "b": 3},
        "different/test": {"a": 3, "c": 3},
        "no train/test": {"a": 3, "b": 3},
    }
    for folder, classes in shapes.items():
        for number, (name, count) in enumerate(classes.items()):
            for n in range(count):
                paint(Path("in", folder, name, f"{n}.png"), seed=100 * number + n)
    for n in range(6):
        paint(Path(f"in/pixels/{'ab'[n % 2]}/{n}.png"), size=(1, 1), seed=n)
        paint(Path(f"in/same/{'ab'[n % 2]}/{n}.png"))
    shutil.copytree("in/good", "in/truncated")
    whole = Path("in/good/a/0.png").read_bytes()
    Path("in/truncated/a/0.png").write_bytes(whole[: len(whole) // 2])
    shutil.copytree("in/good", "in/empty class")
    for empty in ("in/empty class/\nc", "in/empty"):
        Path(empty).mkdir()
    return sorted({str(path) for path in Path("in").iterdir()} - {"in/empty"})


def make_models(make_classifier):
    """Write a model file and many files that are not models."""
    classifier = make_classifier("mobilenet_v3_small", classes=["a", "b"], threshold=0.5)
    save_classifier(classifier, "in/good.pt")
    content = torch.load("in/good.pt", weights_only=True)
    odd = {
        "backbone": "nope", "classes": ["a", 1], "image_size": 0, "resize_mode": "\n",
        "temperature": float("nan"), "threshold": float("inf"), "trained_on": [None],
        "about": {1: 2}, "weights": {1: 2}, "format": FORMAT[::-1],
    }  # fmt: skip
    for field, value in odd.items():
        torch.save(content | {field: value}, f"in/{field}.pt")
    torch.save(content["weights"], "in/plain\nweights.pt")
    torch.save([1, 2], "in/list.pt")
    whole = Path("in/good.pt").read_bytes()
    for name, text in {"cut": whole[:9999], "garbage": bytes(range(256)), "void": b""}.items():
        Path(f"in/{name}.pt").write_bytes(text)
    return sorted(str(path) for path in Path("in").glob("*.pt"))


def make_images():
    """Write images and files that are not images."""
    paint(Path("in/good.jpg"))
    for name in ("-dash.png", "new\nline.png", "ß\udcff.png"):
        paint(Path("in", name))
    Path("in/letter.jpg").write_text("Dear Sir")
    Path("in/cut.png").write_bytes(Path("in/good.jpg").read_bytes()[:60])
    Path("in/void.gif").touch()
    os.symlink("nowhere", "in/broken link.png")
    return ["in/good.jpg", "in/-dash.png", *sorted(map(str, Path("in").glob("*.[gp][in][fg]")))]


@pytest.fixture
def world(tmp_path, monkeypatch, make_classifier):
    """Give folders, models and images below the working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "build"))
    Path("in").mkdir()
    folders = make_folders()
    world = SimpleNamespace(folders=folders, models=make_models(make_classifier))
    world.images = make_images()
    if os.geteuid():  # root may do everything
        for path in (shutil.copytree("in/good", "in/secret"), shutil.copy("in/good.pt", "in/s.pt")):
            os.chmod(path, 0)
        world.folders.append("in/secret")
        world.models.append("in/s.pt")
        os.chmod(shutil.copytree("in/good", "in/fixed"), 0o500)
    # A page would be served for ever, and the conversion to ONNX takes seconds.
    monkeypatch.setattr("image_classifier.app.serve", lambda classifier, port: None)
    monkeypatch.setattr("torch.onnx.export", lambda *arguments, **options: StubProgram())
    yield world
    for path in ("in/secret", "in/fixed"):
        if os.path.exists(path):
            os.chmod(path, 0o700)


class StubProgram:
    def save(self, path):
        from onnx import helper, save

        save(helper.make_model(helper.make_graph([], "empty", [], [])), path)


class Caller:
    """Draws the arguments of calls."""

    def __init__(self, world, seed):
        self.world, self.random = world, random.Random(seed)

    def draw(self, good, odd, chance=0.3):
        return self.random.choice(odd if self.random.random() < chance else good)

    def folder(self):
        return self.draw(["in/good", "in/three"], self.world.folders + self.world.models + NAMES)

    def model(self):
        return self.draw(["in/good.pt"], self.world.models + self.world.folders + NAMES)

    def output(self, *inputs):
        odd = ["out/file", "out/file/below", "out", *inputs, *NAMES, f"{inputs[0]}/a/new"]
        if os.geteuid():
            odd += ["in/fixed", "in/fixed/new"]
        return self.draw(["out/new", "out/deep/new", "out/new.csv"], odd, 0.4)

    def options(self, **good):
        chosen = [name for name in good if self.random.random() < 0.3]
        return [
            word
            for name in chosen
            for word in (f"--{name.replace('_', '-')}", self.draw(good[name], NUMBERS))
        ]

    def train(self):
        data = self.folder()
        options = self.options(seed=["1"], target=["0.9"], fine_tune=["0", "1"], image_size=["33"])
        if self.random.random() < 0.1:
            options += ["--backbone", self.random.choice(["nope", "", "resnet18\n", "mobilenet"])]
        words = [data, "--output", self.output(data), "--image-size", "32", *options]
        return words + self.flag("--resume") + self.flag("--json") + self.flag("--what", 0.05)

    def evaluate(self):
        model, data = self.model(), self.folder()
        return [model, data, "--output", self.output(data, model), *self.flag("--json")]

    def predict(self):
        model = self.model()
        count = self.random.randint(0, 3)
        choices = self.world.images + self.world.folders + NAMES
        files = [self.draw(["in/good.jpg", "in/good"], choices) for _ in range(count)]
        csv = ["--csv", self.output(model, *files)] if self.random.random() < 0.4 else []
        return [*csv, *self.flag("--json"), model, *self.flag("--"), *files]

    def export(self):
        model = self.model()
        return [model, "--output", self.output(model)]

    def app(self):
        return [self.model(), *self.options(port=["8000"])]

    def prepare(self):
        data = self.folder()
        return [data, "--output", self.output(data), *self.options(seed=["1"])]

    def flag(self, name, chance=0.3):
        return [name] if self.random.random() < chance else []

    def call(self):
        command = self.random.choice(["train", "evaluate", "predict", "export", "app", "prepare"])
        words = [command, *getattr(self, command)()]
        if self.random.random() < 0.05:
            words.pop(self.random.randrange(len(words)))
        return words


def contents(folder):
    """Give the files below a folder with what tells whether they were written."""
    paths = [Path(parent, name) for parent, _, names in os.walk(folder) for name in names]
    return {str(path): path.lstat().st_mtime_ns for path in paths}


def check(words, result, before, after):
    """Check what a call said and what it left behind."""
    assert result.code in (0, 1, 2) and "Traceback" not in result.out + result.err
    lines = [line for line in result.err.splitlines() if line and "it/s" not in line]
    if result.code == 2 and not result.err.startswith("Usage:"):
        assert len(lines) == 1 and lines[0].endswith(".") and lines[0].isprintable()
        assert result.out == "" and after == before
    if result.code == 1:
        assert words[0] == "predict" and lines[-1].endswith("could not be read.")
    if result.code == 0 and "--json" in words:
        json.loads(result.out)
    new = after.keys() - before.keys()
    assert all(os.path.getsize(path) for path in new)
    assert not [path for path in new if Path(path).name.startswith((".", "tmp"))]
    assert {path: after.get(path) for path in before if path.startswith("./in/")} == {
        path: time for path, time in before.items() if path.startswith("./in/")
    }


# ODD_CALLS=1000 looks for more.
COUNT = int(os.environ.get("ODD_CALLS", "150"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("seed", "count"), [(0, 40), pytest.param(1, COUNT, marks=pytest.mark.thorough)]
)
def test_odd_calls(seed, count, world, run):
    caller, codes = Caller(world, seed), set()
    for number in range(count):
        shutil.rmtree("out", ignore_errors=True)
        Path("out").mkdir()
        Path("out/file").write_text("a file")
        words, before = caller.call(), contents(".")
        before = {path: time for path, time in before.items() if not path.startswith("./build")}
        result = run(*words)
        after = {p: time for p, time in contents(".").items() if not p.startswith("./build")}
        try:
            check(words, result, before, after)
        except AssertionError as error:
            raise AssertionError(f"call {number}: {words}: {result}") from error
        codes.add((words[0], result.code))
    assert {(name, 2) for name in ("train", "evaluate", "predict", "export")} <= codes
    assert ("predict", 0) in codes
    assert count < 150 or ("train", 0) in codes
