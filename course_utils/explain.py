"""Capture the outputs of layers of a network.

>>> with capture_activations(model, "features.3") as activations:
...     model(images)
>>> activations["features.3"].shape
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


@contextmanager
def capture_activations(model: nn.Module, *layers: str) -> Iterator[dict[str, Tensor]]:
    """Capture the outputs of layers with forward hooks, which are removed at the end.

    The dictionary has the last output of each layer, if it is a tensor, in order of execution. The
    outputs are part of the graph: `torch.autograd.grad(score, activations[layer])` works.
    """
    modules = dict(model.named_modules())
    if unknown := set(layers) - set(modules):
        names = ", ".join([*modules][1:13])
        raise ValueError(f"There is no layer {min(unknown)!r}; there are, for example, {names}.")
    activations: dict[str, Tensor] = {}

    def capture(name: str, module: nn.Module, inputs: object, output: object) -> Tensor | None:
        if not isinstance(output, Tensor):
            return None
        # After frozen layers, no output requires a gradient; the graph then starts here.
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        activations.pop(name, None)  # a layer that runs again comes last
        activations[name] = output
        return output.clone()  # an in-place ReLU must not change the captured tensor

    handles = [modules[name].register_forward_hook(partial(capture, name)) for name in layers]
    try:
        yield activations
    finally:
        for handle in handles:
            handle.remove()


def border_color(images: Tensor) -> Tensor:
    """Compute the median color along the border of each image, shape (batch, channels, 1, 1)."""
    rows, columns = images[:, :, [0, -1]].flatten(2), images[:, :, :, [0, -1]].flatten(2)
    return torch.cat([rows, columns], dim=2).median(dim=2).values[:, :, None, None]
