"""Label files with any names, and any text as a label file."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from course_utils.datasets import ImageFiles, image_folder, read_label_file, write_label_file
from course_utils.errors import DataError

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"

quick = settings(
    max_examples=300, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
AWKWARD = " \t,#'\"\\/.0²٣\r\n\u2028\x85\x1cä日🐦a"
names = st.text(st.sampled_from(AWKWARD) | st.characters(exclude_categories=["Cs"]), max_size=12)
file_names = names.map(lambda name: name.replace("/", "").replace("\0", "") + ".png")


@quick
@given(st.lists(file_names, min_size=1, max_size=5), st.lists(names, min_size=1, max_size=4))
@example(["#1.png", "two words.png", "'a'.png"], ["0", "1", "#", "'a'"])
@example(["a.png"], ["one, two"])
@example(["a.png", "b.png"], ["1", "0"])
@example(["a.png", "b.png", "c.png"], ["2", "0", "1"])
@example(["a\r.png"], ["\ufeff"])
def test_what_was_written_is_read_back_or_refused(tmp_path, files, classes):
    samples = [(str(tmp_path / "sub" / name), n % len(classes)) for n, name in enumerate(files)]
    path = tmp_path / "index.txt"
    path.unlink(missing_ok=True)
    try:
        write_label_file(ImageFiles(samples, classes), path)
    except DataError as error:
        assert "does not fit into" in str(error)
        assert not path.exists()
        return
    read = read_label_file(path)
    assert read.classes == classes
    assert [(os.path.normpath(name), label) for name, label in read.samples] == [
        (os.path.normpath(name), label) for name, label in samples
    ]


def test_plain_names_are_never_refused(tmp_path):
    plain = ["a.png", "two words.png", "#1.png", "'quoted' (1).png", "ä ö ü.png", "日本 🐦.png"]
    samples = [(str(tmp_path / name), n % 2) for n, name in enumerate([*plain, "1 2"])]
    for classes in (["Autos & more", "große Vögel"], ["1", "2"], ["0", "sea lion"]):
        write_label_file(ImageFiles(samples, classes), tmp_path / "index.txt")
        read = read_label_file(tmp_path / "index.txt")
        assert read.samples == samples and read.classes == classes


def test_a_file_that_cannot_be_encoded_is_refused(tmp_path):
    samples = [(str(tmp_path / os.fsdecode(b"caf\xe9.png")), 0)]
    with pytest.raises(DataError, match="use plainer names"):
        write_label_file(ImageFiles(samples, ["a", "b"]), tmp_path / "index.txt")


@quick
@given(st.text(st.sampled_from(AWKWARD + "# classes:")) | st.binary())
def test_any_text_is_a_label_file_or_gets_a_sentence(tmp_path, content):
    path = tmp_path / "index.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        dataset = read_label_file(path)
    except DataError as error:
        assert "index.txt" in str(error)
    else:
        assert len(dataset) > 0
        assert set(dataset.targets) <= set(range(len(dataset.classes)))


def test_it_works_after_the_folder_has_moved_as_a_whole(tmp_path):
    photos = Path(shutil.copytree(PHOTOS, tmp_path / "photos"))
    folder = image_folder(photos)
    write_label_file(folder, tmp_path / "lists" / "all.txt")
    back = read_label_file(tmp_path / "lists" / "all.txt")
    assert back.classes == folder.classes
    assert back.targets == folder.targets
    for (ours, _), (theirs, _) in zip(back.samples, folder.samples, strict=True):
        assert os.path.samefile(ours, theirs)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(tmp_path / "lists", moved)
    shutil.move(photos, moved)
    image, _ = read_label_file(moved / "lists" / "all.txt")[5]
    np.testing.assert_array_equal(np.asarray(image), np.asarray(image_folder(PHOTOS)[5][0]))


def read(tmp_path, *lines):
    (tmp_path / "index.txt").write_text("\r\n".join(lines), encoding="utf-8-sig", newline="")
    return read_label_file(tmp_path / "index.txt")


def test_lines_and_comments(tmp_path):
    lines = ["# made by hand", "", "my photos/one.png cat", f" {tmp_path}/two and a half.png\tdog "]
    dataset = read(tmp_path, *lines)
    assert dataset.classes == ["cat", "dog"]
    files = [str(tmp_path / "my photos" / "one.png"), str(tmp_path / "two and a half.png")]
    assert dataset.samples == [(files[0], 0), (files[1], 1)]


def test_numbers_keep_their_order(tmp_path):
    dataset = read(tmp_path, "a.png 10", "b.png 9", "c.png 0")
    assert dataset.classes == ["0", "9", "10"]
    assert dataset.targets == [2, 1, 0]


def test_labels_are_all_names_or_all_indices(tmp_path):
    classes = "# classes: cat, dog, sea lion"
    assert read(tmp_path, classes, "a.png 2", "b.png 0").targets == [2, 0]
    assert read(tmp_path, classes, "a.png dog", "b.png cat").targets == [1, 0]
    with pytest.raises(DataError, match="no class '2' in cat, dog, sea lion"):
        read(tmp_path, classes, "a.png dog", "b.png 2")
    # Names that are numbers are names.
    assert read(tmp_path, "# classes: 1, 2, 3", "a.png 1", "b.png 2", "c.png 3").targets == [
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.png 0", "b.png"], r"line 2 has no label: 'b\.png'"),
        (["# nothing here"], "lists no images"),
        (["# classes: cat, dog", "a.png 2"], "there is no class '2' in cat, dog"),
        (["# classes: cat, dog", "a.png cow"], "there is no class 'cow' in cat, dog"),
    ],
)
def test_mistakes_are_named(lines, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read(tmp_path, *lines)


def test_what_is_no_text_file(tmp_path):
    with pytest.raises(DataError, match="index.txt could not be read .No such file"):
        read_label_file(tmp_path / "index.txt")
    with pytest.raises(DataError, match="could not be read .(Is a directory|Permission denied)"):
        read_label_file(tmp_path)
    (tmp_path / "index.txt").write_bytes(b"caf\xe9.png 0\n")
    with pytest.raises(DataError, match="utf-8"):
        read_label_file(tmp_path / "index.txt")
