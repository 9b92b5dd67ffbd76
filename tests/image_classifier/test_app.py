"""The web page classifies uploaded files, explains errors, and makes no request to others."""

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

from image_classifier import app
from image_classifier.model import ModelFileError, save_classifier


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo.png"
    Image.effect_noise((90, 60), 80).save(path)
    return str(path)


def test_an_answer_has_a_sentence_probabilities_and_two_images(photo, make_classifier):
    classifier = make_classifier(threshold=0.0)
    text, probabilities, seen, heat = app.answer(classifier, photo)
    best = max(probabilities, key=probabilities.get)
    assert text == f"**{best}** ({probabilities[best]:.0%})"
    assert set(probabilities) == set(classifier.classes)
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert seen.size == heat.size == (32, 32) and seen.mode == heat.mode == "RGB"
    assert np.asarray(seen).tolist() != np.asarray(heat).tolist()


def test_below_the_threshold_it_is_not_sure(photo, make_classifier):
    text, probabilities, _, _ = app.answer(make_classifier(threshold=1.0), photo)
    assert text.startswith("**Not sure.** Perhaps ") and len(probabilities) == 3


def test_files_that_cannot_be_classified_get_a_sentence(tmp_path, make_classifier):
    bad = tmp_path / "letter.jpg"
    bad.write_text("Dear Sir")
    big = tmp_path / "big.png"
    big.write_bytes(b"x" * 11_000_000)
    messages = {None: "Drop an image", str(bad): "This file", str(big): "larger than 10 MB"}
    for path, message in messages.items():
        text, probabilities, seen, heat = app.answer(make_classifier(), path)
        assert message in text and str(tmp_path) not in text
        assert probabilities == {} and seen is None and heat is None


def test_without_gradio_the_package_to_install_is_named(monkeypatch, make_classifier):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ModelFileError, match=r"course-utils\[deploy\]"):
        app.build_page(make_classifier())


def test_a_port_in_use_is_named(make_classifier):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ModelFileError, match=f"Port {port} is in use"):
            app.serve(make_classifier(), port)


@contextlib.contextmanager
def served(classifier, tmp_path):
    """Serve a page as a user would; give its address."""
    save_classifier(classifier, tmp_path / "model.pt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "image_classifier", "app", str(tmp_path / "model.pt"), "--port", str(port)]
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
def test_the_page_in_a_browser(tmp_path, photo, make_classifier):
    classifier = make_classifier("mobilenet_v3_small", 64, threshold=0.0)
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    (tmp_path / "big.jpg").write_bytes(b"x" * 11_000_000)
    with served(classifier, tmp_path) as address, launched() as browser:
        page = browser.new_page()
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else 0)
        page.goto(address)
        page.wait_for_selector("#answer")

        def drop(path, message):
            with page.expect_file_chooser() as chooser:
                page.get_by_text("Click to Upload").click()
            chooser.value.set_files(path)
            page.get_by_text(message).first.wait_for(timeout=30_000)

        drop(photo, re.compile(r"\(\d+%\)"))
        assert any(name in page.inner_text("#answer") for name in classifier.classes)
        page.wait_for_function("document.querySelectorAll('img[src*=file]').length == 2")
        page.reload()
        drop(str(tmp_path / "letter.jpg"), re.compile("This file is no"))
        page.reload()
        drop(str(tmp_path / "big.jpg"), "exceed the maximum allowed size")
    assert requests
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    assert [line for line in errors if "413" not in line] == []  # 413: the file was too large
