"""Index files with any names, and any text as an index file."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from course_utils.datasets import ImageFiles, read_label_file, write_label_file
from course_utils.errors import DataError

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
def test_what_was_written_is_read_back_or_refused(tmp_path, files, classes):
    samples = [(str(tmp_path / "sub" / name), n % len(classes)) for n, name in enumerate(files)]
    path = tmp_path / "index.txt"
    path.unlink(missing_ok=True)
    try:
        write_label_file(ImageFiles(samples, classes), path)
        read = read_label_file(path)
    except DataError as error:
        if len(set(classes)) == len(classes):
            assert "cannot stand in an index file" in str(error)
            assert not path.exists()
        return
    assert read.classes == classes
    assert [(os.path.normpath(name), label) for name, label in read.samples] == [
        (os.path.normpath(name), label) for name, label in samples
    ]


def test_plain_names_are_never_refused(tmp_path):
    plain = [
        "a.png",
        "two words.png",
        "#1.png",
        "'quoted' (1).png",
        "ä ö ü.png",
        "日本 🐦.png",
        "1 2",
    ]
    samples = [(str(tmp_path / name), n % 2) for n, name in enumerate(plain)]
    write_label_file(ImageFiles(samples, ["Autos & more", "große Vögel"]), tmp_path / "index.txt")
    assert read_label_file(tmp_path / "index.txt").samples == samples


@quick
@given(st.text(st.sampled_from(AWKWARD + "# classes:")) | st.binary())
def test_any_text_is_an_index_or_gets_a_sentence(tmp_path, content):
    path = tmp_path / "index.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        dataset = read_label_file(path)
    except DataError as error:
        assert "index.txt" in str(error)
    else:
        assert len(dataset) > 0
        assert set(dataset.targets) <= set(range(len(dataset.classes)))


def test_a_folder_is_no_index_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_label_file(Path(tmp_path))
