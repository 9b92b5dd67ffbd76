"""Where the course writes, and how it shows paths."""

import os
from pathlib import Path

import pytest

from course_utils import paths
from course_utils.errors import CourseError
from course_utils.paths import display_path, output_folder

ROOT = Path(__file__).resolve().parents[2]


def test_the_checkout_writes_to_build(monkeypatch):
    monkeypatch.delenv("COURSE_OUTPUT", raising=False)
    assert output_folder("data") == ROOT / "build" / "data"


def test_an_installed_package_writes_below_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_OUTPUT", raising=False)
    monkeypatch.setattr(paths, "repository_root", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert output_folder("data") == tmp_path / "build" / "data"
    assert (tmp_path / "build" / "data").is_dir()


def test_the_user_chooses_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "my results"))
    assert output_folder("a", "b") == tmp_path / "my results" / "a" / "b"
    assert output_folder("a", "b").is_dir()


def test_a_file_in_the_way_is_told_in_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path / "file"))
    with pytest.raises(CourseError, match="Cannot write to .*file.data; set COURSE_OUTPUT"):
        output_folder("data")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(monkeypatch, tmp_path):
    tmp_path.chmod(0o500)
    monkeypatch.setenv("COURSE_OUTPUT", str(tmp_path))
    with pytest.raises(CourseError, match="Cannot write"):
        output_folder()


def test_paths_for_people(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: tmp_path.parent)
    assert display_path(ROOT / "build" / "data") == "build/data"
    assert display_path(tmp_path / "photos" / "a b.png") == "photos/a b.png"
    assert display_path("photos") == "photos"
    assert display_path(tmp_path.parent / "elsewhere") == "~/elsewhere"
