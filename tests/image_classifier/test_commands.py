"""What can go wrong on the command line is said in one sentence; no command shows a traceback."""

import errno
import shutil

import pytest


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train nowhere", "nowhere"),
        ("train cutouts --backbone vgg", "'vgg'"),
        ("evaluate none.pt cutouts", "none.pt"),
        ("predict none.pt a.jpg", "none.pt"),
        ("export none.pt", "none.pt"),
        ("app none.pt", "none.pt"),
        ("prepare nowhere", "nowhere"),
        ("prepare .", "class"),
        ("train new\nline", r"new\nline"),
    ],
)
def test_mistakes_get_one_sentence(command, message, run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "build"))
    result = run(*command.split(" "))
    assert result.code == 2 and message in result.err
    assert len(result.err.splitlines()) == 1 and result.out == ""


@pytest.mark.parametrize(
    "command",
    [
        "train photos --image-size 8",
        "train photos --image-size abc",
        "train photos --fine-tune -1",
        "train photos --target 2",
        "train photos --target nan",
        "train photos --seed -1",
        "prepare photos --seed -1",
        "app model.pt --port 70000",
    ],
)
def test_numbers_are_checked(command, run):
    result = run(*command.split())
    option = command.split()[2]
    assert result.code == 2 and f"Invalid value for '{option}'" in result.err


@pytest.mark.parametrize("name", ["train", "evaluate", "predict", "export", "app", "prepare"])
def test_the_help_ends_with_an_example(name, run):
    last = run(name, "--help").out.splitlines()[-1].strip()
    assert last.startswith(f"Example: python -m image_classifier {name} ")


def test_outputs_do_not_replace_inputs(photos, trained, run):
    model = trained / "model.pt"
    before = model.read_bytes()
    for words in (["export", model, "--output", model], ["predict", "--csv", model, model, photos]):
        result = run(*words)
        assert result.code == 2 and "model.pt is also an input" in result.err
    assert model.read_bytes() == before


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_outputs_do_not_become_classes(command, photos, trained, run):
    inputs = [trained / "model.pt", photos] if command == "evaluate" else [photos]
    result = run(command, *inputs, "--output", photos / "model")
    assert result.code == 2 and "Choose a folder outside it" in result.err
    assert not (photos / "model").exists()


def test_fine_tuning_needs_two_training_images_per_class(photos, tmp_path, run):
    """Defect: cross-validation of the head ended in a traceback."""
    for folder in photos.iterdir():
        (tmp_path / "few" / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:3]:
            shutil.copy(path, tmp_path / "few" / folder.name)
    words = ["train", tmp_path / "few", "--output", tmp_path / "model", "--image-size", 64]
    result = run(*words, "--fine-tune", 1)
    assert result.code == 2 and "needs two training images that differ, but has 1" in result.err
    assert run(*words).code == 0


def test_a_folder_that_may_not_be_read(run, photos, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(photos))

    monkeypatch.setattr("image_classifier.train.load_splits", refuse)
    result = run("train", photos)
    assert result.code == 2 and result.err == f"{photos}: Permission denied.\n"


def test_interrupt(run, photos, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("image_classifier.train.load_splits", interrupt)
    assert run("train", photos).code == 130


def test_a_closed_pipe_ends_without_a_message(run, photos, monkeypatch):
    """Defect: `predict ... | head -1` ended in a traceback."""

    def print_into_closed_pipe(*arguments, **options):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("image_classifier.train.load_splits", print_into_closed_pipe)
    result = run("train", photos)
    assert result.code == 1 and result.err == ""
