"""Explain a trained network: capture what its layers output, and attribute a logit to pixels.

>>> with capture_activations(model, "features.3") as activations:
...     model(images)
>>> activations["features.3"].shape
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product, repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.training import eval_mode

BATCH_SIZE = 16  # the backward pass of 64 images of 224 pixels would need gigabytes


@contextmanager
def capture_activations(model: nn.Module, *layers: str) -> Iterator[dict[str, Tensor]]:
    """Collect the outputs of layers while the network runs; the hooks are removed at the end.

    The dictionary holds the last output of each layer, if it is a tensor, in the order in which
    they ran. It is part of the graph: `torch.autograd.grad(score, activations[layer])` works.
    """
    modules = dict(model.named_modules())
    if unknown := set(layers) - set(modules):
        names = ", ".join([*modules][1:13])
        raise ValueError(f"There is no layer {min(unknown)!r}; there are, for example, {names}.")
    activations: dict[str, Tensor] = {}

    def capture(name: str, module: nn.Module, inputs: object, output: object) -> Tensor | None:
        if not isinstance(output, Tensor):
            return None
        # After frozen layers nothing requires a gradient; the graph then begins here.
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        activations.pop(name, None)  # a layer that runs again comes last
        activations[name] = output
        return output.clone()  # a ReLU that works in place must not change what is kept

    handles = [modules[name].register_forward_hook(partial(capture, name)) for name in layers]
    try:
        yield activations
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def last_conv_layer(model: nn.Module, images: Tensor) -> str:
    """Find the last layer that outputs feature maps with more than one position."""
    device = next(model.parameters()).device
    names = [name for name, _ in model.named_modules() if name]
    with eval_mode(model), capture_activations(model, *names) as activations:
        model(images[:1].to(device))
    for name, output in reversed(activations.items()):
        if output.ndim == 4 and output[0, 0].numel() > 1:
            return name
    raise ValueError("No layer outputs feature maps: use larger images or a convolutional network.")


def grad_cam(model: nn.Module, images: Tensor, classes: Tensor | int | None = None) -> Tensor:
    """Compute which parts of images are evidence for a class.

    The maps of the last convolutional layer are summed, each weighted by the mean gradient of the
    class's logit; negative values become 0. From Selvaraju et al., Grad-CAM: Visual Explanations
    from Deep Networks via Gradient-based Localization (2017).

    `classes` is one index for all images, or of shape (batch,), or else the predicted classes. A
    single logit is that of class 1, its negative that of class 0. The result is on the CPU, of
    shape (batch, height, width), in units of the logit.
    """
    layer, device = last_conv_layer(model, images), next(model.parameters()).device
    chosen = repeat(None)
    if classes is not None:
        chosen = torch.as_tensor(classes).expand(len(images)).split(BATCH_SIZE)
    attributions = []
    for batch, wanted in zip(images.split(BATCH_SIZE), chosen, strict=False):
        with torch.enable_grad(), eval_mode(model), capture_activations(model, layer) as captured:
            logits = _class_logits(model(batch.to(device)))
            score = logits.gather(1, _choose(logits, wanted)).sum()
            (gradients,) = torch.autograd.grad(score, captured[layer])
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        cam = (weights * captured[layer].detach()).sum(dim=1, keepdim=True).relu().float()
        cam = F.interpolate(cam, images.shape[2:], mode="bilinear", align_corners=False)
        attributions.append(cam[:, 0].cpu())
    return torch.cat(attributions)


@torch.no_grad()
def occlusion(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | int | None = None,
    size: int = 32,
    color: Tensor | None = None,
) -> Tensor:
    """Compute how far a class's logit falls when a square covers a part of the image.

    The square of `size` pixels moves by half of that. Its color, of shape (batch, channels, 1, 1),
    is `border_color` if left out. The result, see `grad_cam`, is the mean fall over all squares
    that cover a pixel. From Zeiler and Fergus, Visualizing and Understanding Convolutional Networks
    (2014); it uses no gradients, so it can validate attributions that do.
    """
    images = images.to(next(model.parameters()).device)
    height, width = images.shape[2:]
    if not 0 < size <= min(height, width):
        raise ValueError(f"size must be from 1 to {min(height, width)}, not {size}.")
    # The last square of a row or column ends at the border.
    step = max(1, size // 2)
    tops, lefts = ([*range(0, end - size, step), end - size] for end in (height, width))
    # Most likely the background's color: a square of any other would be a new object.
    color = border_color(images) if color is None else color.to(images)
    fall = images.new_zeros(len(images), height, width)
    count = images.new_zeros(height, width)
    with eval_mode(model):
        logits = _class_logits(model(images))
        chosen = _choose(logits, classes)
        for top, left in product(tops, lefts):
            window = (..., slice(top, top + size), slice(left, left + size))
            covered = images.clone()
            covered[window] = color
            change = logits - _class_logits(model(covered))
            fall[window] += change.gather(1, chosen)[:, :, None]
            count[window] += 1
    return (fall / count).cpu()


def border_color(images: Tensor) -> Tensor:
    """Return the median color along the border of each image, shape (batch, channels, 1, 1)."""
    rows, columns = images[:, :, [0, -1]].flatten(2), images[:, :, :, [0, -1]].flatten(2)
    return torch.cat([rows, columns], dim=2).median(dim=2).values[:, :, None, None]


def _class_logits(logits: Tensor) -> Tensor:
    """Return one logit per class, also if the network outputs the logit of class 1 only."""
    return torch.cat([-logits, logits], dim=1) if logits.shape[1] == 1 else logits


def _choose(logits: Tensor, classes: Tensor | int | None) -> Tensor:
    """Return the class index of each image, shape (batch, 1)."""
    if classes is None:
        return logits.argmax(dim=1, keepdim=True)
    return torch.as_tensor(classes, device=logits.device).expand(len(logits))[:, None]
