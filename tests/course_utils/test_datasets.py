"""Images and labels from folders, index files and memory; what users get wrong."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from exif_turns import TURNS
from PIL import Image
from torch.utils.data import SubsetRandomSampler
from torchvision.transforms import v2

from course_utils import catalog
from course_utils.datasets import (
    ImageFiles,
    InMemoryDataset,
    image_folder,
    load_splits,
    make_loader,
    read_label_file,
    write_label_file,
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


class TestLoadImage:
    def test_sixteen_bits_are_scaled_not_cut_off(self, tmp_path):
        pixels = np.array([[0, 257], [32896, 65535]], np.uint16)
        Image.fromarray(pixels).save(tmp_path / "deep.png")
        loaded = np.asarray(load_image(tmp_path / "deep.png", "L"))
        np.testing.assert_array_equal(loaded, [[0, 1], [128, 255]])

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_rotation_is_undone(self, orientation, tmp_path):
        upright = Image.new("L", (8, 4))
        upright.putpixel((0, 0), 255)
        stored = upright.transpose(TURNS[orientation]) if orientation > 1 else upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(tmp_path / "turned.png", exif=exif)
        loaded = load_image(tmp_path / "turned.png", "L")
        np.testing.assert_array_equal(np.asarray(loaded), np.asarray(upright))

    def test_transparent_parts_show_the_background(self, tmp_path):
        image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
        image.putpixel((1, 0), (0, 0, 0, 0))
        image.save(tmp_path / "cut.png")
        assert list(load_image(tmp_path / "cut.png").get_flattened_data()) == [
            (10, 20, 30),
            (255, 255, 255),
        ]
        red = load_image(tmp_path / "cut.png", background="red")
        assert red.getpixel((1, 0)) == (255, 0, 0)
        assert load_image(tmp_path / "cut.png", "RGBA").getpixel((1, 0))[3] == 0

    def test_a_transparent_palette(self, tmp_path):
        image = Image.new("P", (2, 1))
        image.putpalette([255, 0, 0, 0, 0, 255])
        image.putpixel((1, 0), 1)
        image.save(tmp_path / "palette.png", transparency=1)
        loaded = load_image(tmp_path / "palette.png")
        assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(255, 0, 0), (255, 255, 255)]

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
    def test_every_mode_becomes_what_was_asked_for(self, mode, tmp_path):
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
        with pytest.raises(DataError, match=r"image\.png is no image"):
            load_image(path)
        good = (PHOTOS / "birds" / "crow.jpg").read_bytes()
        path.write_bytes(good[: len(good) // 2])
        with pytest.raises(DataError, match=r"image\.png is damaged: .*truncated"):
            load_image(path)
        Image.fromarray(np.zeros((2, 2), np.float32)).save(tmp_path / "float.tif")
        with pytest.raises(DataError, match="floating-point"):
            load_image(tmp_path / "float.tif")
        with pytest.raises(DataError, match="folder|permission|directory"):
            load_image(tmp_path)


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

    def test_what_is_no_image_is_passed_over(self, photos):
        (photos / "birds" / "notes.txt").write_text("seen in May")
        (photos / "birds" / ".hidden.jpg").write_bytes(b"")
        (photos / ".cache").mkdir()
        (photos / "birds" / "more").mkdir()
        (photos / "birds" / "crow.jpg").rename(photos / "birds" / "more" / "CROW.JPG")
        dataset = image_folder(photos)
        assert len(dataset) == 24
        assert dataset.classes == ["birds", "fruit", "vehicles"]

    def test_gray_images_stay_gray(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            gray_steps().save(tmp_path / name / "1.png")
        assert image_folder(tmp_path).mode == "L"
        assert image_folder(tmp_path, mode="RGB")[0][0].mode == "RGB"
        gray_steps("RGB").save(tmp_path / "b" / "2.png")
        assert image_folder(tmp_path).mode == "RGB"

    def test_a_damaged_file_is_named_and_skipped_only_when_asked(self, photos, capsys):
        broken = photos / "birds" / "crow.jpg"
        broken.write_bytes(broken.read_bytes()[:500])
        dataset = image_folder(photos)
        with pytest.raises(DataError, match=r"crow\.jpg is damaged"):
            [dataset[index] for index in range(len(dataset))]
        skipped = image_folder(photos, skip_unreadable=True)
        assert len(skipped) == 23
        assert "left out: " in (printed := capsys.readouterr().out)
        assert "crow.jpg" in printed

    def test_a_missing_folder_shows_what_is_nearby(self, photos):
        with pytest.raises(DataError, match=r"In photos there are the folders birds, fruit, veh"):
            image_folder(photos / "brids")

    def test_images_in_the_root(self, tmp_path):
        gray_steps().save(tmp_path / "1.png")
        with pytest.raises(DataError, match="lie directly in .* one subfolder for each class"):
            image_folder(tmp_path)

    def test_one_class_only(self, tmp_path):
        shutil.copytree(PHOTOS / "birds", tmp_path / "birds")
        with pytest.raises(DataError, match=r"holds only one class \(birds\)"):
            image_folder(tmp_path)

    def test_no_images(self, tmp_path):
        with pytest.raises(DataError, match="is empty"):
            image_folder(tmp_path)
        (tmp_path / "cats").mkdir()
        (tmp_path / "dogs").mkdir()
        with pytest.raises(DataError, match="No images in"):
            image_folder(tmp_path)


class TestIndexFile:
    def test_goes_there_and_back(self, photos, tmp_path):
        folder = image_folder(photos)
        write_label_file(folder, tmp_path / "lists" / "all.txt")
        back = read_label_file(tmp_path / "lists" / "all.txt")
        assert back.classes == folder.classes
        assert back.targets == folder.targets
        for (ours, _), (theirs, _) in zip(back.samples, folder.samples, strict=True):
            assert os.path.samefile(ours, theirs)
        # It also works after the folder has moved as a whole.
        moved = tmp_path / "elsewhere"
        moved.mkdir()
        shutil.move(tmp_path / "lists", moved)
        shutil.move(photos, moved)
        image, _ = read_label_file(moved / "lists" / "all.txt")[5]
        np.testing.assert_array_equal(np.asarray(image), np.asarray(image_folder(PHOTOS)[5][0]))

    def test_every_way_of_writing_a_line(self, tmp_path):
        (tmp_path / "my photos").mkdir()
        for name in ("one", "two and a half", "three"):
            gray_steps().save(tmp_path / "my photos" / f"{name}.png")
        lines = [
            "# made by hand",
            "",
            "my photos/one.png cat",
            "my photos\\two and a half.png\tdog",
            '   "my photos/three.png"   cat  ',
            f"{tmp_path}/my photos/three.png dog",
        ]
        (tmp_path / "index.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
        dataset = read_label_file(tmp_path / "index.txt")
        assert dataset.classes == ["cat", "dog"]
        assert dataset.targets == [0, 1, 0, 1]
        assert [image.size for image, _ in dataset] == [(2, 2)] * 4
        assert dataset.mode == "L"

    def test_numbers_keep_their_order(self, tmp_path):
        (tmp_path / "index.txt").write_text("a.png 10\nb.png 9\nc.png 0\n")
        dataset = read_label_file(tmp_path / "index.txt")
        assert dataset.classes == ["0", "9", "10"]
        assert dataset.targets == [2, 1, 0]

    def test_names_of_classes_in_a_comment(self, tmp_path):
        (tmp_path / "index.txt").write_text("# classes: cat, dog, sea lion\na.png 2\nb.png dog\n")
        dataset = read_label_file(tmp_path / "index.txt")
        assert dataset.classes == ["cat", "dog", "sea lion"]
        assert dataset.targets == [2, 1]

    def test_a_windows_path_is_kept(self, tmp_path):
        (tmp_path / "index.txt").write_text("C:\\photos\\a b.png 0\n")
        assert read_label_file(tmp_path / "index.txt").samples == [("C:\\photos\\a b.png", 0)]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a.png 0\nb.png\n", r"line 2 has no label: 'b\.png'"),
            ("# nothing here\n", "lists no images"),
            ("# classes: cat, dog\na.png 2\n", "line 2: there is no class '2'"),
            ("# classes: cat, dog\na.png cow\n", "line 2: there is no class 'cow'"),
        ],
    )
    def test_mistakes_are_named(self, text, message, tmp_path):
        (tmp_path / "index.txt").write_text(text)
        with pytest.raises(DataError, match=message):
            read_label_file(tmp_path / "index.txt")

    def test_no_file_and_no_text(self, tmp_path):
        with pytest.raises(DataError, match="no index file"):
            read_label_file(tmp_path / "index.txt")
        (tmp_path / "index.txt").write_bytes(b"caf\xe9.png 0\n")
        with pytest.raises(DataError, match="UTF-8"):
            read_label_file(tmp_path / "index.txt")


class TestInMemory:
    def test_holds_the_same_images(self):
        folder = image_folder(PHOTOS)
        memory = InMemoryDataset.decode(folder, resize_to_square(24))
        assert memory.images.shape == (24, 3, 24, 24)
        assert memory.images.dtype == torch.uint8
        assert memory.targets.tolist() == folder.targets
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

    def test_each_image_draws_its_own_transform(self):
        images = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8).repeat(64, 1, 1, 1)
        flip = v2.RandomHorizontalFlip(0.5)
        torch.manual_seed(0)
        dataset = InMemoryDataset(images, torch.zeros(64, dtype=torch.int64), ["a"], transform=flip)
        batch, _ = dataset.__getitems__(list(range(64)))
        flipped = sum(torch.equal(image, images[0].flip(-1)) for image in batch)
        assert 16 < flipped < 48

    def test_shapes_are_checked(self):
        good = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
        with pytest.raises(ValueError, match="must be uint8"):
            InMemoryDataset(good.float(), torch.zeros(2), ["a"])
        with pytest.raises(ValueError, match="2 images but 3 targets"):
            InMemoryDataset(good, torch.zeros(3), ["a"])


class TestMakeLoader:
    def test_the_order_depends_on_the_seed_alone(self):
        memory = InMemoryDataset.decode(image_folder(PHOTOS), resize_to_square(8))

        def order(seed):
            torch.rand(np.random.default_rng().integers(1, 9).item())
            loader = make_loader(memory, 7, shuffle=True, seed=seed)
            return [targets.tolist() for _, targets in loader]

        assert order(1) == order(1)
        assert order(1) != order(2)
        assert [len(batch) for batch in order(1)] == [7, 7, 7, 3]

    def test_every_epoch_has_another_order_and_every_image_once(self):
        memory = InMemoryDataset.decode(image_folder(PHOTOS), resize_to_square(8))
        memory.targets = torch.arange(24)
        loader = make_loader(memory, 10, shuffle=True)
        epochs = [torch.cat([targets for _, targets in loader]).tolist() for _ in range(2)]
        assert epochs[0] != epochs[1]
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(24))

    def test_a_sampler_chooses(self):
        loader = make_loader(
            InMemoryDataset.decode(image_folder(PHOTOS), resize_to_square(8)),
            4,
            sampler=SubsetRandomSampler([9, 10]),
        )
        assert [targets.tolist() for _, targets in loader] == [[1, 1]]

    @pytest.mark.parametrize("in_memory", [False, True])
    def test_workers_give_what_one_process_gives(self, in_memory):
        dataset = image_folder(PHOTOS, v2.Compose([resize_to_square(8), v2.ToImage()]))
        if in_memory:
            dataset = InMemoryDataset.decode(dataset, resize_to_square(8))
        # "spawn" is how macOS and Windows start processes: everything must survive pickling.
        loaders = [make_loader(dataset, 9, shuffle=True, num_workers=n) for n in (0, 2)]
        loaders[1].multiprocessing_context = "spawn"
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

    def test_nested_folders_of_the_same_name(self, tmp_path):
        self.layout(tmp_path / "seg_train", seg_train=(0, 4))
        self.layout(tmp_path / "seg_test", seg_test=(4, 8))
        assert self.sizes(load_splits(tmp_path)) == [6, 2, 8]

    def test_classes_that_differ_are_refused(self, tmp_path):
        root = self.layout(tmp_path, train=(0, 4), test=(4, 8))
        (root / "test" / "fruit").rename(root / "test" / "fruits")
        with pytest.raises(
            DataError, match="classes of test and train differ.*: fruit, fruits are"
        ):
            load_splits(root)

    def test_a_class_that_is_too_small_is_refused(self, photos):
        for path in sorted((photos / "birds").iterdir())[2:]:
            path.unlink()
        with pytest.raises(DataError, match="has 2 images, too few for 3 parts"):
            load_splits(photos)

    def test_a_name_of_the_catalog(self, tmp_path, monkeypatch):
        monkeypatch.setattr(catalog, "prepare", lambda name: PHOTOS)
        assert self.sizes(load_splits("cutouts")) == [15, 3, 6]


def test_subsets_share_nothing():
    whole = image_folder(PHOTOS)
    train, val = whole.subset([0, 9, 17], resize_to_square(8)), whole.subset([1])
    assert isinstance(train, ImageFiles)
    assert train.targets == [0, 1, 2]
    assert train[1][0].size == (8, 8)
    assert val[0][0].size == whole[1][0].size


def test_common_mode_passes_over_what_it_cannot_read(tmp_path):
    gray_steps().save(tmp_path / "gray.png")
    (tmp_path / "broken.png").write_text("no image")
    paths = [tmp_path / "broken.png", tmp_path / "gray.png", tmp_path / "none.png"]
    assert common_mode(paths) == "L"
    assert common_mode([*paths, PHOTOS / "birds" / "crow.jpg"]) == "RGB"
