"""The pictures of TensorBoard are small, shown with an alt text, and can be taken again."""

import re

import nbformat
import pytest
from chromium import in_a_browser
from PIL import Image

from course_utils import models, training
from course_utils.datasets import load_in_memory, make_loader
from course_utils.tensorboard import TensorBoardLogger
from tools.notebooks import NOTEBOOKS, find_notebooks
from tools.pages import write_notebook
from tools.screenshots import PICTURES, take_pictures
from tools.site import write_sources

IMAGES = NOTEBOOKS / "images"
PICTURE = re.compile(r"!\[([^]]+)\]\((images/[^)]+)\)")
[NOTEBOOK] = find_notebooks(["06"])


def shown():
    """Alt text by file of all pictures in text cells."""
    found = {}
    for path in find_notebooks():
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        found |= {file: alt for alt, file in PICTURE.findall(text)}
    return found


def test_every_picture_is_shown_and_says_what_it_shows():
    files = {path.relative_to(NOTEBOOKS).as_posix() for path in IMAGES.iterdir()}
    assert files == set(shown()) == {f"images/06_{name}.png" for name in PICTURES}
    assert all(len(alt) > 60 for alt in shown().values())


@pytest.mark.parametrize("path", sorted(IMAGES.glob("*.png")), ids=lambda path: path.stem)
def test_a_picture_is_small(path):
    assert path.stat().st_size < 60_000
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert 600 <= picture.width <= 1010


def test_html_pages_contain_the_pictures(tmp_path):
    write_notebook(nbformat.read(NOTEBOOK, as_version=4), tmp_path / "06.html")
    page = (tmp_path / "06.html").read_text("utf-8")
    tags = re.findall(r"<img\b[^>]+>", page)
    for alt in shown().values():
        assert any(f'alt="{alt}"' in tag and 'src="data:image/png;' in tag for tag in tags)


def test_the_website_and_the_editions_have_the_pictures(built, tmp_path):
    write_sources(tmp_path / "site")
    for folder in (tmp_path / "site", built / "student", built / "instructor"):
        assert all((folder / "notebooks" / file).is_file() for file in shown())


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """Logs with the names of the notebook's, of two training runs with 60 images each."""
    folder = tmp_path_factory.mktemp("06") / "logs"
    splits = load_in_memory("fashion-mini", 28, max_images=60)
    loaders = {name: make_loader(part, 30) for name, part in splits.items()}
    for name in ("rate-0.01", "colleague"):
        model = models.SmallCNN(1, len(splits["train"].classes), width=4)
        logger = TensorBoardLogger(folder / name, {"val": loaders["val"]}, {"learning_rate": 0.01})
        optimizer = training.torch.optim.AdamW(model.parameters())
        arguments = model, loaders["train"], loaders["val"], optimizer
        training.fit(*arguments, epochs=3, callbacks=[logger])
    return folder


@in_a_browser
@pytest.mark.thorough
def test_pictures_of_small_logs(logs, tmp_path):
    files = take_pictures(logs, tmp_path)
    assert [file.stem for file in files] == [f"06_{name}" for name in PICTURES]
    for file in files:
        with Image.open(file) as picture, Image.open(IMAGES / file.name) as old:
            assert picture.size == old.size
            assert len(picture.convert("RGB").getcolors(100_000)) > 50  # not an empty page
