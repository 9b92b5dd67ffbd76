"""Muon; SGD and AdamW come from torch."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

# From Jordan (2024): small singular values grow fast and end between 0.7 and 1.2, not exactly at 1.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
CONV_MOMENTUM, SGD_MOMENTUM = 0.6, 0.9


def orthogonalize(matrix: Tensor, steps: int = 3) -> Tensor:
    """Bring all singular values near 1: approximate U V^T of a matrix U S V^T without its SVD."""
    a, b, c = NEWTON_SCHULZ
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
    the weights move equally in all directions. A step turns them by the fraction `lr` of their
    norm, which is kept; that suits convolutions before batch norm, where the norm has no effect.

    From Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), and
    Jordan's training of CIFAR-10. `torch.optim.Muon` takes matrices only.
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
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.ndim == 4:
                    update = self._nesterov(parameter, parameter.grad, CONV_MOMENTUM)
                    _turn(parameter, orthogonalize(update.flatten(1)), group["lr"])
                else:
                    gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                    parameter.sub_(group["lr"] * self._nesterov(parameter, gradient, SGD_MOMENTUM))

    def _nesterov(self, parameter: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """Update the momentum buffer; return its value one step ahead."""
        if not (state := self.state[parameter]):
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].mul_(momentum).add_(gradient)
        return gradient.add(buffer, alpha=momentum)


def _turn(weight: Tensor, direction: Tensor, lr: float) -> None:
    """Move a weight by the fraction `lr` of its norm, and restore this norm."""
    norm = weight.norm()
    weight.sub_(lr * norm / (direction.norm() + 1e-7) * direction.view_as(weight))
    weight.mul_(norm / (weight.norm() + 1e-7))
