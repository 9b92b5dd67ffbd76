"""A messy folder becomes a split dataset, and the source is not changed."""

import shutil

import numpy as np
import pytest
from PIL import Image

from course_utils.datasets import load_splits
from course_utils.errors import DataError
from course_utils.health import check_folder
from image_classifier.prepare import prepare_folder


def picture(seed, size=48):
    """A picture of coarse patches; other seeds give pictures that look different."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def messy(tmp_path):
    root = tmp_path / "phone"
    for label, name in enumerate(("Äpfel", "pears")):
        (root / name / "June").mkdir(parents=True)
        for number in range(10):
            place = root / name / ("June" if number < 3 else "") / f"{number}.png"
            picture(100 * label + number).save(place)
    shutil.copy(root / "Äpfel" / "3.png", root / "Äpfel" / "3 copy.png")
    shutil.copy(root / "Äpfel" / "4.png", root / "pears" / "apple.png")
    (root / "pears" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    picture(105).save(root / "pears" / "burst.jpg", quality=80)  # pears/5.png once more
    return root


def contents(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_usable_images_are_copied_and_the_others_listed(messy, tmp_path):
    before = contents(messy)
    table = prepare_folder(messy, tmp_path / "out")
    assert contents(messy) == before
    why = table[table["set"] == "left out"].set_index("file")["why"].to_dict()
    copy = "Äpfel/3.png" if "Äpfel/3.png" in why else "Äpfel/3 copy.png"
    assert set(why) == {copy, "Äpfel/4.png", "pears/apple.png", "pears/broken.jpg"}
    assert why["Äpfel/4.png"] == "in two classes: same as pears/apple.png"
    assert why["pears/broken.jpg"].startswith("unreadable: ")
    kept = table[table["set"] != "left out"]
    copies = contents(tmp_path / "out")
    card = copies.pop("DATA_CARD.md").decode("utf-8")
    assert copies == {f"{row.set}/{row.file}": before[row.file] for row in kept.itertuples()}
    assert f"{len(kept)} images of 2 classes" in card
    assert "pears/broken.jpg: unreadable" in card and "near duplicate: 1" in card


def test_the_result_can_be_loaded(messy, tmp_path):
    prepare_folder(messy, tmp_path / "out")
    splits = load_splits(tmp_path / "out")
    assert {name: split.classes for name, split in splits.items()} == dict.fromkeys(
        ("train", "val", "test"), ["pears", "Äpfel"]
    )
    assert all(set(split.targets) == {0, 1} for split in splits.values())


def test_near_duplicates_are_in_the_same_set(messy, tmp_path):
    """Defect: if an image had two near-duplicates, the second one could be in another set."""
    for number in range(6):  # the third is between the others, at different distances
        first, second = picture(1000 + number), picture(2000 + number)
        for name, share in enumerate((0, 2, 1)):
            mixed = Image.blend(first, second, share * (number + 1) / 30)
            mixed.save(messy / "pears" / f"mixed {number} {name}.png")
    for seed in range(8):
        table = prepare_folder(messy, tmp_path / f"out{seed}", seed).set_index("file")
        assert table["set"]["pears/burst.jpg"] == table["set"]["pears/5.png"]
        assert not check_folder(tmp_path / f"out{seed}")["problem"].str.contains("across").any()


def test_the_seed_determines_the_split(messy, tmp_path):
    one, again, other = (
        prepare_folder(messy, tmp_path / str(n), seed)["set"] for n, seed in enumerate((0, 0, 1))
    )
    assert one.tolist() == again.tolist() != other.tolist()


def test_errors_leave_nothing_behind(messy, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="there already exists"):
        prepare_folder(messy, tmp_path / "there")
    prepare_folder(messy, tmp_path / "out")
    with pytest.raises(DataError, match="already has splits"):
        prepare_folder(tmp_path / "out", tmp_path / "again")
    (messy / "plums").mkdir()
    picture(907).save(messy / "plums" / "1.png")
    picture(908).save(messy / "plums" / "2.png")
    with pytest.raises(DataError, match="Class 'plums' has 2 different usable images"):
        prepare_folder(messy, tmp_path / "few")
    with pytest.raises(DataError, match="nowhere"):
        prepare_folder(tmp_path / "nowhere", tmp_path / "few")
    (tmp_path / "file").write_text("in the way")
    shutil.rmtree(messy / "plums")
    with pytest.raises(DataError, match="cannot be written"):
        prepare_folder(messy, tmp_path / "file" / "out")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".", "few", "again"))]


def test_the_command(messy, tmp_path, run, monkeypatch):
    odd = messy / "pears" / b"\xff.jpg".decode("utf-8", "surrogateescape")
    odd.write_bytes((messy / "pears" / "broken.jpg").read_bytes())
    monkeypatch.chdir(messy)
    result = run("prepare", ".")  # a path without a name
    assert result.code == 0
    assert "left out: pears/broken.jpg" in result.out and r"pears/\udcff.jpg" in result.out
    assert "phone-prepared/DATA_CARD.md" in result.out
    assert (tmp_path / "phone-prepared" / "train").is_dir()
    result = run("prepare", messy)
    assert result.code == 2 and "already exists" in result.err
