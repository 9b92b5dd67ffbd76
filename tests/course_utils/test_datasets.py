"""Images and labels from folders and memory; what users get wrong."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.utils.data import Subset, SubsetRandomSampler
from torchvision.transforms import v2

from course_utils import datasets
from course_utils.datasets import (
    ImageFiles,
    InMemoryDataset,
    has_splits,
    image_folder,
    load_splits,
    make_loader,
)
from course_utils.errors import DataError
from course_utils.image_io import common_mode, load_image
from course_utils.transforms import resize_to_square

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"


@pytest.fixture
def photos(tmp_path):
    """A copy of the photographs, to be damaged."""
    return Path(shutil.copytree(PHOTOS, tmp_path / "photos"))


def scale(images):
    return images.float() / 255


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
    def test_sixteen_bits_are_scaled_not_cut_off(self, tmp_path):
        pixels = np.array([[0, 257], [32896, 65535]], np.uint16)
        Image.fromarray(pixels).save(tmp_path / "deep.png")
        loaded = np.asarray(load_image(tmp_path / "deep.png", "L"))
        np.testing.assert_array_equal(loaded, [[0, 1], [128, 255]])

    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    def test_thirty_two_bits_are_refused_not_black(self, dtype, tmp_path):
        Image.fromarray(np.array([[0, 255]], dtype)).save(tmp_path / "deep.tif")
        with pytest.raises(DataError, match="deep.tif could not be read .32 bits per pixel"):
            load_image(tmp_path / "deep.tif")

    def test_transparent_parts_are_white(self, tmp_path):
        image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
        image.putpixel((1, 0), (0, 0, 0, 0))
        image.save(tmp_path / "cut.png")
        loaded = load_image(tmp_path / "cut.png")
        assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]
        assert load_image(tmp_path / "cut.png", "RGBA").getpixel((1, 0))[3] == 0

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
    def test_every_mode_becomes_the_wanted_one(self, mode, tmp_path):
        path = tmp_path / "image.tif" if mode == "CMYK" else tmp_path / "image.png"
        gray_steps("RGBA" if mode == "P" else mode).convert(mode).save(path)
        assert load_image(path).mode == "RGB"
        assert load_image(path, "L").mode == "L"
        if mode not in ("1", "CMYK"):
            np.testing.assert_array_equal(
                np.asarray(load_image(path, "L")), np.asarray(gray_steps())
            )

    def test_what_cannot_be_loaded_is_named(self, tmp_path):
        path = tmp_path / "image.png"
        with pytest.raises(DataError, match=r"no file .*image\.png"):
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
            np.testing.assert_array_equal(np.asarray(ours[index][0]), np.asarray(theirs[index][0]))
            assert ours[index][1] == theirs[index][1]

    def test_the_transform_is_applied(self):
        image, label = image_folder(PHOTOS, v2.Compose([resize_to_square(16), v2.ToImage()]))[8]
        assert image.shape == (3, 16, 16)
        assert label == 1

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
        with pytest.raises(DataError, match="has 0 class folders, and images lie not in it"):
            image_folder(tmp_path)
        gray_steps().save(tmp_path / "1.png")
        with pytest.raises(DataError, match="images lie directly in it; one subfolder per class"):
            image_folder(tmp_path)
        make_folders(tmp_path, "birds")
        with pytest.raises(DataError, match="has 1 class folders"):
            image_folder(tmp_path)

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


def test_subsets_share_nothing():
    whole = image_folder(PHOTOS)
    train, val = whole.subset([0, 9, 17], resize_to_square(8)), whole.subset([1])
    assert isinstance(train, ImageFiles)
    assert train.targets == [0, 1, 2]
    assert train[1][0].size == (8, 8)
    assert val[0][0].size == whole[1][0].size


class TestInMemory:
    def test_holds_the_same_images(self):
        folder = image_folder(PHOTOS)
        memory = InMemoryDataset.decode(folder, resize_to_square(24))
        assert memory.images.shape == (24, 3, 24, 24)
        assert memory.images.dtype == torch.uint8
        assert memory.targets.tolist() == folder.targets
        assert memory.class_to_idx == folder.class_to_idx
        expected = np.asarray(resize_to_square(24)(folder[7][0]))
        np.testing.assert_array_equal(memory[7][0].permute(1, 2, 0).numpy(), expected)

    def test_batches_equal_single_images(self):
        memory = InMemoryDataset.decode(
            image_folder(PHOTOS), resize_to_square(24), batch_transform=scale
        )
        images, targets = next(iter(make_loader(memory, batch_size=5)))
        assert images.dtype == torch.float32
        assert images.max() <= 1
        for index in range(5):
            image, target = memory[index]
            assert torch.equal(images[index], image)
            assert targets[index] == target

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
        with pytest.raises(
            ValueError,
            match=r"uint8 of shape \(3, channels, height, width\), not torch.uint8 of shape \(2, 1, 4, 4",
        ):
            InMemoryDataset(good, torch.zeros(3), ["a"])


@pytest.fixture(scope="module")
def memory():
    return InMemoryDataset.decode(image_folder(PHOTOS), resize_to_square(8))


class TestMakeLoader:
    def test_the_order_depends_on_the_seed_alone(self, memory):
        def order(seed):
            torch.rand(np.random.default_rng().integers(1, 9).item())
            loader = make_loader(memory, 7, shuffle=True, seed=seed)
            return [targets.tolist() for _, targets in loader]

        assert order(1) == order(1)
        assert order(1) != order(2)
        assert [len(batch) for batch in order(1)] == [7, 7, 7, 3]

    def test_every_epoch_has_another_order_and_every_image_once(self, memory):
        numbered = InMemoryDataset(memory.images, torch.arange(24), memory.classes)
        loader = make_loader(numbered, 10, shuffle=True)
        epochs = [torch.cat([targets for _, targets in loader]).tolist() for _ in range(2)]
        assert epochs[0] != epochs[1]
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(24))

    def test_a_sampler_chooses(self, memory):
        loader = make_loader(memory, 4, sampler=SubsetRandomSampler([9, 10]))
        assert [targets.tolist() for _, targets in loader] == [[1, 1]]

    def test_subsets_of_torch_are_loaded_in_batches(self, memory):
        part = Subset(Subset(memory, [1, 9, 17, 23]), [3, 1, 0])
        [(images, targets)] = make_loader(part, 4)
        assert torch.equal(images, memory.images[[23, 9, 1]])
        assert targets.tolist() == [2, 1, 0]

    @pytest.mark.parametrize("in_memory", [False, True])
    def test_workers_give_what_one_process_gives(self, in_memory, memory):
        files = image_folder(PHOTOS, v2.Compose([resize_to_square(8), v2.ToImage()]))
        dataset = memory if in_memory else files
        # On macOS and Windows, worker processes get a pickled copy.
        copy = pickle.loads(pickle.dumps(dataset))
        loaders = make_loader(dataset, 9, shuffle=True), make_loader(copy, 9, True, num_workers=1)
        alone, together = (list(loader) for loader in loaders)
        for (images, targets), (others, other_targets) in zip(alone, together, strict=True):
            assert torch.equal(images, others)
            assert torch.equal(targets, other_targets)


class TestLoadSplits:
    def layout(self, root, **splits):
        for split, per_class in splits.items():
            for name in ("birds", "fruit"):
                (root / split / name).mkdir(parents=True)
                for path in sorted((PHOTOS / name).iterdir())[slice(*per_class)]:
                    shutil.copy(path, root / split / name)
        return root

    def sizes(self, splits):
        assert list(splits) == ["train", "val", "test"]
        paths = [path for dataset in splits.values() for path, _ in dataset.samples]
        assert len(set(paths)) == len(paths)
        assert len({tuple(dataset.classes) for dataset in splits.values()}) == 1
        return [len(dataset) for dataset in splits.values()]

    def test_a_folder_without_splits(self):
        splits = load_splits(PHOTOS)
        assert self.sizes(splits) == [15, 3, 6]
        for dataset in splits.values():
            assert len({dataset.targets.count(label) for label in range(3)}) == 1
        again, other = load_splits(PHOTOS), load_splits(PHOTOS, seed=1)
        assert again["test"].samples == splits["test"].samples != other["test"].samples

    def test_given_splits_are_kept(self, tmp_path):
        root = self.layout(tmp_path, train=(0, 4), valid=(4, 6), Test=(6, 8))
        assert self.sizes(load_splits(root)) == [8, 4, 4]

    def test_a_missing_validation_set_comes_from_training(self, tmp_path):
        splits = load_splits(self.layout(tmp_path, train=(0, 5), test=(5, 8)))
        assert self.sizes(splits) == [8, 2, 6]

    def test_without_a_test_set_the_validation_set_is_the_test_set(self, tmp_path):
        splits = load_splits(self.layout(tmp_path, train=(0, 5), val=(5, 8)))
        assert self.sizes(splits) == [8, 2, 6]
        assert all(f"{os.sep}val{os.sep}" in path for path, _ in splits["test"].samples)

    def test_a_training_folder_alone_is_divided_like_a_folder_without_splits(self, tmp_path):
        root = self.layout(tmp_path, train=(0, 8))
        splits, whole = load_splits(root, seed=3), load_splits(root / "train", seed=3)
        assert self.sizes(splits) == [10, 2, 4]
        assert {k: v.samples for k, v in splits.items()} == {k: v.samples for k, v in whole.items()}

    def test_nested_folders_of_the_same_name(self, tmp_path):
        self.layout(tmp_path / "seg_train", seg_train=(0, 4))
        self.layout(tmp_path / "seg_test", seg_test=(4, 8))
        assert self.sizes(load_splits(tmp_path)) == [6, 2, 8]

    def test_classes_that_differ_are_refused(self, tmp_path):
        root = self.layout(tmp_path, train=(0, 4), test=(4, 8))
        (root / "test" / "fruit").rename(root / "test" / "fruits")
        with pytest.raises(DataError, match="classes of test and train differ.*: fruit, fruits"):
            load_splits(root)

    def test_a_class_that_is_too_small_is_named(self, photos):
        for path in sorted((photos / "fruit").iterdir())[2:]:
            path.unlink()
        with pytest.raises(DataError, match="Class fruit has 2 images, too few for 3 parts"):
            load_splits(photos)

    def test_a_name_of_the_catalog(self, monkeypatch):
        monkeypatch.setattr(datasets, "find_dataset", {"cutouts": PHOTOS}.get)
        assert self.sizes(load_splits("cutouts")) == [15, 3, 6]

    @pytest.mark.parametrize("colored", ["train/a", "test/b"])
    def test_all_splits_have_the_mode_of_the_only_colored_image(self, colored, tmp_path):
        folders = [f"{split}/{name}:5" for split in ("train", "test") for name in ("a", "b")]
        make_folders(tmp_path, *folders, image=gray_steps())
        assert {dataset.mode for dataset in load_splits(tmp_path).values()} == {"L"}
        gray_steps("RGB").save(tmp_path / colored / "9.png")
        assert {dataset.mode for dataset in load_splits(tmp_path).values()} == {"RGB"}
        assert {dataset.mode for dataset in load_splits(tmp_path, mode="L").values()} == {"L"}


class TestSplitsAndClassesOfTheSameName:
    def test_a_class_may_be_called_test_or_train(self, tmp_path):
        make_folders(tmp_path, "bus:3", "test:4", "train:5")
        assert not has_splits(tmp_path)
        splits = load_splits(tmp_path)
        assert splits["test"].classes == ["bus", "test", "train"]
        assert sum(map(len, splits.values())) == 12

    def test_train_and_test_may_be_the_only_classes(self, tmp_path):
        make_folders(tmp_path, "test:4", "train:4")
        assert not has_splits(tmp_path)
        assert load_splits(tmp_path)["train"].classes == ["test", "train"]

    def test_splits_may_have_a_class_of_their_own_name(self, tmp_path):
        names = [f"{split}/{name}:3" for split in ("train", "test") for name in ("bus", "train")]
        make_folders(tmp_path, *names)
        splits = load_splits(tmp_path)
        assert splits["train"].classes == ["bus", "train"]
        assert [len(dataset) for dataset in splits.values()] == [4, 2, 6]

    def test_other_folders_beside_the_splits_are_ignored(self, tmp_path):
        make_folders(tmp_path, "train/a:3", "train/b:3", "test/a:1", "test/b:1", "unlabeled:9")
        assert has_splits(tmp_path)
        assert load_splits(tmp_path)["test"].classes == ["a", "b"]

    @pytest.mark.parametrize("names", [["test", "val"], ["test"]])
    def test_evaluation_sets_alone_are_refused(self, names, tmp_path):
        make_folders(tmp_path, "a:3", *(f"{name}/{label}:3" for name in names for label in "ab"))
        with pytest.raises(DataError, match=f"has {' and '.join(names)} with class folders but no"):
            load_splits(tmp_path)

    def test_a_training_set_that_may_be_a_class_is_refused(self, tmp_path):
        make_folders(tmp_path, "train/steam:3", "train/electric:3", "bus/new:3", "car/new:3")
        with pytest.raises(DataError, match="whether train in .* is .* a class beside bus, car;"):
            load_splits(tmp_path)

    def test_a_test_set_without_labels_is_no_class(self, tmp_path):
        make_folders(tmp_path, "train/a:5", "train/b:5", "test:9")
        splits = load_splits(tmp_path)
        assert splits["test"].classes == ["a", "b"]
        assert sum(map(len, splits.values())) == 10
