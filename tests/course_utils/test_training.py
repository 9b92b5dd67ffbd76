"""`fit` against a loop written by hand, callbacks, and what ends a run."""

import copy
import math
import random

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_training import assert_same, data, loaders, network, train
from torch import nn
from torch.optim import SGD, lr_scheduler
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, IterableDataset

from course_utils import checkpoints, lr_finder, training
from course_utils.datasets import make_loader
from course_utils.errors import TrainingError
from course_utils.training import Callback, EarlyStopping, default_loss, evaluate, fit


def test_fit_is_the_loop_written_by_hand():
    train_loader, val_loader = loaders()
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(7)
    history = fit(model, train_loader, val_loader, optimizer, 3)

    train_loader, val_loader = loaders()
    by_hand = network()
    optimizer = SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    torch.manual_seed(7)
    for epoch in range(3):
        by_hand.train()
        loss_sum, correct = 0.0, 0
        for images, targets in train_loader:
            logits = by_hand(images)
            loss = loss_fn(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(targets)
            correct += (logits.argmax(1) == targets).sum().item()
        assert history["train_loss"][epoch] == loss_sum / 50
        assert history["train_accuracy"][epoch] == correct / 50
        by_hand.eval()
        loss_sum = 0.0
        with torch.no_grad():
            for images, targets in val_loader:
                loss_sum += loss_fn(by_hand(images), targets).item() * len(targets)
        assert history["val_loss"][epoch] == loss_sum / 23
    assert_same(model.state_dict(), by_hand.state_dict())


def test_history():
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    scheduler = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    history = fit(model, *loaders(), optimizer, 3, scheduler=scheduler)
    frame = history.frame
    assert frame.columns.tolist() == list(training.COLUMNS)
    assert frame.epoch.tolist() == [1, 2, 3]
    assert frame.learning_rate.tolist() == [0.1, 0.05, 0.025]
    assert (frame.seconds > 0).all()
    assert len(history) == 3
    assert training.History().frame.empty


@pytest.mark.parametrize("outputs", [1, 3])
def test_fit_learns(outputs):
    model, classes = network(outputs), max(outputs, 2)
    pair = make_loader(data(60, classes), 10, shuffle=True), make_loader(data(30, classes, 1), 10)
    history = fit(model, *pair, torch.optim.Adam(model.parameters(), lr=0.03), 20)
    assert history["val_accuracy"][-1] > 0.9
    assert history["train_loss"][-1] < history["train_loss"][0] / 2


@pytest.mark.parametrize(
    "loss_fn",
    [
        default_loss,
        nn.CrossEntropyLoss(weight=torch.tensor([5.0, 1.0, 0.1])),
        nn.CrossEntropyLoss(weight=torch.tensor([5.0, 1.0, 0.1]), label_smoothing=0.1),
    ],
)
def test_averages_do_not_depend_on_the_batch_size(loss_fn):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    whole = evaluate(model, make_loader(data(23), 23), loss_fn)
    for batch_size in (4, 10):  # the last batch has three images
        found = evaluate(model, make_loader(data(23), batch_size), loss_fn)
        assert found == pytest.approx(whole, rel=1e-6)


def test_class_weights_move_to_the_device():
    class Recorded(nn.CrossEntropyLoss):
        devices = ()

        def to(self, device):
            self.devices += (device,)
            return super().to(device)

    loss_fn = Recorded(weight=torch.ones(3))
    train(1, loss_fn=loss_fn)
    assert set(loss_fn.devices) == {torch.device("cpu")}


def test_evaluate_changes_nothing():
    model = network().train()
    before = copy.deepcopy(model.state_dict())
    generator = torch.get_rng_state()
    first = evaluate(model, loaders()[1])
    assert first == evaluate(model, loaders()[1])
    assert model.training
    assert_same(model.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_dataset_without_length():
    class Stream(IterableDataset):
        def __iter__(self):
            images = torch.stack([data()[index][0] for index in range(12)]).float()
            return iter(zip(images, data().targets[:12], strict=True))

    model, loader = network(), DataLoader(Stream(), batch_size=5)
    history = fit(model, loader, loader, SGD(model.parameters(), lr=1e-3), 2)
    assert len(history) == 2
    assert 0 <= history["train_accuracy"][-1] <= 1


class CountReads(TorchDispatchMode):
    """Counts how often a value is read from a device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_no_batch_waits_for_a_gpu():
    counts = []
    for batch_size in (5, 25):
        with CountReads() as reads:
            train(1, batch_size=batch_size)
        counts.append(reads.count)
    assert counts[0] == counts[1]


class Losses(Callback):
    def __init__(self):
        self.losses = []

    def on_batch_end(self, run, loss):
        self.losses.append(loss)


@pytest.mark.parametrize("callbacks", [[], [Losses()]])
def test_a_loss_that_is_not_finite_stops_the_run(callbacks):
    with pytest.raises(TrainingError, match=r"became (nan|inf) in epoch 1, batch [23],.*of 1e\+20"):
        train(3, lr=1e20, callbacks=callbacks)
    for callback in callbacks:
        assert callback.losses and all(map(math.isfinite, callback.losses))


def test_the_complete_epochs_survive_an_error():
    class Spoil(Callback):
        def on_epoch_end(self, run):
            if len(run.history) == 2:
                nn.init.constant_(run.model[-1].weight, float("nan"))

    with pytest.raises(TrainingError, match="epoch 3, batch 1") as caught:
        train(5, callbacks=[Spoil()])
    assert len(caught.value.history) == 2


def test_ctrl_c_keeps_the_complete_epochs(capsys):
    class Interrupt(Callback):
        ended = False

        def on_batch_end(self, run, loss):
            if len(run.history) == 2:
                raise KeyboardInterrupt

        def on_train_end(self, run):
            self.ended = True

    callback = Interrupt()
    _, history = train(5, callbacks=[callback])
    assert len(history) == 2
    assert callback.ended
    assert "Interrupted after 2 complete epochs" in capsys.readouterr().out


def test_callbacks_are_called_in_order_and_can_stop_the_run():
    calls = []

    class Log(Callback):
        def on_train_begin(self, run):
            calls.append("begin")

        def on_batch_end(self, run, loss):
            assert loss > 0
            assert all(parameter.grad is not None for parameter in run.model.parameters())
            calls.append("batch")

        def on_epoch_end(self, run):
            calls.append(f"epoch {run.history.rows[-1]['epoch']}")
            run.stop = len(run.history) == 2

        def on_train_end(self, run):
            calls.append("end")

    train(9, batch_size=25, callbacks=[Log()])
    epoch = ["batch", "batch"]
    assert calls == ["begin", *epoch, "epoch 1", *epoch, "epoch 2", "end"]


def test_error_messages():
    model = network()
    optimizer = SGD(model.parameters())
    with pytest.raises(ValueError, match="must be 'epoch' or 'batch', not 'step'"):
        train(1, schedule_every="step")
    nothing = make_loader(data(0), 8)
    with pytest.raises(TrainingError, match="no batch"):
        fit(model, nothing, loaders()[1], optimizer, 1)
    with pytest.raises(TrainingError, match="no batch"):
        evaluate(model, nothing)


def test_best_device_is_one_that_computes():
    assert torch.ones(2, device=training.best_device()).sum().item() == 2


def test_seeding_reaches_every_generator():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    training.seed_everything(5)
    first = draw()
    training.seed_everything(5)
    assert draw() == first
    assert draw() != first


def half_cosine(start, end, share):
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def one_cycle(step, steps, peak):
    """Smith and Topin (2018) as torch does it: up for 0.3 of the steps, then down to almost 0."""
    top = 0.3 * steps - 1
    if step <= top:
        return half_cosine(peak / 25, peak, step / top)
    return half_cosine(peak, peak / 25 / 1e4, (step - top) / (steps - 1 - top))


@pytest.mark.parametrize("every", ["batch", "epoch"])
def test_every_step_is_taken_at_the_rate_of_the_schedule(every):
    rates = []

    class Recorder(SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    model = network()
    optimizer = Recorder(model.parameters(), lr=0.1)
    if every == "batch":
        schedule = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
        expected = [one_cycle(step, 20, 0.1) for step in range(20)]
    else:
        schedule = lr_scheduler.CosineAnnealingLR(optimizer, 10)
        expected = [half_cosine(0.1, 0, batch // 2 / 10) for batch in range(20)]
    fit(model, *loaders(25), optimizer, 10, scheduler=schedule, schedule_every=every)
    assert rates == pytest.approx(expected)


def test_a_plateau_of_the_validation_loss_lowers_the_rate():
    model = network()
    optimizer = SGD(model.parameters(), lr=0.4)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    torch.manual_seed(1)
    frame = fit(model, *loaders(), optimizer, 12, scheduler=scheduler).frame
    rate, best, by_hand = 0.4, np.inf, []
    for loss in frame.val_loss:
        by_hand.append(rate)
        if loss >= best * (1 - 1e-4):  # torch's default threshold
            rate /= 2
        else:
            best = loss
    assert frame.learning_rate.tolist() == by_hand
    assert frame.learning_rate.iloc[-1] < 0.4


class FakeValidation(Callback):
    """Replaces the validation loss, so that a test decides when it stops improving."""

    def __init__(self, values):
        self.values, self.weights = values, []

    def on_epoch_end(self, run):
        run.history.rows[-1]["val_loss"] = self.values[len(run.history) - 1]
        self.weights.append(copy.deepcopy(run.model.state_dict()))


NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "patience", "best_epoch", "epochs"),
    [
        ([3.0, 1.0, 2.0, 2.0, 0.5], 2, 2, 4),
        ([3.0, 1.0, 2.0, 2.0, 0.5], 3, 5, 5),
        ([3.0, 1.0, 1.0, 1.0, 0.5], 2, 2, 4),
        ([2.0, NAN, NAN, 1.0], 2, 1, 3),
        ([NAN, 1.0, 2.0, 2.0, 0.5], 2, 2, 4),
    ],
)
def test_early_stopping_restores_the_best_weights(values, patience, best_epoch, epochs, tmp_path):
    fake = FakeValidation(values)
    path = tmp_path / "run.pt"
    model, history = train(len(values), callbacks=[fake, EarlyStopping(patience)], checkpoint=path)
    assert (history.best_epoch, len(history)) == (best_epoch, epochs)
    assert_same(model.state_dict(), fake.weights[best_epoch - 1])
    loaded = network()
    checkpoints.load_weights(loaded, path)
    assert_same(loaded.state_dict(), model.state_dict())


def test_early_stopping_of_a_resumed_run(tmp_path):
    values, path = [3.0, 1.0, 2.0, 2.0, 2.0, 0.5], tmp_path / "run.pt"

    def run(epochs, **options):
        stopping = EarlyStopping(patience=3)
        model, history = train(epochs, callbacks=[FakeValidation(values), stopping], **options)
        return model, history.best_epoch

    whole = run(6)
    run(3, checkpoint=path)
    for _ in range(2):  # the second time, nothing is left to do
        resumed = run(6, checkpoint=path, resume=True)
        assert resumed[1] == whole[1] == 2
        assert_same(resumed[0].state_dict(), whole[0].state_dict())


class TestRangeTest:
    def run(self, model, low, high, steps, lr=0.1):
        optimizer = SGD(model.parameters(), lr=lr)
        return lr_finder.learning_rate_range_test(
            model, loaders()[0], optimizer, low, high, steps=steps
        )

    def test_rates_grow_and_everything_is_as_before(self):
        model = network().eval()
        groups = [{"params": list(model[:3].parameters()), "lr": 0.01}]
        groups += [{"params": list(model[3:].parameters()), "lr": 0.1}]
        optimizer = SGD(groups, momentum=0.9)
        before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        order = next(iter(loaders()[0]))[1]
        train_loader, _ = loaders()
        torch.manual_seed(3)
        drawn = torch.rand(())
        torch.manual_seed(3)
        test = lr_finder.learning_rate_range_test(model, train_loader, optimizer, 1e-5, 1e-2, 20)
        assert torch.rand(()) == drawn
        assert torch.equal(next(iter(train_loader))[1], order)
        assert_same(model.state_dict(), before[0])
        assert optimizer.state_dict() == before[1]
        assert not model.training and all(p.grad is None for p in model.parameters())
        np.testing.assert_allclose(test["learning_rate"], np.geomspace(1e-5, 1e-2, 20))

    def test_batch_norm_that_was_frozen_by_hand_stays_frozen(self):
        model, modes = network().train(), []
        model[1].eval()
        model[1].register_forward_hook(lambda layer, *_: modes.append(layer.training))
        self.run(model, 1e-5, 1e-4, steps=3)
        assert modes == [False] * 3
        assert [layer.training for layer in model] == [True, False, True, True, True, True]

    def test_it_ends_when_the_loss_diverges(self):
        test = self.run(network(), 1e-3, 1e6, steps=60)
        assert len(test) < 60
        assert test["smoothed"].iloc[-1] > 4 * test["smoothed"].min()
        lowest = test["learning_rate"][test["smoothed"].idxmin()]
        assert lr_finder.suggest_learning_rate(test) <= lowest < test["learning_rate"].iloc[-1]

    def test_the_suggestion_is_where_the_loss_falls_fastest(self):
        rates = np.geomspace(1e-5, 1, 51)
        loss = 2 - 1.5 / (1 + np.exp(-3 * (np.log10(rates) + 3)))  # steepest at 0.001
        loss[45:] = 10
        test = pd.DataFrame({"learning_rate": rates, "loss": loss, "smoothed": loss})
        assert lr_finder.suggest_learning_rate(test) == pytest.approx(1e-3, rel=0.01)

    def test_the_rate_of_the_optimizer_and_the_mode_of_the_network_do_not_matter(self):
        torch.manual_seed(0)
        test = self.run(network(), 1e-4, 1e-2, steps=5)
        assert test.equals(self.run(network().eval(), 1e-4, 1e-2, steps=5, lr=0.0))
        with pytest.raises(ValueError, match="cannot include zero"):
            self.run(network(), 0.0, 1e-2, steps=5)


class TestMixedPrecision:
    """`amp=True`, on this machine or as it would be on another one."""

    def test_where_float32_is_fastest_nothing_changes(self, monkeypatch):
        monkeypatch.setattr(training, "amp_dtype", lambda device: None)
        assert_same(train(amp=True)[0].state_dict(), train()[0].state_dict())

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_layers_compute_in_reduced_precision_and_weights_stay_float32(self, dtype, monkeypatch):
        monkeypatch.setattr(training, "amp_dtype", lambda device: dtype)
        seen = set()

        def look(module, inputs, output):
            if isinstance(module, nn.Conv2d | nn.Linear):
                seen.add(output.dtype)

        with nn.modules.module.register_module_forward_hook(look):
            model, _ = train(amp=True)
        assert seen == {dtype}  # in training and in validation
        assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
        torch.testing.assert_close(model.state_dict(), train()[0].state_dict(), rtol=0.1, atol=0.03)

    def test_small_gradients_survive_float16(self, monkeypatch):
        monkeypatch.setattr(training, "amp_dtype", lambda device: torch.float16)
        moved = {}
        for amp in (True, False):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
            before = model[1].weight.detach().clone()
            optimizer = SGD(model.parameters(), lr=1e5)

            def small_loss(logits, targets):
                return nn.functional.cross_entropy(logits.float(), targets) * 1e-6

            fit(model, *loaders(), optimizer, 1, amp=amp, loss_fn=small_loss)
            moved[amp] = (model[1].weight - before).abs().mean().item()
        assert moved[True] == pytest.approx(moved[False], rel=0.1)

    def test_the_precision_depends_on_the_hardware(self, monkeypatch):
        assert training.amp_dtype(torch.device("mps")) is None
        for fits, wanted in ((True, torch.bfloat16), (False, torch.float16)):
            monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda fits=fits, **_: fits)
            assert training.amp_dtype(torch.device("cuda")) == wanted
        for name, wanted in (("avx512_bf16", torch.bfloat16), ("avx2", None)):
            features = {name: True}
            monkeypatch.setattr(
                torch.cpu, "get_capabilities", lambda features=features: features, raising=False
            )
            assert training.amp_dtype(torch.device("cpu")) == wanted
