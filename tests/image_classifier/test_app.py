"""The web page answers real clicks, reaches nobody, and bears with whatever is dropped."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chromium import in_a_browser, launched
from PIL import Image
from test_classifier import CLASSES, small

from image_classifier import app
from image_classifier.model import ModelFileError, save_classifier


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo.png"
    Image.effect_noise((90, 60), 80).save(path)
    return str(path)


def test_an_answer_has_a_sentence_chances_and_two_pictures(photo):
    text, chances, seen, heat = app.answer(small(threshold=0.0), photo)
    best = max(chances, key=chances.get)
    assert text == f"**{best}** ({chances[best]:.0%})"
    assert set(chances) == set(CLASSES) and sum(chances.values()) == pytest.approx(1, abs=1e-5)
    assert seen.size == heat.size == (32, 32) and seen.mode == heat.mode == "RGB"
    assert np.asarray(seen).tolist() != np.asarray(heat).tolist()


def test_below_the_threshold_it_says_so(photo):
    text, chances, _, _ = app.answer(small(threshold=1.0), photo)
    assert text.startswith("**Not sure.** Perhaps ") and len(chances) == 3


def test_odd_files_get_a_friendly_sentence(tmp_path):
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Sir")
    big = tmp_path / "big.png"
    big.write_bytes(b"x" * 11_000_000)
    wanted = {None: "Drop a picture", str(bad): "no image", str(big): "larger than 10 MB"}
    for path, words in wanted.items():
        text, chances, seen, heat = app.answer(small(), path)
        assert words in text and str(tmp_path) not in text
        assert chances == {} and seen is None and heat is None


def test_without_gradio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ModelFileError, match=r"course-utils\[deploy\]"):
        app.build_page(small())


@contextlib.contextmanager
def served(tmp_path):
    """Serve a page as a user would; give its address."""
    save_classifier(small(threshold=0.0), tmp_path / "model.pt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "course_utils", "app", str(tmp_path / "model.pt"), "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
        cwd=Path(__file__).parents[2],
    )
    try:
        line = server.stdout.readline()
        assert f"http://127.0.0.1:{port}" in line, line
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.communicate()


@pytest.mark.long
@in_a_browser
def test_the_page_in_a_browser(tmp_path, photo):
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    (tmp_path / "big.jpg").write_bytes(b"x" * 11_000_000)
    with served(tmp_path) as address, launched() as browser:
        page = browser.new_page()
        asked, complaints = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else 0)
        page.goto(address)
        page.wait_for_selector("#answer")

        def drop(path, words):
            with page.expect_file_chooser() as chooser:
                page.get_by_text("Click to Upload").click()
            chooser.value.set_files(path)
            page.get_by_text(words).first.wait_for(timeout=30_000)

        drop(photo, re.compile(r"\(\d+%\)"))
        assert any(name in page.inner_text("#answer") for name in CLASSES)
        page.wait_for_function("document.querySelectorAll('img[src*=file]').length == 2")
        page.reload()
        drop(str(tmp_path / "letter.jpg"), "This file is no image")
        page.reload()
        drop(str(tmp_path / "big.jpg"), "exceed the maximum allowed size")
    local = [url for url in asked if url.startswith((address, "data:", "blob:"))]
    assert asked and local == asked
    assert complaints == [] or all("413" in line for line in complaints), complaints
