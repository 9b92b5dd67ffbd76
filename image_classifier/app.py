"""A web page on this computer that classifies images."""

import os
from typing import Any

from PIL import Image
from torch import Tensor

from course_utils import plots
from course_utils.errors import DataError
from course_utils.explain import grad_cam
from course_utils.image_io import load_image
from image_classifier.model import ImageClassifier, ModelFileError

MAX_MEGABYTES = 10
PROMPT = "Drop an image of one object."
# The page is reachable only from this computer, and makes no requests to others.
LAUNCH: dict[str, Any] = {
    "server_name": "127.0.0.1",
    "share": False,
    "max_file_size": f"{MAX_MEGABYTES}mb",
    "footer_links": [],
    "ssr_mode": False,
    "run_history": False,
    "quiet": True,
}


def answer(classifier: ImageClassifier, path: str | None) -> tuple[str, dict[str, float], Any, Any]:
    """Classify an uploaded file; `path` is None if it was removed.

    Returns:
        A Markdown sentence, the probabilities of the five most likely classes by name, the
        preprocessed image, and the same image with the Grad-CAM of the predicted class.
    """
    if path is None:
        return PROMPT, {}, None, None
    if os.path.getsize(path) > MAX_MEGABYTES * 1e6:
        return f"**This file is larger than {MAX_MEGABYTES} MB.** Reduce it.", {}, None, None
    try:
        image = load_image(path)
    except DataError as error:
        reason = str(error).replace(str(path), "This file")
        return f"**{reason}** Drop a JPEG, PNG or WebP image.", {}, None, None
    top = classifier.top(image)
    name, probability = top.iloc[0]
    text = f"**{name}** ({probability:.0%})"
    if not classifier.is_confident(probability):
        text = f"**Not sure.** Perhaps {name} ({probability:.0%})."
    pixels = classifier.preprocess(image)
    probabilities = dict(zip(top["class"], top["probability"], strict=True))
    seen = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    return text, probabilities, seen, overlay(classifier, pixels)


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
            f"{MAX_MEGABYTES} MB."
        )
        with gr.Row():
            with gr.Column():
                file = gr.File(label="Image: JPEG, PNG or WebP", type="filepath")
                text = gr.Markdown(PROMPT, elem_id="answer")
                label = gr.Label(label="Most likely classes", num_top_classes=5)
            with gr.Column():
                views = [
                    gr.Image(label=title, interactive=False, buttons=["fullscreen"])
                    for title in ("Input of the network", "Evidence for the class (Grad-CAM)")
                ]
        file.change(
            lambda path: answer(classifier, path), file, [text, label, *views], api_name=False
        )
    return page


def serve(classifier: ImageClassifier, port: int | None = None) -> None:
    """Serve the page until Ctrl-C, by default at the first free port from 7860."""
    page = build_page(classifier)
    from gradio import themes

    # System fonts: Gradio's default theme downloads fonts.
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    options = {"theme": themes.Default(**fonts), "server_port": port, "prevent_thread_lock": True}
    try:
        _, url, _ = page.launch(**LAUNCH, **options)
    except OSError:
        ports = port or "7860 to 7959"
        raise ModelFileError(f"Port {ports} is in use. Choose another with --port.") from None
    print(f"The page is at {url}, for this computer only. Stop it with Ctrl-C.", flush=True)
    try:
        page.block_thread()
    finally:
        page.close()
