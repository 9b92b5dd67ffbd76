"""A messy folder becomes a divided one, and nothing of the messy one is changed."""

import shutil

import numpy as np
import pytest
from PIL import Image

from course_utils.datasets import load_splits
from course_utils.errors import DataError
from image_classifier.__main__ import main
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


def test_it_copies_what_is_good_and_says_why_not(messy, tmp_path):
    before = contents(messy)
    table = prepare_folder(messy, tmp_path / "out")
    assert contents(messy) == before
    why = table[table["set"] == "left out"].set_index("file")["why"].to_dict()
    assert set(why) == {"Äpfel/3.png" if "Äpfel/3.png" in why else "Äpfel/3 copy.png",
                        "Äpfel/4.png", "pears/apple.png", "pears/broken.jpg"}  # fmt: skip
    assert why["Äpfel/4.png"] == "in two classes: same as pears/apple.png"
    assert why["pears/broken.jpg"].startswith("unreadable: ")
    kept = table[table["set"] != "left out"]
    copies = contents(tmp_path / "out")
    card = copies.pop("DATA_CARD.md").decode("utf-8")
    assert copies == {f"{row.set}/{row.file}": before[row.file] for row in kept.itertuples()}
    assert f"{len(kept)} images of 2 classes" in card
    assert "pears/broken.jpg: unreadable" in card and "near duplicate: 1" in card


def test_all_notebooks_can_read_the_result(messy, tmp_path):
    prepare_folder(messy, tmp_path / "out")
    parts = load_splits(tmp_path / "out")
    assert {name: part.classes for name, part in parts.items()} == dict.fromkeys(
        ("train", "val", "test"), ["pears", "Äpfel"]
    )
    assert all(set(part.targets) == {0, 1} for part in parts.values())


def test_what_looks_alike_stays_together(messy, tmp_path):
    for seed in range(8):
        table = prepare_folder(messy, tmp_path / f"out{seed}", seed).set_index("file")
        assert table["set"]["pears/burst.jpg"] == table["set"]["pears/5.png"]


def test_the_seed_decides(messy, tmp_path):
    one, again, other = (
        prepare_folder(messy, tmp_path / str(n), s)["set"] for n, s in enumerate((0, 0, 1))
    )
    assert one.tolist() == again.tolist() != other.tolist()


def test_mistakes_are_named_and_nothing_is_left_behind(messy, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="there exists already"):
        prepare_folder(messy, tmp_path / "there")
    prepare_folder(messy, tmp_path / "out")
    with pytest.raises(DataError, match="is divided already"):
        prepare_folder(tmp_path / "out", tmp_path / "again")
    (messy / "plums").mkdir()
    picture(907).save(messy / "plums" / "1.png")
    picture(908).save(messy / "plums" / "2.png")
    with pytest.raises(DataError, match="plums has 2 different good images, too few"):
        prepare_folder(messy, tmp_path / "few")
    with pytest.raises(DataError, match="There is no folder"):
        prepare_folder(tmp_path / "nowhere", tmp_path / "few")
    (tmp_path / "file").write_text("in the way")
    shutil.rmtree(messy / "plums")
    with pytest.raises(DataError, match="could not be written"):
        prepare_folder(messy, tmp_path / "file" / "out")
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".", "few", "again"))]


def test_the_command(messy, tmp_path, capsys):
    assert main(["data", "tidy", str(messy)]) == 0
    said = capsys.readouterr().out
    assert "left out: pears/broken.jpg" in said and "phone-tidy/DATA_CARD.md" in said
    assert (tmp_path / "phone-tidy" / "train").is_dir()
    assert main(["data", "tidy", str(messy)]) == 2
    assert "exists already" in capsys.readouterr().err
