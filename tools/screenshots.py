"""Take the screenshots of TensorBoard for notebook 06: notebooks/images/06_*.png.

The notebook is executed, TensorBoard serves its logs, and Chromium opens the tabs. Run this again
when the logs or TensorBoard's pages change, and inspect the images.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from PIL import Image

from course_utils.errors import CourseError
from course_utils.paths import output_folder
from tools.notebooks import NOTEBOOKS, find_notebooks

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)  # the installed browser
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SERVER_SECONDS = 90
SETTLED = 2500  # milliseconds, for animations and the points of the projector

Clip = dict[str, float] | None


def scalars(page: "Page") -> Clip:
    """Show loss and accuracy of the first training run."""
    page.get_by_label("Toggle settings side pane").click()
    page.locator("scalar-card").nth(1).wait_for()


def images(page: "Page") -> Clip:
    """Show the confusion matrix in the middle of training, at its actual size."""
    page.locator("paper-checkbox", has_text="Show actual image size").click()
    slider = page.locator("paper-slider#steps").first
    slider.wait_for()
    for _ in range(int(slider.get_attribute("aria-valuemax")) // 2 + 1):
        slider.press("ArrowLeft")
    page.wait_for_timeout(SETTLED)
    box = page.locator("tf-image-loader").first.bounding_box()
    return {
        "x": box["x"] - 12,
        "y": box["y"] - 12,
        "width": box["width"] + 24,
        "height": box["height"] + 12,
    }


def histograms(page: "Page") -> Clip:
    """Show the weights of the first layer in two training runs."""
    page.locator("tf-tag-filterer input").fill("weights/features.0.0.weight")
    page.locator("#names-regex input").fill("^(colleague|rate-0.01)$")
    page.locator("tf-histogram-loader", has_text="weights/features.0.0").nth(1).wait_for()


def hparams(page: "Page") -> Clip:
    """Show the table of all training runs, without the results on training images."""
    for metric in ("train.loss", "train.accuracy"):
        page.locator("paper-checkbox", has_text=metric).first.click()
    page.get_by_text("Hyperparameters").first.scroll_into_view_if_needed()


def projector(page: "Page") -> Clip:
    """Show the points and their images, without the empty pane on the right."""
    page.frame_locator("iframe").frame_locator("iframe").locator(".numDataPoints").wait_for()
    page.wait_for_timeout(SETTLED)
    return {"x": 0, "y": 0, "width": 950, "height": 680}


# Name: function, query, width and height of the window, scale.
PICTURES: dict[str, tuple[Callable[["Page"], Clip], str, int, int, float]] = {
    "scalars": (
        scalars,
        "runFilter=rate-0.01/&tagFilter=^(loss|accuracy)$&smoothing=0",
        960,
        560,
        1,
    ),
    "images": (images, "", 1250, 1150, 0.75),
    "histograms": (histograms, "", 1010, 430, 1),
    "hparams": (hparams, "", 1010, 310, 1),
    "projector": (projector, "", 1250, 680, 0.8),
}
TABS = {"scalars": "timeseries"}  # tabs with a different name


def make_screenshots() -> list[Path]:
    """Execute notebook 06 and take its screenshots.

    Raises:
        CourseError: The notebook fails, or there is no Chromium.
    """
    from tools.run import Run, run_or_raise

    if CHROMIUM is None:  # checked before minutes of computing
        raise CourseError("The pictures need Chromium; install it and try again.")
    [path] = find_notebooks(["06"])
    run_or_raise([Run(path, nbformat.read(path, as_version=4))])
    return take_pictures(output_folder("06", "logs"), NOTEBOOKS / "images")


def take_pictures(logs: Path, folder: Path) -> list[Path]:
    """Take the screenshots in `PICTURES` of TensorBoard on some logs; return the files."""
    folder.mkdir(exist_ok=True)
    files = []
    with served(logs) as address, launched() as browser:
        for name, (prepare, query, width, height, scale) in PICTURES.items():
            size = {"width": width, "height": height}
            page = browser.new_page(viewport=size, device_scale_factor=scale)
            page.goto(f"{address}?{query}#{TABS.get(name, name)}")
            page.wait_for_load_state("networkidle")
            clip = prepare(page)
            page.wait_for_timeout(SETTLED)
            files.append(folder / f"06_{name}.png")
            save_small(page.screenshot(clip=clip), files[-1])
            page.close()
    return files


def save_small(png: bytes, file: Path) -> None:
    """Write an image with a palette: a third of the size, without visible difference."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(file, optimize=True)


@contextmanager
def launched() -> Iterator["Browser"]:
    """Start headless Chromium, and close it at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def served(logs: Path) -> Iterator[str]:
    """Start TensorBoard's server, for this machine only; yield its address."""
    # A relative path, because the page shows it.
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", logs.name]
    command += ["--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    command += ["--samples_per_plugin", "images=200"]
    with tempfile.TemporaryFile("w+") as said:
        server = subprocess.Popen(command, cwd=logs.parent, stdout=said, stderr=said)
        try:
            yield _address(server, said)
        finally:
            server.terminate()
            server.wait()


def _address(server: subprocess.Popen, said: "tempfile._TemporaryFileWrapper[str]") -> str:
    """Wait until the server prints its address."""
    end = time.monotonic() + SERVER_SECONDS
    while server.poll() is None and time.monotonic() < end:
        said.seek(0)
        if found := re.search(r"http://127\.0\.0\.1:\d+/", said.read()):
            return found[0]
        time.sleep(0.1)
    said.seek(0)
    raise CourseError(f"TensorBoard's server did not start: {said.read().strip()[-300:]}")
