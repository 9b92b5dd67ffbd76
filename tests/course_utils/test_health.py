"""The health check finds what was damaged on purpose, and never raises an error."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from course_utils import plots
from course_utils.health import check_folder, find_near_duplicates

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"


@pytest.fixture
def photos(tmp_path):
    return Path(shutil.copytree(PHOTOS, tmp_path / "photos"))


@pytest.fixture
def splits(tmp_path):
    """Six images of each class in train, two in test."""
    for split, chosen in (("train", slice(0, 6)), ("test", slice(6, 8))):
        for folder in sorted(PHOTOS.iterdir()):
            (tmp_path / split / folder.name).mkdir(parents=True)
            for path in sorted(folder.iterdir())[chosen]:
                shutil.copy(path, tmp_path / split / folder.name)
    return tmp_path


def found(root):
    """The findings as a list of (level, problem, file), and a test that a figure can show them."""
    frame = check_folder(root)
    assert frame.columns.tolist() == ["level", "problem", "file", "detail"]
    assert frame.level.is_monotonic_increasing
    figure = plots.health_grid(frame, root)
    assert figure.get_label()
    plots.plt.close(figure)
    return list(frame[["level", "problem", "file"]].itertuples(index=False, name=None))


def test_a_healthy_folder_has_no_findings(photos, splits):
    assert found(photos) == []
    assert found(splits) == []


def test_unreadable_files(photos):
    good = (photos / "birds" / "crow.jpg").read_bytes()
    (photos / "birds" / "cut.jpg").write_bytes(good[: len(good) // 2])
    (photos / "birds" / "empty.jpg").touch()
    (photos / "birds" / "text.png").write_text("no image")
    assert found(photos) == [
        ("error", "unreadable", f"birds/{name}") for name in ("cut.jpg", "empty.jpg", "text.png")
    ]
    details = check_folder(photos).detail.tolist()
    assert "truncated" in details[0]
    assert details[1] == "the file is empty"
    assert not any(str(photos) in detail for detail in details)


def test_a_wrong_extension(photos):
    (photos / "birds" / "crow.jpg").rename(photos / "birds" / "crow.png")
    assert found(photos) == [("warning", "wrong extension", "birds/crow.png")]
    assert check_folder(photos).detail.tolist() == ["holds JPEG data"]


def test_unusual_modes(photos):
    for path in (photos / "vehicles").iterdir():
        path.unlink()
    turned = Image.Exif()
    turned[0x0112] = 6
    shapes = [Image.fromarray(gray) for gray in np.random.default_rng(0).integers(
        0, 256, (5, 12, 12), dtype=np.uint8)]  # fmt: skip
    shapes[0].save(photos / "vehicles" / "a-turned.jpg", exif=turned)
    shapes[1].convert("P").save(photos / "vehicles" / "b-palette.png")
    shapes[2].convert("CMYK").save(photos / "vehicles" / "c-cmyk.jpg")
    deep = np.asarray(shapes[3]).astype(np.uint16) * 257
    Image.fromarray(deep).save(photos / "vehicles" / "d-deep.png")
    shapes[4].save(photos / "vehicles" / "e-frames.png", save_all=True, append_images=shapes[:1])
    assert set(found(photos)) == {
        ("note", "EXIF rotation", "vehicles/a-turned.jpg"),
        ("note", "unusual mode", "vehicles/b-palette.png"),
        ("note", "unusual mode", "vehicles/c-cmyk.jpg"),
        ("note", "unusual mode", "vehicles/d-deep.png"),
        ("note", "several frames", "vehicles/e-frames.png"),
    }


def test_images_that_are_not_read(photos):
    Image.new("L", (4, 4)).save(photos / "birds" / "sparrow.gif")
    (photos / "birds" / "IMG_1.HEIC").touch()
    (photos / "birds" / "notes.txt").touch()
    assert found(photos) == [
        ("warning", "ignored file", "birds/IMG_1.HEIC"),
        ("warning", "ignored file", "birds/sparrow.gif"),
    ]


def test_duplicates(splits):
    train, test = splits / "train", splits / "test"
    crow = next(train.glob("birds/crow.jpg"))
    shutil.copy(crow, train / "birds" / "z-copy.jpg")
    shutil.copy(crow, train / "fruit" / "z-copy.jpg")
    shutil.copy(crow, test / "birds" / "z-copy.jpg")
    assert found(splits) == [
        ("error", "duplicate across classes", "train/fruit/z-copy.jpg"),
        ("error", "duplicate across splits", "test/birds/z-copy.jpg"),
        ("warning", "duplicate", "train/birds/z-copy.jpg"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((image.width * 2 // 3, image.height * 2 // 3)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: image.convert("L"),
        lambda image: image,
    ],
    ids=["smaller", "darker", "gray", "recompressed"],
)
def test_near_duplicates(change, photos):
    for name in ("birds/crow", "fruit/banana", "vehicles/747"):
        image = change(Image.open(photos / f"{name}.jpg"))
        image.save(photos / f"{name}-again.jpg", quality=60)
    files = ["birds/crow-again.jpg", "fruit/banana-again.jpg", "vehicles/747-again.jpg"]
    # In alphabetical order "747-again.jpg" comes before "747.jpg".
    assert {tuple(sorted((row.file, row.detail.removeprefix("same as ")))) for row in
            check_folder(photos).itertuples()} == {
        tuple(sorted((file, file.replace("-again", "")))) for file in files
    }  # fmt: skip
    assert check_folder(photos, near_duplicates=False).empty


def test_images_of_one_color_are_no_duplicates():
    flat = np.stack([np.full((16, 16), value) for value in (10, 200)]).astype(np.float32)
    assert find_near_duplicates(flat) == []


def test_look_alike_ignores_brightness_and_contrast():
    image = np.random.default_rng(0).random((16, 16))
    other = np.random.default_rng(1).random((16, 16))
    assert find_near_duplicates(np.stack([image, other, 0.5 * image + 40, -image])) == [(0, 2)]


def test_the_layout(splits):
    shutil.rmtree(splits / "test" / "fruit")
    (splits / "train" / "fish").mkdir()
    shutil.copy(PHOTOS / "birds" / "crow.jpg", splits / "train")
    assert {(problem, file) for _, problem, file in found(splits)} >= {
        ("class missing in a split", "test/fruit"),
        ("class missing in a split", "test/fish"),
        ("empty class folder", "train/fish"),
        ("images outside of a class folder", "train"),
    }


def test_folders_that_are_no_image_folders(tmp_path):
    assert found(tmp_path / "none") == [("error", "no such folder", "none")]
    assert found(tmp_path) == [("error", "fewer than two classes", ".")]
    (tmp_path / "cats").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    assert [problem for _, problem, _ in found(tmp_path)] == [
        "empty class folder",
        "fewer than two classes",
        "images outside of a class folder",
    ]


def test_links_that_lead_nowhere_and_folders_named_like_images(photos):
    (photos / "birds" / "gone.jpg").symlink_to(photos / "not there.jpg")
    (photos / "birds" / "folder.jpg").mkdir()
    assert found(photos) == [("error", "unreadable", "birds/gone.jpg")]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may read everything")
def test_files_and_folders_that_may_not_be_read(photos):
    (photos / "birds" / "crow.jpg").chmod(0)
    (photos / "fruit").chmod(0)
    try:
        problems = found(photos)
    finally:
        (photos / "fruit").chmod(0o755)
    assert ("error", "unreadable", "birds/crow.jpg") in problems
    assert ("error", "empty class folder", "fruit") in problems
