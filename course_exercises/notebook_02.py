"""The checks of notebook 02: sizes, a training step, a tiny network, hard and easy pairs."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_exercises.checks import Hint, NotTried, call, close, exercise, kind, same, short
from course_exercises.reports import is_count, report_of, require_word
from course_utils.evaluation import accuracy_interval

Layers = list[tuple[int, int, int]]

# 02.1: the output size of several convolutions


@exercise("02.1")
def check_size_after(answer: Any) -> None:
    """Test one layer, several and none; sizes divisible by the stride, and others."""
    cases: list[tuple[int, Layers]] = [
        (28, [(3, 0, 1)]),
        (28, [(5, 2, 1)]),
        (28, [(3, 1, 2)]),
        (30, [(3, 1, 2)]),
        (29, [(2, 0, 3)]),
        (28, [(3, 1, 2), (3, 0, 1)]),
        (224, [(7, 3, 2), (3, 1, 2), (3, 1, 2)]),
        (28, []),
    ]
    for size, layers in cases:
        got = call(answer, size, layers)
        if not same(got, wanted := _measured(size, layers)):
            case = f"For ({size}, {layers}), the size should be {wanted}, not {short(got)}"
            raise Hint(f"{case}{_why_not(got, wanted, size, layers)}")


def _measured(size: int, layers: Layers) -> int:
    image = torch.zeros(1, 1, size, size)
    for kernel, padding, stride in layers:
        image = F.conv2d(image, torch.zeros(1, 1, kernel, kernel), padding=padding, stride=stride)
    return image.shape[-1]


def _why_not(got: Any, wanted: int, size: int, layers: Layers) -> str:
    if len(layers) != 1:
        if layers and same(got, _measured(size, layers[:1])):
            return ", the size after the first layer. When does the loop return?"
        return ". The input size of each layer is the output size of the previous one."
    [(kernel, padding, stride)] = layers
    room = size + 2 * padding - kernel
    if isinstance(got, float) and not got.is_integer():
        return ": a size is an integer. Which division gives integers?"
    if stride > 1 and same(got, wanted + 1):
        return ": a window that would extend beyond the border is left out."
    if padding and same(got, (room - padding) // stride + 1):
        return ": on how many sides is padding added?"
    if same(got, room // stride):
        return ": count the windows on paper for 4 pixels and a kernel of 3. There are two."
    return ". The formula for one layer is above."


# 02.2: a training step with a bug

BATCHES = 4
STEP = "a network, a batch of 8 images, their labels and an optimizer"


@exercise("02.2")
def check_training_step(answer: Any) -> None:
    """Test four batches that start without gradients, and four with gradients left over."""
    losses, weights, gradients = _train(answer, leftover=0.0)
    wanted_losses, wanted, _ = _train(_right_step, leftover=0.0)
    unsolved_losses, unsolved, _ = _train(_unsolved_step, leftover=0.0)
    if close(weights, unsolved) and close(losses, unsolved_losses):
        raise NotTried("the weights are right after the first batch, and wrong after the second")
    if not close(weights, wanted):
        raise Hint(_why_wrong_weights(weights, wanted, gradients))
    if any(isinstance(loss, Tensor) for loss in losses):
        raise Hint(
            "The weights are right, but the loss is returned as a tensor, which keeps the whole "
            "computation graph in memory. Return a Python number."
        )
    if not close(losses, wanted_losses):
        raise Hint(f"The first loss should be {wanted_losses[0]:.3f}, not {short(losses[0])}.")
    _, weights, _ = _train(answer, leftover=1.0)
    if not close(weights, _train(_right_step, leftover=1.0)[1]):
        raise Hint("Gradients that exist before the step are added to those of the step.")


def _right_step(net: nn.Module, images: Tensor, labels: Tensor, optimizer: Any) -> float:
    optimizer.zero_grad()
    return _unsolved_step(net, images, labels, optimizer)


def _unsolved_step(net: nn.Module, images: Tensor, labels: Tensor, optimizer: Any) -> float:
    loss = F.cross_entropy(net(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def _train(step: Callable[..., Any], leftover: float) -> tuple[list[Any], Tensor, int]:
    """Return the losses, all weights after each batch, and how often gradients were computed."""
    generator = torch.Generator().manual_seed(1)
    net = nn.utils.skip_init(nn.Linear, 3, 2)
    calls: list[Tensor] = []
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.full_like(parameter, leftover) if leftover else None
    net.weight.register_hook(calls.append)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses, weights = [], []
    for _ in range(BATCHES):
        images = torch.randn(8, 3, generator=generator)
        labels = torch.randint(2, (8,), generator=generator)
        losses.append(call(step, net, images, labels, optimizer, show=STEP))
        weights.append(nn.utils.parameters_to_vector(net.parameters()).detach().clone())
    return losses, torch.stack(weights), len(calls)


def _why_wrong_weights(weights: Tensor, wanted: Tensor, gradients: int) -> str:
    if (weights == weights[0]).all():
        if not gradients:
            return "The weights never change, and no gradient was computed. Which call computes it?"
        return "The weights never change: what is left of the gradients when the optimizer steps?"
    if gradients > BATCHES:
        return f"In {BATCHES} steps, gradients were computed {gradients} times, not once per step."
    first = int((weights - wanted).abs().amax(dim=1).gt(1e-6).nonzero()[0]) + 1
    return (
        f"The weights after batch {first} of {BATCHES} are not those of a step with the gradients "
        "of this batch alone. One line is missing; all others were right."
    )


# 02.3: a network with few parameters

LIMIT = 5000


@exercise("02.3")
def check_make_tiny_net(answer: Any) -> None:
    """Test two image sizes; require few parameters, all of them used, and logits."""
    if isinstance(answer, nn.Module):
        raise Hint("This is a network; a function that returns one is expected.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net, another = _make(answer), _make(answer)
        if net is another:
            raise Hint("Two calls return the same network; each should return a new one.")
        outputs = _require_shapes(net)
        count = sum(parameter.numel() for parameter in net.parameters())
        if count >= LIMIT:
            raise Hint(
                f"It has {count:,} parameters instead of fewer than {LIMIT:,}. A 3x3 convolution "
                "has 9 per pair of input and output channels: which layer has many pairs?"
            )
        _require_logits(outputs, _logits(another, 28))
        _require_nonlinearity(net)
        _require_gradients(net)
    if type(net).__module__.startswith("course_utils"):
        raise Hint(f"{kind(net)} comes from the course. Build your own from torch layers.")


def _make(answer: Any) -> nn.Module:
    net = call(answer)
    if not isinstance(net, nn.Module):
        raise Hint(f"The function returns a {kind(net)}, not a network (nn.Module).")
    return net.cpu()


def _images(size: int) -> Tensor:
    """Return three images of different contrast, with values like those of a loader."""
    generator = torch.Generator().manual_seed(2)
    contrast = torch.tensor([0.3, 1.0, 2.0]).reshape(3, 1, 1, 1)
    return torch.randn(3, 1, size, size, generator=generator) * contrast + 0.5


@torch.no_grad()
def _logits(net: nn.Module, size: int) -> Any:
    return call(net.eval(), _images(size), show=f"3 gray images of {size}x{size}")


def _require_shapes(net: nn.Module) -> Tensor:
    outputs = _logits(net, 28)
    try:
        larger = _logits(net, 64)
    except Hint:
        raise Hint(
            "It works for images of 28x28 but not of 64x64 pixels: which layer has a number of "
            "weights that depends on the image size? Which layer before it would prevent this?"
        ) from None
    for size, output in {28: outputs, 64: larger}.items():
        shape = tuple(output.shape) if isinstance(output, Tensor) else kind(output)
        if shape[:2] == (3, 10) and len(shape) == 4:
            raise Hint(f"It outputs {shape}: logits at every position. Ten per image are expected.")
        if shape != (3, 10):
            raise Hint(f"For 3 images of {size}x{size} it outputs {shape} instead of (3, 10).")
    return outputs


def _require_logits(outputs: Tensor, others: Tensor) -> None:
    if (outputs >= 0).all() and close(outputs.sum(dim=1), torch.ones(3), 1e-4):
        raise Hint("The outputs add up to 1: they are probabilities. The loss applies the softmax.")
    if (outputs >= 0).all() and outputs.any() and (others >= 0).all():
        raise Hint("No logit is negative, but logits can be any numbers. What is the last layer?")
    if torch.equal(outputs[0], outputs[1]):
        raise Hint("Two different images have exactly the same logits: is the input used at all?")


@torch.no_grad()
def _require_nonlinearity(net: nn.Module) -> None:
    """Reject an affine network, for which f(a + b) = f(a) + f(b) - f(0)."""
    images = _images(28)
    one, other, none = images[:1], images[1:2], torch.zeros_like(images[:1])
    parts = net(one) + net(other) - net(none)
    if close(net(one + other), parts, 1e-4 * float(parts.abs().max())):
        raise Hint("The network has no non-linearity: its layers are equivalent to a single one.")


def _require_gradients(net: nn.Module) -> None:
    F.cross_entropy(net.train()(_images(28)), torch.tensor([0, 1, 2])).backward()
    unused = [name for name, parameter in net.named_parameters() if parameter.grad is None]
    if unused:
        raise Hint(f"After backward(), {unused[0]} has no gradient. Is it used in forward?")


# 02.4: hard and easy pairs of classes

EXAMPLE = {"Pullover", "Shirt"}
FEWEST = 20


@exercise("02.4")
def check_two_pairs(answer: Any) -> None:
    """Check the form, whether the numbers are consistent, and the conclusion."""
    report = report_of(answer, "hard", "easy", "guess")
    hard, easy = (
        report_of(report[name], "classes", "correct", "images", "interval", name=name)
        for name in ("hard", "easy")
    )
    (hard_low, hard_high), (easy_low, easy_high) = (
        _interval_of("hard", hard),
        _interval_of("easy", easy),
    )
    if set(hard["classes"]) == set(easy["classes"]):
        raise Hint("The hard and the easy pair are the same two classes.")
    if hard_high < easy_low:
        expected, because = "right", "the whole interval of the hard pair lies below the other one"
    elif hard_low > easy_high:
        expected, because = "wrong", "the whole interval of the hard pair lies above the other one"
    else:
        expected, because = "undecided", "the two intervals overlap"
    because += f" ({hard_low:.3f} to {hard_high:.3f} and {easy_low:.3f} to {easy_high:.3f})"
    require_word(report, "guess", ("right", "wrong", "undecided"), expected, because)


def _interval_of(name: str, pair: dict) -> tuple[float, float]:
    """Check the numbers of one pair, and return its interval."""
    classes, correct, images = pair["classes"], pair["correct"], pair["images"]
    names = type(classes) in (tuple, list) and all(type(each) is str for each in classes)
    if not names or len(classes) != 2 or len(set(classes)) != 2:
        raise Hint(f'"{name}": classes should be the names of two classes, not {short(classes)}.')
    if set(classes) == EXAMPLE:
        raise Hint(f'"{name}": pullover and shirt are the example; choose a different pair.')
    if not is_count(correct) or not is_count(images) or correct > images:
        raise Hint(
            f'"{name}": correct and images should be two integers with correct <= images, not '
            f"{short(correct)} and {short(images)}."
        )
    if images < FEWEST:
        raise Hint(f'"{name}": {images} images are too few; take at least {FEWEST}.')
    low, high = accuracy_interval(correct, images)
    if high < 0.5:
        raise Hint(f'"{name}": {correct} of {images} is below chance level. Did you count errors?')
    if not close(pair["interval"], (low, high), 0.0051):
        raise Hint(
            f'"{name}": the 95 % interval of {correct} of {images} is not '
            f"{short(pair['interval'])}. accuracy_interval returns two numbers between 0 and 1."
        )
    return low, high
