"""A local web page that classifies images, with an HTTP API for programs.

Both are reachable only from this computer. With `gradio_client`, which Gradio installs:

>>> from gradio_client import Client, handle_file
>>> Client("http://127.0.0.1:7860").predict(handle_file("photo.jpg"), api_name="/classify")
{'class': 'cat', 'confident': True, 'probabilities': {'cat': 0.93, 'dog': 0.07}}

With curl, the first request returns the PATH for the second:

    curl -F files=@photo.jpg http://127.0.0.1:7860/gradio_api/upload
    curl http://127.0.0.1:7860/gradio_api/run/classify -H "Content-Type: application/json" \
        -d '{"data": [{"path": "PATH", "meta": {"_type": "gradio.FileData"}}]}'

The result is the only element of "data". For a file that cannot be classified, it is an error, for
example {"error": "This file is not an image that Pillow can read."}. A file above the size limit
is rejected at the upload (status 413), a path that was not uploaded at the second request (500).
"""

import math
import os
import tempfile
import threading
import time
from typing import Any

from PIL import Image
from torch import Tensor

from course_utils import plots
from course_utils.errors import DataError
from course_utils.image_io import load_image
from image_classifier.grad_cam import grad_cam
from image_classifier.model import ImageClassifier, ModelFileError

MAX_MEGABYTES = 10
MAX_MEGAPIXELS = 50  # a small file may hold an image that does not fit into memory
PROMPT = "Drop an image of one object."
# The page is reachable only from this computer and makes no requests to other servers.
LAUNCH: dict[str, Any] = {
    "server_name": "127.0.0.1",
    "share": False,
    "max_file_size": MAX_MEGABYTES * 1_000_000,
    "show_error": True,
    "footer_links": [],
    "ssr_mode": False,
    "run_history": False,
    "quiet": True,
}
# Gradio handles requests in threads. Without the lock, Grad-CAM's hooks would capture activations
# of other requests, and several large images would be in memory.
one_at_a_time = threading.Lock()


def answer(classifier: ImageClassifier, path: str | None) -> tuple[str, dict[str, float], Any, Any]:
    """Classify an uploaded file for the page; `path` is None if it was removed.

    Returns:
        A Markdown sentence, the probabilities of the five most likely classes by name, the
        preprocessed image, and the same image with the Grad-CAM of the predicted class.
    """
    if path is None:
        return PROMPT, {}, None, None
    try:
        with one_at_a_time:
            image = load_upload(path)
            probabilities = classifier.top(image)
            pixels = classifier.preprocess(image)
            attribution = overlay(classifier, pixels)
    except DataError as error:
        return f"**{error}** Drop a JPEG, PNG or WebP image.", {}, None, None
    name, probability = next(iter(probabilities.items()))
    text = f"**{name}** ({probability:.0%})"
    if not classifier.is_confident(probability):
        text = f"**Not sure.** Perhaps {name} ({probability:.0%})."
    return text, probabilities, Image.fromarray(pixels.permute(1, 2, 0).numpy()), attribution


def classify(classifier: ImageClassifier, path: str | None) -> dict[str, Any]:
    """Classify an uploaded file for a program; see the module's docstring."""
    if path is None:
        return {"error": "Send an image."}
    try:
        with one_at_a_time:
            probabilities = classifier.top(load_upload(path))
    except DataError as error:
        return {"error": str(error)}
    name, probability = next(iter(probabilities.items()))
    confident = bool(classifier.is_confident(probability))
    return {"class": name, "confident": confident, "probabilities": probabilities}


def load_upload(path: str) -> Image.Image:
    """Load an uploaded image; raise DataError if it is too large or damaged."""
    if os.path.getsize(path) > MAX_MEGABYTES * 1e6:
        raise DataError(f"This file is larger than {MAX_MEGABYTES} MB: reduce it.")
    if _megapixels(path) > MAX_MEGAPIXELS:
        raise DataError(f"This image has more than {MAX_MEGAPIXELS} megapixels: reduce it.")
    try:
        return load_image(path)
    except DataError as error:
        raise DataError(str(error).replace(path, "This file")) from None


def _megapixels(path: str) -> float:
    """Read the number of megapixels from a file's header; 0 if it is not an image."""
    try:
        with Image.open(path) as image:
            return image.width * image.height / 1e6
    except Image.DecompressionBombError:
        return math.inf
    except Exception:  # load_image reports the problem
        return 0


def overlay(classifier: ImageClassifier, pixels: Tensor) -> Image.Image:
    """Draw the Grad-CAM of the predicted class over a preprocessed image."""
    attribution = grad_cam(classifier.net, classifier.normalize(pixels[None]))[0]
    return Image.fromarray(plots.overlay(pixels, attribution))


def build_page(classifier: ImageClassifier) -> Any:
    """Build the Gradio page; `launch(**LAUNCH)` serves it."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
    except ImportError:
        raise ModelFileError("The app needs Gradio: pip install 'course-utils[deploy]'.") from None
    with gr.Blocks(title="Image classifier", analytics_enabled=False) as page:
        gr.Markdown(
            f"# Image classifier\n\nClasses: {', '.join(classifier.classes)}. Every image is "
            "assigned to one of them. Images stay on this computer; they may have up to "
            f"{MAX_MEGABYTES} MB and {MAX_MEGAPIXELS} megapixels."
        )
        with gr.Row():
            with gr.Column():
                file = gr.File(label="Image: JPEG, PNG or WebP", type="filepath")
                file.async_move_resource_to_block_cache = _only_uploads
                text = gr.Markdown(PROMPT, elem_id="answer")
                label = gr.Label(label="Most likely classes", num_top_classes=5)
            with gr.Column():
                views = [
                    gr.Image(label=title, interactive=False, buttons=["fullscreen"])
                    for title in ("Input of the network", "Evidence for the class (Grad-CAM)")
                ]
        file.change(
            lambda path: answer(classifier, path),
            file,
            [text, label, *views],
            api_visibility="private",
        )
        # Gradio creates API endpoints from events; this invisible button has the event.
        gr.Button(visible=False).click(
            lambda image: classify(classifier, image),
            file,
            gr.JSON(label="result", visible=False),
            api_name="classify",
            api_description="Classify an image file.",
        )
    return page


async def _only_uploads(path: str) -> str:
    """Reject a URL instead of a path: Gradio would download it."""
    if not os.path.isabs(path):
        raise ValueError(f"{path} was not uploaded by a user.")
    return path


def serve(classifier: ImageClassifier, port: int | None = None) -> None:
    """Serve the page until Ctrl-C, by default at the first free port from 7860."""
    # Gradio's default folder keeps all uploads, and serves those of other Gradio apps as well.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as uploads:
        os.environ["GRADIO_TEMP_DIR"] = os.path.realpath(uploads)
        page = build_page(classifier)
        url = launch(page, port)
        print(f"The page is at {url}, on this computer only. Stop it with Ctrl-C.", flush=True)
        try:
            while True:  # page.block_thread would catch the KeyboardInterrupt of Ctrl-C
                time.sleep(1)
        finally:
            page.close(verbose=False)


def launch(page: Any, port: int | None = None) -> str:
    """Start the server of a page, and return its address."""
    from gradio import themes

    # System fonts: Gradio's default theme downloads fonts.
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    options = {"theme": themes.Default(**fonts), "server_port": port, "prevent_thread_lock": True}
    try:
        _, url, _ = page.launch(**LAUNCH, **options)
    except OSError:
        ports = port or "7860 to 7959"
        raise ModelFileError(f"Port {ports} is in use. Choose another with --port.") from None
    return url
