"""Optimizers: how a gradient becomes a step. SGD and AdamW come from torch; here is Muon."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

# Coefficients of Jordan (2024), chosen so that small singular values grow fast. They do not
# settle on 1 but somewhere between 0.7 and 1.2, which is near enough.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
SGD_MOMENTUM = 0.9


def orthogonalize(matrix: Tensor, steps: int = 3) -> Tensor:
    """Bring all singular values of a matrix near to 1 and keep its singular vectors.

    What comes out is roughly U V^T of the singular value decomposition U S V^T, without computing
    one: a Newton-Schulz iteration needs nothing but products of matrices.

    Args:
        matrix: Shape (rows, columns), float.
        steps: More steps lift smaller singular values.

    Returns:
        The same shape and dtype.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix  # the products are smaller then
    x = wide / (wide.norm() + 1e-7)
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if len(matrix) > matrix.shape[1] else x


class Muon(Optimizer):
    """Momentum, made orthogonal: every direction that a convolution can learn in moves equally.

    The gradient of a convolution is mostly made of a few strong directions, and SGD hardly moves
    in the others. Muon takes the momentum as a matrix with one row a filter, brings its singular
    values near to 1 (`orthogonalize`), and turns the weights by the share `lr` of their length,
    which stays what it was. That suits convolutions in front of batch norm, where the length
    changes nothing. Everything else (biases, batch norm, the last linear layer) is trained with
    SGD and Nesterov's momentum of 0.9, at the same learning rate.

    From Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the fixed
    length is that of his training of CIFAR-10. `torch.optim.Muon` takes matrices only.

    Example:
        >>> optimizer = Muon(model.parameters(), lr=0.1)
        >>> fit(model, train_loader, val_loader, optimizer, epochs=5)
    """

    def __init__(
        self, params: Iterable, lr: float = 0.1, momentum: float = 0.6, weight_decay: float = 0.0
    ) -> None:
        """Take parameters as all optimizers do.

        Args:
            params: Parameters, or groups of them.
            lr: The learning rate; for convolutions the share of their length, 0 to 1.
            momentum: How much of the last step of a convolution goes on, 0 to below 1.
            weight_decay: As in `torch.optim.SGD`, for what is no convolution.

        Raises:
            ValueError: A number is outside its range.
        """
        if not 0 <= lr:
            raise ValueError(f"lr must not be negative, but is {lr}.")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, but is {momentum}.")
        if not 0 <= weight_decay:
            raise ValueError(f"weight_decay must not be negative, but is {weight_decay}.")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Change all parameters that have a gradient.

        Args:
            closure: Computes the loss again; hardly ever needed.

        Returns:
            What `closure` gave.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.ndim == 4:
                    ahead = self._ahead(parameter, parameter.grad, group["momentum"])
                    _turn(parameter, ahead, group["lr"])
                else:
                    pulled = parameter.grad.add(parameter, alpha=group["weight_decay"])
                    ahead = self._ahead(parameter, pulled, SGD_MOMENTUM)
                    parameter.sub_(group["lr"] * ahead)
        return loss

    def _ahead(self, parameter: Tensor, gradient: Tensor, momentum: float) -> Tensor:
        """Add the gradient to the momentum; give where it points one step ahead (Nesterov)."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        average = state["momentum_buffer"].mul_(momentum).add_(gradient)
        return gradient.add(average, alpha=momentum)


def _turn(weight: Tensor, ahead: Tensor, lr: float) -> None:
    """Move a weight by the share `lr` of its length, and bring it back to this length."""
    direction = orthogonalize(ahead.flatten(1)).view_as(weight)
    length = weight.norm()
    weight.sub_(lr * length / (direction.norm() + 1e-7) * direction)
    weight.mul_(length / (weight.norm() + 1e-7))
