"""The health check finds what was damaged on purpose."""

import itertools
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from course_utils import plots
from course_utils.errors import DataError
from course_utils.health import LUMA_AND_CHROMA, check_folder, find_near_duplicates

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


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def test_a_healthy_folder_has_no_findings(photos, splits):
    assert found(photos) == []
    shutil.rmtree(photos)
    assert found(splits) == []


def test_unreadable_files(photos):
    good = (photos / "birds" / "crow.jpg").read_bytes()
    (photos / "birds" / "cut.jpg").write_bytes(good[: len(good) // 2])
    (photos / "birds" / "empty.jpg").touch()
    (photos / "birds" / "gone.jpg").symlink_to(photos / "not there.jpg")
    (photos / "birds" / "text.png").write_text("no image")
    (photos / "birds" / "folder.jpg").mkdir()
    names = ("cut.jpg", "empty.jpg", "gone.jpg", "text.png")
    assert found(photos) == [("error", "unreadable", f"birds/{name}") for name in names]
    details = check_folder(photos).detail.tolist()
    assert details[0].startswith("cut.jpg could not be read (image file is truncated")
    assert not any(str(photos) in detail for detail in details)


def test_extensions(photos):
    (photos / "fruit" / "banana.jpg").rename(photos / "fruit" / "banana.png")
    # Many cameras store a preview as a second image: MPO, which is JPEG.
    image, path = Image.open(PHOTOS / "birds" / "crow.jpg"), photos / "birds" / "crow.jpg"
    image.save(path, format="MPO", save_all=True, append_images=[image.resize((9, 9))])
    with Image.open(path) as photograph:
        assert photograph.format == "MPO"
    assert found(photos) == [("warning", "wrong extension", "fruit/banana.png")]
    assert check_folder(photos).detail.tolist() == ["holds JPEG data"]


def test_unusual_modes(photos):
    for path in (photos / "vehicles").iterdir():
        path.unlink()
    turned = Image.Exif()
    turned[0x0112] = 6
    shapes = [Image.fromarray(gray) for gray in np.random.default_rng(0).integers(
        0, 256, (4, 12, 12), dtype=np.uint8)]  # fmt: skip
    shapes[0].save(photos / "vehicles" / "a-turned.jpg", exif=turned)
    shapes[1].convert("P").save(photos / "vehicles" / "b-palette.png")
    shapes[2].convert("CMYK").save(photos / "vehicles" / "c-cmyk.jpg")
    deep = np.asarray(shapes[3]).astype(np.uint16) * 257
    Image.fromarray(deep).save(photos / "vehicles" / "d-deep.png")
    assert set(found(photos)) == {
        ("note", "EXIF rotation", "vehicles/a-turned.jpg"),
        ("note", "unusual mode", "vehicles/b-palette.png"),
        ("note", "unusual mode", "vehicles/c-cmyk.jpg"),
        ("note", "unusual mode", "vehicles/d-deep.png"),
    }


def test_files_that_are_ignored_at_any_depth(photos):
    save(Image.new("L", (4, 4)), photos / "birds" / "garden" / "sparrow.gif")
    (photos / "birds" / "IMG_1.HEIC").touch()
    (photos / "birds" / "notes.txt").touch()
    assert found(photos) == [
        ("warning", "ignored file", "birds/IMG_1.HEIC"),
        ("warning", "ignored file", "birds/garden/sparrow.gif"),
    ]


def test_the_layout(splits):
    shutil.rmtree(splits / "test" / "fruit")
    (splits / "train" / "fish").mkdir()
    shutil.copy(PHOTOS / "birds" / "crow.jpg", splits / "train")
    assert {(problem, file) for _, problem, file in found(splits)} >= {
        ("class missing in a split", "test/fruit"),
        ("class missing in a split", "test/fish"),
        ("empty class folder", "train/fish"),
        ("images outside a class folder", "train"),
    }


def test_folders_that_are_not_image_folders(tmp_path):
    with pytest.raises(DataError, match="none could not be read .No such file"):
        check_folder(tmp_path / "none")
    assert found(tmp_path) == [("error", "fewer than two classes", ".")]
    (tmp_path / "cats").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "1.png")
    assert [problem for _, problem, _ in found(tmp_path)] == [
        "empty class folder",
        "fewer than two classes",
        "images outside a class folder",
    ]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may read everything")
def test_files_and_folders_that_may_not_be_read(photos):
    (photos / "birds" / "crow.jpg").chmod(0)
    assert found(photos) == [("error", "unreadable", "birds/crow.jpg")]
    (photos / "fruit").chmod(0)
    try:
        with pytest.raises(DataError, match="fruit could not be read"):
            check_folder(photos)
    finally:
        (photos / "fruit").chmod(0o755)


def test_the_working_directory(photos, monkeypatch):
    shutil.copy(photos / "birds" / "crow.jpg", photos / "birds" / "crow.jpg.jpg")
    monkeypatch.chdir(photos)
    assert check_folder(".").detail.tolist() == ["same as birds/crow.jpg"]


def test_a_class_has_the_name_of_the_folder(tmp_path, monkeypatch):
    for name in ("a/a", "a/b.png", "a/c."):
        save(noise(len(name)), tmp_path / name / "1.png")
        save(noise(len(name)), tmp_path / name / "2.png")
    (tmp_path / "a" / "b.png" / "broken.png").touch()
    monkeypatch.chdir(tmp_path)
    for root in ("a", "./a", "../" + tmp_path.name + "/a"):
        details = check_folder(root).set_index("file").detail
        assert details.pop("b.png/broken.png") == "broken.png is not an image that Pillow can read."
        assert details.to_dict() == {
            f"{name}/2.png": f"same as {name}/1.png" for name in ("a", "b.png", "c.")
        }


class TestDuplicates:
    def test_across_splits_and_classes(self, splits):
        train, test = splits / "train", splits / "test"
        crow = train / "birds" / "crow.jpg"
        for copy in (train / "birds", train / "fruit", test / "birds"):
            shutil.copy(crow, copy / "z-copy.jpg")
        assert found(splits) == [
            ("error", "duplicate across classes", "train/fruit/z-copy.jpg"),
            ("error", "duplicate across splits", "test/birds/z-copy.jpg"),
            ("warning", "duplicate", "train/birds/z-copy.jpg"),
        ]

    @pytest.mark.parametrize("folder", ["cat/2021", "dog/2020"])
    def test_the_class_is_the_first_folder(self, folder, tmp_path):
        for number, name in enumerate(["cat/2020", "cat/2021", "dog/2020", "dog/2021"]):
            save(noise(number), tmp_path / name / "1.png")
        save(noise(0), tmp_path / folder / "2.png")  # as cat/2020/1.png
        across = " across classes" if folder == "dog/2020" else ""
        assert [row[1] for row in found(tmp_path)] == [f"duplicate{across}"]

    def test_a_pair_across_splits_is_found_after_one_in_the_same_split(self, tmp_path):
        image = noise(0)
        for number, name in enumerate(["train/cat/1.png", "train/cat/2.png", "test/cat/3.png"]):
            save(ImageEnhance.Brightness(image).enhance(1 - number / 10), tmp_path / name)
        for split in ("train", "test"):
            save(noise(8 + len(split)), tmp_path / split / "dog" / "1.png")
        assert found(tmp_path) == [
            ("error", "near duplicate across splits", "test/cat/3.png"),
            ("warning", "near duplicate", "train/cat/2.png"),
        ]

    def test_near_duplicates_and_theirs_are_one_group(self):
        thumbnails = np.stack([np.asarray(noise(seed, 16)) for seed in (0, 1, 0, 2, 0, 1)])
        assert find_near_duplicates(thumbnails).tolist() == [0, 1, 0, 2, 0, 1]
        start, end = np.asarray(noise(0, 16), float), np.asarray(noise(1, 16), float)
        chain = np.stack([start + share * end for share in (0, 0.09, 0.18)])
        assert len(set(find_near_duplicates(chain[[0, 2]]))) == 2
        assert len(set(find_near_duplicates(chain))) == 1


def noise(seed, size=48):
    """A picture unlike those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


def near(*images):
    """Whether two pictures are near duplicates, with thumbnails as the health check makes them."""
    small = [image.convert("RGB").resize((16, 16), Image.Resampling.LANCZOS) for image in images]
    first, second = find_near_duplicates(np.stack([np.asarray(image) for image in small]))
    return first == second


class TestNearDuplicates:
    @pytest.mark.parametrize(
        "change",
        [
            lambda image: image.resize((image.width * 2 // 3, image.height * 2 // 3)),
            lambda image: ImageEnhance.Brightness(image).enhance(0.8),
            lambda image: ImageEnhance.Brightness(image).enhance(1.05),
            lambda image: ImageEnhance.Contrast(image).enhance(0.8),
            lambda image: image,
        ],
        ids=["smaller", "darker", "brighter", "less contrast", "recompressed"],
    )
    def test_copies(self, change, photos):
        for name in ("birds/crow", "fruit/banana", "vehicles/747"):
            image = change(Image.open(photos / f"{name}.jpg"))
            image.save(photos / f"{name}-again.jpg", quality=60)
        # In alphabetical order "crow-again.jpg" comes before "crow.jpg".
        frame = check_folder(photos)
        assert frame.problem.tolist() == ["near duplicate"] * 3
        assert frame.file.tolist() == ["birds/crow.jpg", "fruit/banana.jpg", "vehicles/747.jpg"]
        assert frame.detail.tolist() == [
            f"same as {file.replace('.jpg', '-again.jpg')}" for file in frame.file
        ]

    def test_color_counts(self):
        squares = []
        for color in ("red", "blue"):
            image = Image.new("RGB", (64, 64), "gray")
            ImageDraw.Draw(image).rectangle([20, 20, 44, 44], fill=color)
            squares.append(image)
        assert not near(*squares)
        assert near(squares[0], ImageEnhance.Brightness(squares[0]).enhance(0.8))
        texture = np.asarray(noise(0, 64).convert("L"), float)[..., None] / 4
        tinted = [texture + np.array(tint) for tint in ((120, 20, 20), (20, 20, 120))]
        assert not near(*(Image.fromarray(image.astype(np.uint8)) for image in tinted))

    def test_images_of_one_color_are_not_copies(self):
        generator = np.random.default_rng(0)
        assert not near(Image.new("RGB", (20, 20), "red"), Image.new("RGB", (20, 20), "red"))
        grainy = [np.array([200, 30, 30]) + generator.normal(0, 4, (64, 64, 3)) for _ in range(2)]
        assert not near(*(Image.fromarray(image.astype(np.uint8)) for image in grainy))

    def test_scenes_of_a_fixed_camera_are_not_copies(self):
        scenes = []
        for left in (20, 60):
            image = noise(0, 128)
            ImageDraw.Draw(image).ellipse([left, 50, left + 12, 62], fill="white")
            scenes.append(image)
        assert not near(*scenes)

    def test_brightness_and_contrast_do_not_count_but_signs_do(self):
        image, other = (np.random.default_rng(seed).random((16, 16, 3)) for seed in (0, 1))
        groups = find_near_duplicates(np.stack([image, other, image / 2 + 40, -image]))
        assert groups.tolist() == [0, 1, 0, 2]


def compare_all(thumbnails):
    """What `find_near_duplicates` shall return, from every pair by itself."""
    images = thumbnails.astype(float) @ LUMA_AND_CHROMA
    images[..., 0] -= images[..., 0].mean(axis=(1, 2), keepdims=True)
    spread = np.sqrt(images.var(axis=(1, 2)).sum(axis=1))
    groups, count = np.arange(len(images)), len(images)
    for one, two in itertools.combinations(range(count), 2):
        if min(spread[one], spread[two]) > 0.01:
            change = np.abs(images[one] / spread[one] - images[two] / spread[two])
            if change.max() < 0.45 and np.sqrt(np.square(change).sum()) < 0.15 * 16:
                groups[groups == groups[two]] = groups[one]
    return groups


def same_groups(one, two):
    return len(set(zip(one, two, strict=True))) == len(set(one)) == len(set(two))


def draw_thumbnails(seed):
    """Chains, scenes of a fixed camera, saturated and single colors, and a hundred pairs."""
    generator = np.random.default_rng(seed)
    first, second, scene = generator.integers(0, 256, (3, 16, 16, 3))
    shares = generator.uniform(0, 1, (60, 1, 1, 1)).round(2)
    chain = first * (1 - shares) + second * shares
    scenes = np.repeat(scene[None], 60, axis=0)
    for image in scenes:
        y, x = generator.integers(0, 15, 2)
        image[y : y + 2, x : x + 2] += generator.integers(-60, 60)
    grain = np.array([200, 30, 30]) + generator.integers(0, 3, (60, 1, 16, 3)).repeat(16, axis=1)
    plain = np.ones((20, 16, 16, 3)) * generator.integers(0, 256, (20, 1, 1, 3))
    others = generator.integers(0, 200, (100, 16, 16, 3))
    images = [chain, scenes, grain, grain[:9] + [0, 0, 1], plain, others, others * 1.2]
    images = np.concatenate(images)
    return generator.permutation(images).clip(0, 255).astype(np.uint8)


class TestManyImages:
    @pytest.mark.parametrize("seed", range(2))
    def test_the_groups_are_those_of_a_comparison_of_all_pairs(self, seed):
        thumbnails = draw_thumbnails(seed)
        groups = find_near_duplicates(thumbnails)
        assert same_groups(groups, compare_all(thumbnails))
        assert 20 < len(set(groups)) < len(groups) - 20

    def test_memory_does_not_grow_with_the_number_of_pairs(self):
        thumbnails = np.repeat(np.asarray(noise(0, 16))[None], 2000, axis=0)
        tracemalloc.start()
        try:
            assert not find_near_duplicates(thumbnails).any()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * thumbnails.nbytes  # one float64 per pair would be 32 MB
