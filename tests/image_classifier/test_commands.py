"""What can go wrong on the command line is said in one sentence; no command shows a traceback."""

import errno

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
    ],
)
def test_mistakes_get_one_sentence(command, message, run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "build"))
    result = run(*command.split())
    assert result.code == 2 and message in result.err
    assert len(result.err.splitlines()) == 1 and result.out == ""


@pytest.mark.parametrize(
    "command",
    [
        "train photos --image-size 8",
        "train photos --image-size abc",
        "train photos --fine-tune -1",
        "train photos --target 2",
        "train photos --seed -1",
        "prepare photos --seed -1",
        "app model.pt --port 70000",
    ],
)
def test_numbers_are_checked(command, run):
    result = run(*command.split())
    option = command.split()[2]
    assert result.code == 2 and f"Invalid value for '{option}'" in result.err


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
