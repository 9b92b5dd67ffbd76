"""A web page on this computer that classifies pictures: `python -m course_utils app MODEL`.

>>> page = build_page(load_classifier("build/model/model.pt"))
>>> page.launch(**LAUNCH)
"""

import os
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from course_utils import explain
from course_utils.errors import DataError
from course_utils.image_io import load_image
from image_classifier.model import ImageClassifier, ModelFileError

MOST_MEGABYTES = 10
NEEDED = "The page needs one more package: pip install 'course-utils[deploy]'."
# Only this computer can reach the page, and the page reaches nobody.
LAUNCH: dict[str, Any] = {
    "server_name": "127.0.0.1",
    "share": False,
    "max_file_size": f"{MOST_MEGABYTES}mb",
    "footer_links": [],
    "ssr_mode": False,
    "run_history": False,
    "quiet": True,
}


def answer(classifier: ImageClassifier, path: str | None) -> tuple[str, dict[str, float], Any, Any]:
    """Classify a file as the page shows it.

    Args:
        classifier: See `load_classifier`.
        path: The file that was dropped; None if it was taken away.

    Returns:
        A sentence in Markdown, the probabilities of the five likeliest classes by name, the
        picture as the network sees it, and the same with the heat of the likeliest class.
    """
    if path is None:
        return "Drop a picture of one thing.", {}, None, None
    if os.path.getsize(path) > MOST_MEGABYTES * 1e6:
        return f"**This file is larger than {MOST_MEGABYTES} MB.** Make it smaller.", {}, None, None
    try:
        image = load_image(path)
    except DataError as error:
        reason = str(error).replace(str(path), "This file")
        return f"**{reason}** Drop a JPEG, PNG or WebP picture.", {}, None, None
    top = classifier.top(image)
    name, probability = top.iloc[0]
    if classifier.is_sure(probability):
        text = f"**{name}** ({probability:.0%})"
    else:
        text = f"**Not sure.** Perhaps {name} ({probability:.0%})."
    pixels = classifier.prepare(image)
    seen = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    chances = dict(zip(top["class"], top["probability"], strict=True))
    return text, chances, seen, overlay(classifier, pixels)


def overlay(classifier: ImageClassifier, pixels: Tensor) -> Image.Image:
    """Draw the heat of the likeliest class over a picture, as the network sees it.

    Args:
        classifier: See `load_classifier`.
        pixels: What `classifier.prepare` gave.

    Returns:
        An image of mode "RGB", bright where something speaks for the class (Grad-CAM).
    """
    heat = explain.grad_cam(classifier.net, classifier.normalize(pixels[None]))[0].numpy()
    share = heat / heat.max() if heat.max() > 0 else heat
    colors = colormaps["inferno"](share)[:, :, :3] * 255
    gray = np.asarray(Image.fromarray(pixels.permute(1, 2, 0).numpy()).convert("L"))
    weight = 0.15 + 0.6 * share[:, :, None]
    mixed = (1 - weight) * gray[:, :, None] + weight * colors
    return Image.fromarray(mixed.round().astype(np.uint8))


def build_page(classifier: ImageClassifier) -> Any:
    """Build the page: drop a picture, see the likeliest classes and where the network looked.

    Args:
        classifier: See `load_classifier`.

    Returns:
        A page of Gradio; `launch(**LAUNCH)` serves it.

    Raises:
        ModelFileError: Gradio is missing.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
    except ImportError:
        raise ModelFileError(NEEDED) from None

    with gr.Blocks(title="What is in the picture?", analytics_enabled=False) as page:
        gr.Markdown(
            "# What is in the picture?\n\n"
            f"This page knows {', '.join(classifier.classes)}, and nothing else. Pictures stay on "
            f"this computer. At most {MOST_MEGABYTES} MB."
        )
        with gr.Row():
            with gr.Column():
                file = gr.File(label="A picture: JPEG, PNG or WebP", type="filepath")
                text = gr.Markdown("Drop a picture of one thing.", elem_id="answer")
                chances = gr.Label(label="The likeliest classes", num_top_classes=5)
            with gr.Column():
                seen = gr.Image(
                    label="What the network sees", interactive=False, buttons=["fullscreen"]
                )
                heat = gr.Image(
                    label="What speaks for the answer", interactive=False, buttons=["fullscreen"]
                )
        file.change(
            lambda path: answer(classifier, path), file, [text, chances, seen, heat], api_name=False
        )
    return page


def serve(classifier: ImageClassifier, port: int | None = None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        classifier: See `load_classifier`.
        port: Of this computer; a free one from 7860 on when left out.

    Raises:
        ModelFileError: Gradio is missing, or the port is taken.
    """
    page = build_page(classifier)
    try:
        _, address, _ = page.launch(**LAUNCH, **look(), server_port=port, prevent_thread_lock=True)
    except OSError:
        raise ModelFileError(
            f"Port {port or 'range 7860 to 7959'} is taken; choose another one with --port."
        ) from None
    print(f"The page is at {address} for this computer alone; Ctrl-C ends it.", flush=True)
    try:
        page.block_thread()
    finally:
        page.close()


def look() -> dict[str, Any]:
    """Give the look of the page, with fonts of this computer: none is fetched."""
    import gradio as gr

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    return {"theme": gr.themes.Default(**fonts)}
