"""Images and labels from folders, label files and memory; splits; what users get wrong."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import Subset
from torchvision.transforms import v2

from course_utils import datasets
from course_utils.datasets import (
    InMemoryDataset,
    first_of_each_class,
    image_folder,
    load_in_memory,
    load_splits,
    make_loader,
    split_folders,
    stratified_split,
)
from course_utils.errors import DataError
from course_utils.image_io import common_mode, load_image
from course_utils.transforms import resize_to_square

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"


@pytest.fixture
def photos(tmp_path):
    """A copy of the photographs, to be damaged."""
    return Path(shutil.copytree(PHOTOS, tmp_path / "photos"))


def gray_steps(mode="L"):
    """A small image of four known gray values."""
    return Image.fromarray(np.array([[0, 64], [128, 255]], np.uint8)).convert(mode)


def make_folders(root, *names, image=None):
    """Put one image, or several with other names, into each folder."""
    for name in names:
        folder, _, count = name.partition(":")
        (root / folder).mkdir(parents=True)
        for number in range(int(count or 1)):
            (image or gray_steps("RGB")).save(root / folder / f"{number}.png")
    return root


class TestLoadImage:
    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    def test_thirty_two_bits_are_refused_not_black(self, dtype, tmp_path):
        Image.fromarray(np.array([[0, 255]], dtype)).save(tmp_path / "deep.tif")
        with pytest.raises(DataError, match="deep.tif could not be read .32 bits per pixel"):
            load_image(tmp_path / "deep.tif")

    def test_what_cannot_be_loaded_is_named(self, tmp_path):
        path = tmp_path / "image.png"
        with pytest.raises(DataError, match=r"image\.png could not be read .No such file"):
            load_image(path)
        path.write_text("not an image")
        with pytest.raises(DataError, match=r"image\.png is not an image"):
            load_image(path)
        good = (PHOTOS / "birds" / "crow.jpg").read_bytes()
        path.write_bytes(good[: len(good) // 2])
        with pytest.raises(DataError, match=r"image\.png could not be read \(.*truncated"):
            load_image(path)
        with pytest.raises(DataError, match="could not be read .(Is a dir|Permission)"):
            load_image(tmp_path)

    @pytest.mark.parametrize(("draft", "size"), [(None, 320), (31, 80), (60, 80), (121, 320)])
    def test_a_draft_is_never_smaller_than_asked_for(self, draft, size, smooth):
        image = load_image(smooth / "class 0" / "0.jpg", draft=draft)
        assert image.size == (size, size * 3 // 4)
        full = load_image(smooth / "class 0" / "0.jpg").resize(image.size, Image.Resampling.BOX)
        assert np.abs(np.subtract(image, full, dtype=float)).mean() < 2

    def test_a_draft_is_upright_and_other_formats_are_loaded_whole(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (320, 160)).save(tmp_path / "a.jpg", exif=exif)
        assert load_image(tmp_path / "a.jpg", draft=80).size == (80, 160)
        Image.linear_gradient("L").save(tmp_path / "a.png")
        assert load_image(tmp_path / "a.png", "L", draft=16).size == (256, 256)


def test_common_mode_reads_every_header_and_ignores_unreadable_files(tmp_path):
    gray_steps().save(tmp_path / "gray.png")
    (tmp_path / "broken.png").write_text("no image")
    paths = [tmp_path / name for name in ("broken.png", "none.png", "gray.png")]
    paths += 299 * [tmp_path / "gray.png"]
    assert common_mode(paths) == "L"
    paths.insert(150, PHOTOS / "birds" / "crow.jpg")
    assert common_mode(paths) == "RGB"


class TestImageFolder:
    def test_agrees_with_torchvision(self):
        ours, theirs = image_folder(PHOTOS), torchvision.datasets.ImageFolder(PHOTOS)
        assert ours.classes == theirs.classes == ["birds", "fruit", "vehicles"]
        assert ours.class_to_idx == theirs.class_to_idx
        assert ours.targets == theirs.targets
        assert [(str(path), label) for path, label in theirs.samples] == ours.samples
        assert len(ours) == len(theirs) == 24
        for index in (0, 11, 23):
            np.testing.assert_array_equal(ours[index][0], theirs[index][0])
            assert ours[index][1] == theirs[index][1]

    def test_subsets_have_their_own_transform(self):
        to_tensor = v2.Compose([resize_to_square(16), v2.ToImage()])
        whole = image_folder(PHOTOS).subset(range(24), to_tensor)
        assert whole[8][0].shape == (3, 16, 16)
        train, val = whole.subset([0, 9, 17], resize_to_square(8)), whole.subset([1])
        assert train.targets == [0, 1, 2]
        assert train[1][0].size == (8, 8)
        assert val[0][0].size == load_image(whole.samples[1][0]).size

    def test_other_files_and_hidden_folders_are_ignored(self, photos):
        (photos / "birds" / "notes.txt").write_text("seen in May")
        (photos / "birds" / ".hidden.jpg").write_bytes(b"")
        make_folders(photos, ".cache", "__MACOSX")
        (photos / "birds" / "more").mkdir()
        (photos / "birds" / "crow.jpg").rename(photos / "birds" / "more" / "CROW.JPG")
        dataset = image_folder(photos)
        assert len(dataset) == 24
        assert dataset.classes == ["birds", "fruit", "vehicles"]

    @pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
    def test_links_that_lead_back_do_not_repeat_images(self, photos, tmp_path):
        (photos / "birds" / "again").symlink_to(photos)
        (photos / "all").symlink_to(photos)
        assert len(image_folder(photos)) == 24
        # A link to a folder elsewhere is a class, and a link to a file is an image.
        shutil.move(photos / "fruit", tmp_path / "elsewhere")
        (photos / "fruit").symlink_to(tmp_path / "elsewhere")
        (photos / "birds" / "link.jpg").symlink_to(photos / "birds" / "crow.jpg")
        assert len(image_folder(photos)) == 25

    def test_gray_images_stay_gray(self, tmp_path):
        make_folders(tmp_path, "a", "b", image=gray_steps())
        assert image_folder(tmp_path).mode == "L"
        assert image_folder(tmp_path, mode="RGB")[0][0].mode == "RGB"
        gray_steps("RGB").save(tmp_path / "b" / "2.png")
        assert image_folder(tmp_path).mode == "RGB"

    def test_a_folder_without_the_right_form_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="none could not be read .No such file"):
            image_folder(tmp_path / "none")
        with pytest.raises(DataError, match="fruit needs at least two class folders, but has 0"):
            image_folder(PHOTOS / "fruit")
        with pytest.raises(DataError, match=r"needs at least two class folders, but has 1\."):
            image_folder(make_folders(tmp_path, "birds"))

    def test_a_class_without_images_is_refused(self, photos):
        (photos / "fish").mkdir()
        (photos / "frogs").mkdir()
        with pytest.raises(DataError, match=r"No images in .*photos: fish, frogs\. Add some"):
            image_folder(photos)

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
    def test_a_class_that_may_not_be_read_is_refused(self, photos):
        (photos / "fruit").chmod(0)
        try:
            with pytest.raises(DataError, match="fruit could not be read .Permission denied"):
                image_folder(photos)
        finally:
            (photos / "fruit").chmod(0o755)


@pytest.fixture(scope="module")
def memory():
    return InMemoryDataset.decode(image_folder(PHOTOS), resize_to_square(8))


class TestInMemory:
    def test_holds_the_same_images_single_or_in_batches(self):
        folder = image_folder(PHOTOS)
        memory = InMemoryDataset.decode(
            folder, resize_to_square(24), batch_transform=lambda images: images / 255
        )
        assert memory.images.shape == (24, 3, 24, 24) and memory.images.dtype == torch.uint8
        assert memory.targets.tolist() == folder.targets
        assert memory.class_to_idx == folder.class_to_idx
        [(images, targets)] = make_loader(memory, batch_size=24)
        assert images.dtype == torch.float32
        for index in (0, 7, 23):
            image, target = memory[index]
            assert torch.equal(images[index], image)
            assert targets[index] == target
            expected = np.asarray(resize_to_square(24)(folder[index][0]), np.float32) / 255
            np.testing.assert_array_equal(image.permute(1, 2, 0), expected)

    def test_each_image_is_transformed_on_its_own(self):
        images = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).repeat(64, 1, 1, 1)
        flip = v2.RandomHorizontalFlip(0.5)
        torch.manual_seed(0)
        dataset = InMemoryDataset(images, torch.zeros(64, dtype=torch.int64), ["a"], transform=flip)
        batch, _ = dataset.__getitems__(list(range(64)))
        flipped = sum(torch.equal(image, images[0].flip(-1)) for image in batch)
        assert 16 < flipped < 48

    def test_shapes_are_checked(self):
        good = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
        with pytest.raises(ValueError, match="must be uint8.* not torch.float32"):
            InMemoryDataset(good.float(), torch.zeros(2), ["a"])
        expected = r"uint8 of shape \(3, channels, height, width\), not torch.uint8 of \(2, 1, 4, 4"
        with pytest.raises(ValueError, match=expected):
            InMemoryDataset(good, torch.zeros(3), ["a"])


@pytest.fixture
def smooth(tmp_path):
    """Six JPEG files of 320 x 240 pixels, smooth as photographs are."""
    rng = np.random.default_rng(0)
    for number in range(6):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        path = tmp_path / "photos" / f"class {number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=95)
    return tmp_path / "photos"


def decode(folder, cache=None, resize=None, mode="RGB", **options):
    files = image_folder(folder, mode=mode)
    return InMemoryDataset.decode(files, resize or resize_to_square(32), cache=cache, **options)


def change_pixel(folder):
    path = folder / "class 1" / "3.jpg"
    status = path.stat()
    image = load_image(path)
    image.putpixel((5, 5), (255, 0, 255))
    image.save(path, quality=90)
    os.utime(path, (status.st_mtime, status.st_mtime + 1))


def remove_file(folder):
    (folder / "class 0" / "0.jpg").unlink()


def rename_file(folder):
    (folder / "class 0" / "0.jpg").rename(folder / "class 0" / "7.jpg")


class TestCache:
    @pytest.mark.filterwarnings("error", "ignore::ResourceWarning")
    def test_the_second_time_nothing_is_decoded(self, smooth, tmp_path, monkeypatch):
        plain = decode(smooth)
        first = decode(smooth, tmp_path / "cache")
        monkeypatch.setattr(datasets, "load_image", None)
        second = decode(smooth, tmp_path / "cache")
        assert torch.equal(first.images, plain.images)
        assert torch.equal(second.images, plain.images)
        assert second.targets.tolist() == first.targets.tolist() == [0, 0, 0, 1, 1, 1]
        assert len(list((tmp_path / "cache").iterdir())) == 1
        [(images, targets)] = make_loader(second, 6, shuffle=True)
        assert images.shape == (6, 3, 32, 32)
        assert sorted(targets.tolist()) == [0, 0, 0, 1, 1, 1]

    @pytest.mark.parametrize("change", [change_pixel, remove_file, rename_file])
    def test_changed_files_are_decoded_again(self, change, smooth, tmp_path):
        decode(smooth, tmp_path / "cache")
        change(smooth)
        assert torch.equal(decode(smooth, tmp_path / "cache").images, decode(smooth).images)

    @pytest.mark.parametrize(
        "options",
        [
            {"resize": resize_to_square(33)},
            {"resize": resize_to_square(32, "squash")},
            {"resize": v2.Compose([resize_to_square(32), v2.functional.vertical_flip])},
            {"resize": v2.Resize((1, 8))},
            {"resize": v2.Compose([resize_to_square(32), v2.functional.horizontal_flip])},
            {"resize": v2.Compose([resize_to_square(32), v2.Grayscale(3)])},
            {"mode": "L"},
        ],
        ids=["size", "mode", "function", "height 1", "flip", "3 equal channels", "gray"],
    )
    def test_another_way_of_decoding_is_another_file(self, options, smooth, tmp_path):
        decode(smooth, tmp_path / "cache")
        kept = decode(smooth, tmp_path / "cache", **options)
        assert torch.equal(kept.images, decode(smooth, **options).images)
        assert len(list((tmp_path / "cache").iterdir())) == 2

    def test_crop_and_squash_are_different_files(self, smooth, tmp_path):
        for mode in ("crop", "squash"):
            resize = resize_to_square(32, mode)
            kept = decode(smooth, tmp_path / "cache", resize)
            assert torch.equal(kept.images, decode(smooth, resize=resize).images)

    def test_the_size_is_that_of_the_images(self, smooth, tmp_path):
        """Defect: it was that of an image of 97 x 61 pixels."""
        kept = decode(smooth, tmp_path / "cache", v2.Resize(24))
        assert torch.equal(kept.images, decode(smooth, resize=v2.Resize(24)).images)

    def test_writing_to_the_images_does_not_change_the_file(self, smooth, tmp_path):
        first = decode(smooth, tmp_path / "cache")
        before = first.images.clone()
        first.images.zero_()
        assert torch.equal(decode(smooth, tmp_path / "cache").images, before)

    def test_a_damaged_photograph_leaves_no_cache(self, smooth, tmp_path):
        (smooth / "class 1" / "5.jpg").write_bytes(b"no image")
        with pytest.raises(DataError, match=r"5\.jpg is not an image"):
            decode(smooth, tmp_path / "cache")
        files = image_folder(smooth)
        (smooth / "class 1" / "5.jpg").unlink()
        with pytest.raises(DataError, match=r"5\.jpg could not be read .No such file"):
            InMemoryDataset.decode(files, resize_to_square(32), cache=tmp_path / "cache")
        assert list((tmp_path / "cache").iterdir()) == []


class TestMakeLoader:
    def test_the_order_depends_on_the_seed_alone_and_changes_in_every_epoch(self, memory):
        numbered = InMemoryDataset(memory.images, torch.arange(24), memory.classes)

        def two_epochs(seed):
            torch.rand(np.random.default_rng().integers(1, 9).item())
            loader = make_loader(numbered, 7, shuffle=True, seed=seed)
            return [[targets.tolist() for _, targets in loader] for _ in range(2)]

        first, second = two_epochs(1)
        assert [first, second] == two_epochs(1) != two_epochs(2)
        assert [len(batch) for batch in first] == [7, 7, 7, 3]
        assert first != second
        assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(24))

    def test_subsets_of_torch_are_loaded_in_batches(self, memory):
        part = Subset(Subset(memory, [1, 9, 17, 23]), [3, 1, 0])
        [(images, targets)] = make_loader(part, 4)
        assert torch.equal(images, memory.images[[23, 9, 1]])
        assert targets.tolist() == [2, 1, 0]

    @pytest.mark.parametrize("in_memory", [False, True])
    def test_workers_give_what_one_process_gives(self, in_memory, memory):
        to_tensor = v2.Compose([resize_to_square(8), v2.ToImage()])
        files = image_folder(PHOTOS).subset(range(24), to_tensor)
        dataset = memory if in_memory else files
        # On macOS and Windows, worker processes get a pickled copy.
        copy = pickle.loads(pickle.dumps(dataset))
        loaders = make_loader(dataset, 9, shuffle=True), make_loader(copy, 9, True, num_workers=1)
        alone, together = (list(loader) for loader in loaders)
        for (images, targets), (others, other_targets) in zip(alone, together, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(targets, other_targets)


def layout(root, **splits):
    """Copy the photographs of two classes into splits; each is a range of images per class."""
    for split, per_class in splits.items():
        for name in ("birds", "fruit"):
            (root / split / name).mkdir(parents=True)
            for path in sorted((PHOTOS / name).iterdir())[slice(*per_class)]:
                shutil.copy(path, root / split / name)
    return root


def sizes(splits):
    """The number of images in each split, which have the same classes and no common image."""
    assert list(splits) == ["train", "val", "test"]
    paths = [path for dataset in splits.values() for path, _ in dataset.samples]
    assert len(set(paths)) == len(paths)
    assert len({tuple(dataset.classes) for dataset in splits.values()}) == 1
    return [len(dataset) for dataset in splits.values()]


class TestLoadSplits:
    def test_a_folder_without_splits(self):
        splits = load_splits(PHOTOS)
        assert sizes(splits) == [15, 3, 6]
        for dataset in splits.values():
            assert len({dataset.targets.count(label) for label in range(3)}) == 1
        again, other = load_splits(PHOTOS), load_splits(PHOTOS, seed=1)
        assert again["test"].samples == splits["test"].samples != other["test"].samples

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({"train": (0, 4), "valid": (4, 6), "Test": (6, 8)}, [8, 4, 4]),
            ({"train": (0, 5), "test": (5, 8)}, [8, 2, 6]),
            ({"train": (0, 5), "val": (5, 8)}, [8, 2, 6]),  # validation becomes test
            ({"seg_train/seg_train": (0, 4), "seg_test/seg_test": (4, 8)}, [6, 2, 8]),
        ],
    )
    def test_given_splits_are_kept(self, given, expected, tmp_path):
        splits = load_splits(layout(tmp_path, **given))
        assert sizes(splits) == expected
        folder = Path(list(given)[-1])
        assert all(str(folder) in path for path, _ in splits["test"].samples)

    def test_a_training_folder_alone_is_divided_like_a_folder_without_splits(self, tmp_path):
        root = layout(tmp_path, train=(0, 8))
        splits, whole = load_splits(root, seed=3), load_splits(root / "train", seed=3)
        assert sizes(splits) == [10, 2, 4]
        assert {k: v.samples for k, v in splits.items()} == {k: v.samples for k, v in whole.items()}

    def test_classes_that_differ_are_refused(self, tmp_path):
        root = layout(tmp_path, train=(0, 4), test=(4, 8))
        (root / "test" / "fruit").rename(root / "test" / "fruits")
        with pytest.raises(DataError, match="test and train have different classes: fruit, fruits"):
            load_splits(root)

    def test_a_name_of_the_catalog(self, monkeypatch):
        monkeypatch.setattr(datasets, "find_dataset", {"cutouts": PHOTOS}.get)
        assert sizes(load_splits("cutouts")) == [15, 3, 6]

    @pytest.mark.parametrize("colored", ["train/a", "test/b"])
    def test_all_splits_have_the_mode_of_the_only_colored_image(self, colored, tmp_path):
        folders = [f"{split}/{name}:5" for split in ("train", "test") for name in ("a", "b")]
        make_folders(tmp_path, *folders, image=gray_steps())
        assert {dataset.mode for dataset in load_splits(tmp_path).values()} == {"L"}
        gray_steps("RGB").save(tmp_path / colored / "9.png")
        assert {dataset.mode for dataset in load_splits(tmp_path).values()} == {"RGB"}
        assert {dataset.mode for dataset in load_splits(tmp_path, mode="L").values()} == {"L"}

    @pytest.mark.parametrize("classes", [["bus", "test", "train"], ["test", "train"]])
    def test_a_class_may_be_called_test_or_train(self, classes, tmp_path):
        make_folders(tmp_path, *(f"{name}:4" for name in classes))
        assert not split_folders(tmp_path)
        splits = load_splits(tmp_path)
        assert splits["test"].classes == classes
        assert sum(sizes(splits)) == 4 * len(classes)

    def test_splits_may_have_a_class_of_their_own_name(self, tmp_path):
        names = [f"{split}/{name}:3" for split in ("train", "test") for name in ("bus", "train")]
        splits = load_splits(make_folders(tmp_path, *names))
        assert splits["train"].classes == ["bus", "train"]
        assert sizes(splits) == [4, 2, 6]

    def test_folders_beside_the_splits_and_a_test_set_without_labels_are_ignored(self, tmp_path):
        make_folders(tmp_path, "train/a:5", "train/b:5", "test:9", "unlabeled:9")
        assert split_folders(tmp_path)
        splits = load_splits(tmp_path)
        assert splits["test"].classes == ["a", "b"]
        assert sum(sizes(splits)) == 10

    @pytest.mark.parametrize("names", [["test", "val"], ["test"]])
    def test_evaluation_sets_alone_are_refused(self, names, tmp_path):
        make_folders(tmp_path, "a:3", *(f"{name}/{label}:3" for name in names for label in "ab"))
        with pytest.raises(DataError, match=f"has {' and '.join(names)}, but no train"):
            load_splits(tmp_path)


class TestStratifiedSplit:  # see also the random cases in test_numbers.py
    @pytest.mark.parametrize("names", [[0, 1], ["cat", "dog"]])
    def test_the_parts_are_the_same_on_every_machine(self, names):
        # The stored outputs of the notebooks depend on it.
        targets = [names[0]] * 8 + [names[1]] * 6
        assert stratified_split(targets, {"train": 0.6, "test": 0.4}) == {
            "train": [2, 3, 4, 5, 6, 9, 10, 12, 13],
            "test": [0, 1, 7, 8, 11],
        }

    @pytest.mark.parametrize("shares", [(1.0, 0), (1.5, -0.5), (float("nan"), 0.5), (0.7, 0.2)])
    def test_fractions_that_do_not_add_up_are_refused(self, shares):
        with pytest.raises(DataError, match="must be positive and add up to 1, not {"):
            stratified_split([0] * 9, dict(zip("ab", shares, strict=True)))

    def test_rounded_fractions_are_accepted_and_keep_their_order(self):
        parts = stratified_split([0] * 9, dict.fromkeys("cba", 0.3333333))
        assert [(name, len(part)) for name, part in parts.items()] == [("c", 3), ("b", 3), ("a", 3)]

    def test_a_class_with_too_few_images_is_named(self, photos):
        for path in sorted((photos / "fruit").iterdir())[2:]:
            path.unlink()
        with pytest.raises(DataError, match="Class fruit has 2 images, too few for 3 parts"):
            load_splits(photos)


class TestLoadInMemory:
    def test_all_parts_are_normalized_by_the_training_images(self):
        parts, memory = load_splits(PHOTOS, seed=3), load_in_memory(PHOTOS, 24, seed=3)
        for name, part in parts.items():
            expected = InMemoryDataset.decode(part, resize_to_square(24))
            assert torch.equal(memory[name].images, expected.images)
            assert memory[name].targets.tolist() == part.targets
        train = memory["train"].batch_transform(memory["train"].images)
        torch.testing.assert_close(train.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        variance = train.var(dim=(0, 2, 3), correction=0)
        torch.testing.assert_close(variance, torch.ones(3), atol=1e-4, rtol=0)
        image = memory["train"].images[:1]
        assert all(torch.equal(part.batch_transform(image), train[:1]) for part in memory.values())
        assert all(part.transform is None for part in memory.values())

    def test_a_given_transform_replaces_normalization(self):
        memory = load_in_memory(PHOTOS, 24, mode="L", transform=lambda batch: batch.float())
        images, _ = memory["val"][0]
        assert images.shape == (1, 24, 24) and torch.equal(images, memory["val"].images[0].float())

    def test_the_first_of_each_class_are_kept(self):
        whole = load_splits(PHOTOS)["train"]  # at least four images of each class
        few = first_of_each_class(whole, max_images=9)
        assert few.targets == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        for label in range(3):
            of_class = [sample for sample in whole.samples if sample[1] == label]
            assert [sample for sample in few.samples if sample[1] == label] == of_class[:3]
        assert first_of_each_class(whole, max_images=1).targets == [0, 0, 1, 1, 2, 2]
        assert first_of_each_class(whole, max_images=1000).samples == whole.samples
        assert len(load_in_memory(PHOTOS, 8, max_images=9)["train"]) == 9


def test_a_printed_dataset_says_what_it_holds():
    files = load_splits(PHOTOS)["train"]
    assert repr(files) == f"ImageFiles: {len(files)} images of {len(files.classes)} classes"
    images = InMemoryDataset.decode(files, resize_to_square(8))
    assert repr(images) == f"InMemoryDataset: ({len(files)}, 3, 8, 8) uint8, 3 classes"
