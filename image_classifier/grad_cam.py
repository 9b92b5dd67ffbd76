"""Grad-CAM in batches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.explain import capture_activations
from course_utils.training import eval_mode

BATCH_SIZE = 16  # the backward pass of 64 images of 224 pixels would need gigabytes


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


def grad_cam(model: nn.Module, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Compute which parts of images are evidence for a class.

    The feature maps of the last convolutional layer are summed, each weighted by the mean gradient
    of the class's logit; negative values are set to 0. From Selvaraju et al., Grad-CAM: Visual
    Explanations from Deep Networks via Gradient-based Localization (2017).

    `classes` are indices of shape (batch,), by default the predicted classes. The result is on the
    CPU, of shape (batch, height, width), in units of the logit.
    """
    layer = last_conv_layer(model, images)
    device = next(model.parameters()).device
    attributions = []
    for start in range(0, len(images), BATCH_SIZE):
        batch = slice(start, start + BATCH_SIZE)
        with torch.enable_grad(), eval_mode(model), capture_activations(model, layer) as captured:
            logits = model(images[batch].to(device))
            wanted = logits.argmax(dim=1) if classes is None else classes[batch].to(device)
            score = logits.gather(1, wanted[:, None]).sum()
            (gradients,) = torch.autograd.grad(score, captured[layer])
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        cam = (weights * captured[layer].detach()).sum(dim=1, keepdim=True).relu().float()
        cam = F.interpolate(cam, images.shape[2:], mode="bilinear", align_corners=False)
        attributions.append(cam[:, 0].cpu())
    return torch.cat(attributions)
