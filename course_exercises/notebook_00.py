"""The checks of notebook 00: distances, slopes, an accuracy, an error message."""

import re
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from course_exercises.checks import Hint, call, close, exercise, explain, first_line, kind, rounded
from course_exercises.reports import report_of

# 00.1: distances between all pairs of points


@exercise("00.1")
def check_distances(answer: Any) -> None:
    """Test different and equal numbers of points, and points with one coordinate."""
    for rows, columns, dimensions in ((3, 2, 2), (2, 2, 3), (1, 4, 1)):
        generator = torch.Generator().manual_seed(rows)
        a = torch.randint(10, (rows, dimensions), generator=generator).float()
        b = torch.randint(10, (columns, dimensions), generator=generator).float()
        show = f"a of shape {tuple(a.shape)} and b of shape {tuple(b.shape)}"
        _require_distances(call(answer, a.clone(), b.clone(), show=show), a, b, f"For {show}")


def _require_distances(got: Any, a: Tensor, b: Tensor, case: str) -> None:
    if not isinstance(got, Tensor):
        raise Hint(f"{case}, the result is a {kind(got)}, not a tensor.")
    differences = a[:, None] - b[None]
    wanted = differences.square().sum(dim=2).sqrt()
    if close(got, wanted, 1e-4):
        return
    if got.shape == differences.shape:
        raise Hint(
            f"{case}, the result has the shape {tuple(got.shape)}: it contains all pairs, but each "
            "distance should be one number. Which dimension must disappear?"
        )
    if got.shape == wanted.T.shape and close(got, wanted.T, 1e-4):
        raise Hint(f"{case}, the matrix is transposed: the rows should be the points of a.")
    if got.shape != wanted.shape:
        raise Hint(
            f"{case}, the shape should be {tuple(wanted.shape)}, not {tuple(got.shape)}: insert a "
            "dimension into each of a and b."
        )
    mistakes = [
        (differences.square().sum(dim=2), "These are squared distances."),
        (differences.abs().sum(dim=2), "These are sums of absolute differences."),
        (differences.square().mean(dim=2).sqrt(), "Add up the squares; do not average them."),
        (differences.sum(dim=2), "Square the differences before you add them up."),
        (differences.sum(dim=2).abs(), "Square the differences before you add them up."),
    ]
    got = got.detach()
    explain(got, f"{case}:", mistakes, f"{rounded(wanted)} is expected, not {rounded(got)}.")


# 00.2: the derivative of a function at each element of a tensor

FUNCTIONS: list[tuple[str, Callable[[Tensor], Tensor], list]] = [
    ("torch.sin", torch.sin, [0.0, 1.0, 2.0]),
    ("x**3", lambda x: x**3, [[1.0, -2.0], [3.0, 0.5]]),
    ("torch.relu", torch.relu, [1e-9, -1e-9]),  # a finite difference steps over the kink
]


@exercise("00.2")
def check_slope(answer: Any) -> None:
    """Test three functions, that x stays unchanged, and an x that already has a gradient."""
    for name, function, points in FUNCTIONS:
        x = torch.tensor(points)
        show = f"{name} and the tensor {points}"
        _require_slopes(call(answer, function, x, show=show), function, points, f"For {show}")
        if x.requires_grad:
            raise Hint(
                "The slopes are correct, but x requires gradients afterwards. Work on a copy: "
                "x.detach().clone()."
            )
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    x.grad = torch.tensor([10.0, 10.0])
    got = call(answer, torch.exp, x, show="torch.exp, an x that already has a gradient")
    if not close(x.grad, [10.0, 10.0]):
        raise Hint("If x already has a gradient, your function adds to it. Work on a copy of x.")
    _require_slopes(got, torch.exp, [1.0, 2.0], "For torch.exp, an x that already has a gradient")


def _require_slopes(got: Any, function: Callable, points: list, case: str) -> None:
    x = torch.tensor(points, requires_grad=True)
    values = function(x)
    values.sum().backward()
    wanted = x.grad
    if not isinstance(got, Tensor):
        raise Hint(f"{case}, the result is a {kind(got)}, not a tensor.")
    got = got.detach()
    if close(got, wanted, 1e-5):
        return
    if got.shape != wanted.shape:
        raise Hint(
            f"{case}, the result has shape {tuple(got.shape)}; with one slope per element, it is "
            f"{tuple(wanted.shape)}."
        )
    mistakes = [
        (wanted / wanted.numel(), "These are divided by the number of elements: sum, not mean."),
        (values.detach(), "These are the values of the function, not its slopes."),
    ]
    if close(got, wanted, 0.51) and function is torch.relu:
        raise Hint(
            f"{case}, the slopes should be [1, 0], not {rounded(got)}. A finite difference steps "
            "over the kink at 0; autograd does not."
        )
    if close(got, wanted, 0.01):
        error = (got - wanted).abs().max()
        raise Hint(f"{case}, the slopes are off by {error:.0e}, typical of a finite difference.")
    explain(got, f"{case}:", mistakes, f"{rounded(wanted)} is expected, not {rounded(got)}.")


# 00.3: the accuracy of a model

BATCHES = [  # logits and labels; the last batch is smaller
    ([2.0, -1.0, 0.3, -2.0], [1.0, 0.0, 1.0, 1.0]),
    ([1.0, -3.0, 0.4, 0.2], [1.0, 0.0, 1.0, 0.0]),
    ([1.0], [1.0]),
]
LOADER = "a model and a loader with batches of 4, 4 and 1 images"


class _Probe(nn.Module):
    """Return the mean pixel of each image as its logit, with the wrong sign in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.calls: list[tuple[bool, bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.calls.append((self.training, torch.is_grad_enabled()))
        sign = -1 if self.training else 1
        return sign * self.weight.to(images.device) * images.flatten(start_dim=1).mean(dim=1)


@exercise("00.3")
def check_accuracy(answer: Any) -> None:
    """Test batches of different sizes, a model in training mode, and logits between 0 and 0.5."""
    logits, labels = (torch.tensor([*chain(*part)]) for part in zip(*BATCHES, strict=True))
    images = logits[:, None, None, None].expand(-1, 1, 2, 2)
    # Its own generator leaves the learner's random numbers unchanged.
    loader = DataLoader(TensorDataset(images, labels), batch_size=4, generator=torch.Generator())
    model = _Probe()
    got = call(answer, model, loader, show=LOADER)
    if not model.calls:
        raise Hint("Your function never calls the model.")
    if any(training for training, _ in model.calls):
        raise Hint("The model predicts in training mode, with dropout. Which call changes this?")
    if isinstance(got, Tensor):
        raise Hint("The result is a tensor; a Python number is expected. See section 1.")
    _require_accuracy(got)
    if any(recorded for _, recorded in model.calls):
        raise Hint("The accuracy is right, but autograd records the model: use torch.no_grad().")


def _require_accuracy(got: Any) -> None:
    correct, at_half = _correct(0.0), _correct(0.5)
    sizes = torch.tensor([len(labels) for _, labels in BATCHES])
    wanted = (correct.sum() / sizes.sum()).item()
    if close(got, wanted, 1e-6):
        return
    mistakes = [
        ((correct / sizes).mean(), "This is the mean of the batches' accuracies. The small last "
         "batch gets too much weight: add up correct predictions and images."),
        ((correct / sizes)[-1], "This is the accuracy of the last batch alone."),
        ((correct / sizes)[0], "This is the accuracy of the first batch alone: when does the "
         "loop return?"),
        (correct.sum(), "This is the number of correct predictions: divide it by the number of "
         "images."),
        (1 - wanted, "This is the error rate, the share of wrong predictions."),
        (at_half.sum() / sizes.sum(), "Logits are not probabilities: the threshold is not 0.5."),
        (correct.sum() / (len(sizes) * sizes[0]), "The last batch has fewer images than the first: "
         "do not divide by the number of batches times the batch size."),
    ]  # fmt: skip
    start = f"For {LOADER}, the accuracy should be {wanted:.3f}, not {got!r:.20}."
    explain(got, start, mistakes, "Count correct predictions and images over all batches.")


def _correct(threshold: float) -> Tensor:
    """Count the correct predictions of each batch."""
    pairs = [(torch.tensor(logits), torch.tensor(labels)) for logits, labels in BATCHES]
    return torch.stack([((logits > threshold) == labels).sum() for logits, labels in pairs])


# 00.4: an error message

CLINIC = (
    "cannot be multiplied|must have the same dtype|cast to the desired output|4D input|same device"
    "|expected device|backward through the graph a second|call numpy|does not require grad"
)
NO_TENSOR_ERRORS = (NameError, SyntaxError, ImportError, ZeroDivisionError, AttributeError)


@exercise("00.4")
def check_my_error(answer: Any) -> None:
    """Require a new error, a part of its message, a fix that works, and a cause in a sentence."""
    report = report_of(answer, "broken", "fixed", "words", "cause")
    for key in ("broken", "fixed"):
        if not callable(report[key]):
            raise Hint(f'"{key}" should be a function, not a {kind(report[key])}.')
    for key in ("words", "cause"):
        if not isinstance(report[key], str):
            raise Hint(f'"{key}" should be text, not a {kind(report[key])}.')
    message = _message_of(report["broken"])
    if re.search(CLINIC, message):
        raise Hint(f"Section 6 has this error already: {message:.80}")
    words = report["words"].strip()
    if len(words) < 5 or words.lower() not in message.lower():
        raise Hint(f'"words" should be five or more characters of the message: {message:.120}')
    fixed = call(report["fixed"], show="")
    if not isinstance(fixed, Tensor):
        raise Hint(f'"fixed" should return a tensor, not a {kind(fixed)}.')
    if len(report["cause"].split()) < 5 or report["cause"].strip() == words:
        raise Hint('"cause" should be a sentence that explains the error, not the message itself.')


def _message_of(broken: Callable[[], Any]) -> str:
    """Return type and message of the error that a function raises."""
    try:
        broken()
    except NO_TENSOR_ERRORS as error:
        raise Hint(f'"broken" raises {first_line(error)}: find one caused by tensors.') from None
    except Exception as error:
        return f"{kind(error)}: {error}"
    raise Hint('"broken" raises no error.')
