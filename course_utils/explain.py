"""Look inside a trained network: what its layers compute, and which part of an image counts.

>>> with capture_activations(model, "features.3") as seen:
...     model(images)
>>> seen["features.3"].shape
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.training import eval_mode

AT_ONCE = 16  # images in one backward pass: 64 of 224 px would need gigabytes


@contextmanager
def capture_activations(model: nn.Module, *layers: str) -> Iterator[dict[str, Tensor]]:
    """Keep what layers put out while the network runs.

    The hooks are removed at the end, also after an error. What is kept is part of the graph, so
    `torch.autograd.grad(score, seen[layer])` gives the gradient of a score there.

    Args:
        model: Any network.
        *layers: Names as `model.named_modules()` gives them, for example "features.3".

    Yields:
        The outputs by the name of their layer; empty until the network has run. Of a layer that is
        used several times the last output is kept.

    Raises:
        ValueError: There is no layer of that name, or its output is no tensor.
    """
    modules = dict(model.named_modules())
    for layer in layers:
        if layer not in modules or not layer:
            near = [name for name in modules if name and name.split(".")[0] == layer.split(".")[0]]
            known = ", ".join((near or [name for name, _ in model.named_children()])[:12])
            raise ValueError(f"There is no layer {layer!r}; there are, for example, {known}.")
    seen: dict[str, Tensor] = {}
    handles = [modules[layer].register_forward_hook(_keep(layer, seen)) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _keep(layer: str, seen: dict[str, Tensor]) -> object:
    """Make the hook of a layer."""

    def hook(module: nn.Module, inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise ValueError(f"The layer {layer!r} gives a {type(output).__name__}, not a tensor.")
        # Below frozen layers nothing has a gradient; the graph then begins here.
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        seen[layer] = output
        return output.clone()  # a ReLU in place must not change what is kept

    return hook


@torch.no_grad()
def last_conv_layer(model: nn.Module, images: Tensor) -> str:
    """Find the last layer whose output still knows where in the image something is.

    Args:
        model: A convolutional network.
        images: A batch as the network takes it.

    Returns:
        The name of the last layer with an output of shape (batch, channels, height, width) and
        more than one position.

    Raises:
        ValueError: No layer has such an output.
    """
    found: list[str] = []

    def look(name: str) -> object:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output[0, 0].numel() > 1:
                found.append(name)

        return hook

    handles = [
        module.register_forward_hook(look(name)) for name, module in model.named_modules() if name
    ]
    try:
        with eval_mode(model):
            model(images[:1].to(_device(model)))
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(
            "No layer of this network has a map of more than one position: give larger images, or "
            "a convolutional network."
        )
    return found[-1]


def grad_cam(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | int | None = None,
    layer: str | None = None,
) -> Tensor:
    """Show which parts of images speak for a class (Grad-CAM).

    The maps of a layer are added up, each weighted with the mean gradient of the class's logit,
    and what is negative is left out. From Selvaraju et al., "Grad-CAM: Visual Explanations from
    Deep Networks via Gradient-based Localization" (2017). The network is not changed: no gradient,
    no statistics of batch norm, no hook is left behind.

    Args:
        model: A convolutional network that gives logits.
        images: A batch as the network takes it, of shape (batch, channels, height, width).
        classes: The class in question, one index for all images or int64 of shape (batch,); the
            predicted classes when left out.
        layer: The name of the layer; `last_conv_layer` when left out.

    Returns:
        Heat of shape (batch, height, width), float32 on the CPU, not negative. Its unit is that of
        the logits, so maps of several images can be compared.

    Raises:
        ValueError: There is no such layer or class, or the layer has no maps.

    Example:
        >>> heat = grad_cam(model, images)
        >>> plots.show(plots.heat_maps(images, heat))
    """
    layer = layer or last_conv_layer(model, images[:AT_ONCE])
    parts = images.split(AT_ONCE)
    asked: Sequence[Tensor | None] = [None] * len(parts)
    if classes is not None:
        asked = torch.as_tensor(classes).expand(len(images)).split(AT_ONCE)
    pairs = zip(parts, asked, strict=True)
    return torch.cat([_heat_of(model, part, wanted, layer) for part, wanted in pairs])


def _heat_of(model: nn.Module, images: Tensor, classes: Tensor | None, layer: str) -> Tensor:
    """Compute Grad-CAM for so few images that what backward needs fits into memory."""
    images = images.to(_device(model))
    with torch.enable_grad(), eval_mode(model), capture_activations(model, layer) as seen:
        logits = model(images)
        scores = logits.gather(1, _chosen(logits, classes)[:, None]).sum()
        maps = seen[layer]
        if maps.ndim != 4:
            raise ValueError(f"The layer {layer!r} gives {tuple(maps.shape)}: these are no maps.")
        (gradients,) = torch.autograd.grad(scores, maps)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * maps).sum(dim=1, keepdim=True).detach().relu()
    return _to_size(heat, images)


@torch.no_grad()
def occlusion(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | int | None = None,
    size: int = 32,
    stride: int | None = None,
    color: Tensor | None = None,
) -> Tensor:
    """Cover one part of an image after the other, and see how far the logit of a class falls.

    From Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks" (2014). It needs
    no gradient and no layer, so it is an independent check of other maps; it is slow.

    Args:
        model: A network that gives logits.
        images: A batch as the network takes it, of shape (batch, channels, height, width).
        classes: See `grad_cam`.
        size: The side of the square that covers, in pixels.
        stride: From one square to the next, in pixels; half of `size` when left out.
        color: Of the square, shape (batch, channels, 1, 1); `border_color` when left out.

    Returns:
        The mean fall of the logit over all squares that cover a pixel, of shape (batch, height,
        width), float32 on the CPU. Negative where covering helps the class.

    Raises:
        ValueError: There is no such class, or a size that makes no sense.
    """
    stride = stride or max(1, size // 2)
    height, width = images.shape[2:]
    if not 0 < size <= min(height, width) or stride > size:
        raise ValueError(
            f"size must be from 1 to {min(height, width)} and stride at most size, not {size} and "
            f"{stride}: every pixel must be covered."
        )
    images = images.to(_device(model))
    color = border_color(images) if color is None else color.to(images)
    fall = torch.zeros(len(images), height, width, device=images.device)
    times = torch.zeros(height, width, device=images.device)
    with eval_mode(model):
        logits = model(images)
        chosen = _chosen(logits, classes)[:, None]
        before = logits.gather(1, chosen)[:, 0]
        for top in _starts(height, size, stride):
            for left in _starts(width, size, stride):
                here = (slice(top, top + size), slice(left, left + size))
                covered = images.clone()
                covered[:, :, *here] = color
                after = model(covered).gather(1, chosen)[:, 0]
                fall[:, *here] += (before - after)[:, None, None]
                times[here] += 1
    return (fall / times).float().cpu()


def border_color(images: Tensor) -> Tensor:
    """Give the color that most likely lies behind the object: the median along the border.

    A square of another color, such as the mean of the image, is a new object of its own.

    Args:
        images: Shape (batch, channels, height, width).

    Returns:
        Shape (batch, channels, 1, 1).
    """
    rows, columns = images[:, :, [0, -1]].flatten(2), images[:, :, :, [0, -1]].flatten(2)
    return torch.cat([rows, columns], dim=2).median(dim=2).values[:, :, None, None]


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Give where squares begin, so that the last one ends at the border."""
    return [*range(0, length - size, stride), length - size]


def _chosen(logits: Tensor, classes: Tensor | int | None) -> Tensor:
    """Give a class for each image."""
    if classes is None:
        return logits.argmax(dim=1)
    chosen = torch.as_tensor(classes, device=logits.device).expand(len(logits))
    unknown = chosen[(chosen < 0) | (chosen >= logits.shape[1])].tolist()
    if unknown:
        raise ValueError(
            f"There is no class {unknown[0]}: the network has {logits.shape[1]} logits."
        )
    return chosen


def _to_size(heat: Tensor, images: Tensor) -> Tensor:
    """Bring maps of shape (batch, 1, rows, columns) to the size of the images."""
    heat = F.interpolate(heat.float(), images.shape[2:], mode="bilinear", align_corners=False)
    return heat[:, 0].cpu()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
