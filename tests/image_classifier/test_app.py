"""The web page and its HTTP interface classify uploads, explain errors, and stay local."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from chromium import in_a_browser
from PIL import Image

from image_classifier import app
from image_classifier.model import ModelFileError, save_classifier
from tools.screenshots import launched


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


def test_images_too_large_for_the_memory_are_refused(tmp_path, make_classifier):
    path = tmp_path / "small.png"
    Image.new("1", (1, 1)).save(path)
    png = bytearray(path.read_bytes())
    for side in (8_000, 20_000):  # above the second, Pillow refuses as well
        png[16:24] = struct.pack(">II", side, side)
        png[29:33] = struct.pack(">I", zlib.crc32(png[12:29]))
        path.write_bytes(png)
        result = app.classify(make_classifier(), str(path))
        assert result == {"error": "This image has more than 50 megapixels: reduce it."}
    Image.new("1", (30_000, 300)).save(path)
    assert app.classify(make_classifier(), str(path))["class"] in make_classifier().classes


def test_simultaneous_requests_do_not_mix(colored, make_classifier):
    classifier = make_classifier()
    expected = [app.answer(classifier, path) for path in colored]

    def request(n):
        return n % 8, app.answer(classifier, colored[n % 8])

    with ThreadPoolExecutor(8) as pool:
        for n, (text, probabilities, seen, heat) in pool.map(request, range(160)):
            assert text == expected[n][0] and seen == expected[n][2] and heat == expected[n][3]
            assert probabilities == pytest.approx(expected[n][1], abs=1e-6)


# Background processes ignore Ctrl-C, and so do their children. Requests to others end the server.
SERVER = """
import os, runpy, signal, sys

def stay_here(event, details):
    if event == "socket.connect" and "127.0.0.1" not in details[1]:
        os._exit(99)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.addaudithook(stay_here)
runpy.run_module("image_classifier", run_name="__main__")
"""


@contextlib.contextmanager
def served(classifier, folder):
    """Serve a page as a user would; give the process and the address."""
    save_classifier(classifier, folder / "model.pt")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, "app", str(folder / "model.pt"), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
        cwd=Path(__file__).parents[2],
    )
    try:
        line = server.stdout.readline()
        assert f"http://127.0.0.1:{port}" in line, line
        yield server, f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.communicate()


@pytest.fixture(scope="session")
def classifier(make_classifier):
    return make_classifier("efficientnet_lite0", 224, threshold=0.0)


@pytest.fixture(scope="session")
def address(classifier, tmp_path_factory):
    with served(classifier, tmp_path_factory.mktemp("app")) as (_, address):
        yield address


@pytest.fixture(scope="session")
def colored(tmp_path_factory):
    """Eight images that a classifier assigns different probabilities."""
    paths = [tmp_path_factory.mktemp("colored") / f"{n}.png" for n in range(8)]
    for n, path in enumerate(paths):
        noise = np.random.default_rng(n).normal(128, 20 * n, (224, 224, 3))
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(path)
    return [str(path) for path in paths]


@pytest.fixture(scope="session")
def client(address):
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        yield client


def upload(client, path):
    with open(path, "rb") as file:
        return client.post("/gradio_api/upload", files={"files": file})


def call(client, path, endpoint="classify", **options):
    data = [path and {"path": path, "meta": {"_type": "gradio.FileData"}}]
    return client.post(f"/gradio_api/run/{endpoint}", json={"data": data} | options)


def classify(client, path):
    (uploaded,) = upload(client, path).json()
    (result,) = call(client, uploaded).json()["data"]
    return result


@pytest.mark.long
def test_the_documented_requests(address, photo, classifier):
    def adapted(text):
        return text.replace("http://127.0.0.1:7860", address).replace("photo.jpg", photo)

    expected = app.classify(classifier, photo)
    expected["probabilities"] = pytest.approx(expected["probabilities"], abs=1e-5)
    first, second = re.findall(r"^>>> (.*)", app.__doc__, re.M)
    names = {}
    exec(first, names)
    assert eval(adapted(second).replace("Client(", "Client(verbose=False, src="), names) == expected
    if shutil.which("curl"):
        first, second = re.findall(r"^ +curl (.*(?:\\\n.*)?)$", app.__doc__, re.M)
        curl = ["curl", "-q", "--silent", "--noproxy", "*"]

        def run(line):
            command = curl + [adapted(word) for word in shlex.split(line)]
            return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

        (path,) = run(first)
        assert run(second.replace("PATH", path))["data"] == [expected]


@pytest.mark.long
def test_wrong_files_are_refused_and_the_server_goes_on(client, photo, tmp_path):
    for name, content in {"letter.jpg": b"Dear Sir", "empty.png": b""}.items():
        (tmp_path / name).write_bytes(content)
        error = "This file is not an image that Pillow can read."
        assert classify(client, tmp_path / name) == {"error": error}
    (tmp_path / "big.jpg").write_bytes(b"x" * 10_000_001)
    response = upload(client, tmp_path / "big.jpg")
    assert response.status_code == 413
    assert response.text == "File size exceeded maximum allowed size of 10000000 bytes."
    assert call(client, None).json()["data"] == [{"error": "Send an image."}]
    assert classify(client, photo)["confident"]


@pytest.mark.long
def test_files_that_were_not_uploaded_cannot_be_read(client, photo):
    here = str(client.base_url.join("/config"))
    for path in (
        photo,
        __file__,
        here,
        "https://pytorch.org/",
        "http://127.0.0.1:1/a.png",
        "a.png",
    ):
        response = call(client, path)
        assert response.status_code == 500
        assert "was not uploaded by a user" in response.json()["error"]
        response = client.get(f"/gradio_api/file={path}")
        assert response.status_code == 403


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have only one local address")
def test_only_the_local_address_is_served(address):
    port = int(address.rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))


@pytest.mark.long
def test_eight_users_at_once_get_the_results_of_their_own_images(client, colored, classifier):
    expected = [app.classify(classifier, path)["probabilities"] for path in colored]
    assert len({round(next(iter(each.values())), 4) for each in expected}) == 8
    (page,) = (
        event["id"]
        for event in client.get("/config").json()["dependencies"]
        if event["api_visibility"] == "private"
    )

    def use(n):
        for _ in range(3):
            result = classify(client, colored[n])["probabilities"]
            assert result == pytest.approx(expected[n], abs=1e-5)
            (path,) = upload(client, colored[n]).json()
            label = call(client, path, "page", fn_index=page).json()["data"][1]
            result = {each["label"]: each["confidence"] for each in label["confidences"]}
            assert result == pytest.approx(expected[n], abs=1e-5)

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(use, range(8)))) == 8


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_frees_the_port_and_removes_the_uploads(tmp_path, photo, classifier):
    with served(classifier, tmp_path) as (server, address):
        (path,) = upload(httpx.Client(base_url=address, trust_env=False), photo).json()
        assert Path(path).exists()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 130
        assert server.stdout.read() == ""
    assert not Path(path).exists()
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", int(address.rpartition(":")[2])))


@pytest.mark.long
@in_a_browser
def test_the_page_in_a_browser(tmp_path, photo, classifier, address):
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    (tmp_path / "big.jpg").write_bytes(b"x" * 11_000_000)
    with launched() as browser:
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
