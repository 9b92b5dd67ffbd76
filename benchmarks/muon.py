"""Muon for convolutions; `torch.optim.Muon` takes matrices only."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


def orthogonalize(matrix: Tensor, steps: int = 3) -> Tensor:
    """Bring all singular values near 1: approximate U V^T of a matrix U S V^T without an SVD."""
    # From Jordan (2024): small values grow quickly and end between 0.7 and 1.2, not exactly at 1.
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = len(matrix) > matrix.shape[1]
    wide = matrix.T if tall else matrix  # its products are smaller
    x = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Muon(Optimizer):
    """Orthogonalized momentum for convolutions, SGD with Nesterov momentum for everything else.

    The momentum of a convolution, as a matrix with one row per filter, is orthogonalized, so that
    the weights move equally in all directions (Jordan et al. 2024). The length of a step is the
    fraction `lr` of their norm, which is kept constant: before batch norm, it has no effect.
    """

    def __init__(self, params: Iterable, lr: float = 0.1, weight_decay: float = 0.0) -> None:
        """Take parameters, or groups of them; `weight_decay` does not apply to convolutions."""
        if min(lr, weight_decay) < 0:
            raise ValueError(f"lr ({lr}) and weight_decay ({weight_decay}) must not be negative.")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                is_conv, state = weight.ndim == 4, self.state[weight]
                momentum, weight_decay = (0.6, 0.0) if is_conv else (0.9, group["weight_decay"])
                gradient = weight.grad.add(weight, alpha=weight_decay)
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                buffer = state["momentum_buffer"].mul_(momentum).add_(gradient)
                update = gradient.add(buffer, alpha=momentum)  # Nesterov: one step ahead
                if is_conv:
                    norm = weight.norm()  # restored after the step
                    direction = orthogonalize(update.flatten(1)).view_as(weight)
                    weight.sub_(group["lr"] * norm / (direction.norm() + 1e-7) * direction)
                    weight.mul_(norm / (weight.norm() + 1e-7))
                else:
                    weight.sub_(group["lr"] * update)
