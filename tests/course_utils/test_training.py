"""`fit` against a loop written by hand, and what may happen to a run and its files."""

import copy
import os
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from course_utils import checkpoints, lr_finder, training
from course_utils.datasets import InMemoryDataset, make_loader
from course_utils.errors import TrainingError
from course_utils.training import Callback, evaluate, fit


def data(count=50, classes=3, seed=0):
    """Small images whose brightness depends on their class."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, classes, (count,), generator=generator)
    noise = torch.randint(0, 100, (count, 1, 4, 4), generator=generator)
    images = (noise + 50 * targets[:, None, None, None]).to(torch.uint8)
    names = [str(label) for label in range(classes)]
    return InMemoryDataset(images, targets, names, batch_transform=lambda x: x.float() / 255)


def loaders(batch_size=8):
    return make_loader(data(), batch_size, shuffle=True), make_loader(data(23, seed=1), batch_size)


def network(outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(16, outputs),
    )  # fmt: skip


class DrawsAndRemembers(Callback):
    """Draws from every random generator, as an augmentation might, and keeps a sum."""

    def __init__(self):
        self.total = 0.0

    def on_batch_end(self, run, loss):
        self.total += loss * random.random() * np.random.rand() * torch.rand(()).item()

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


def test_fit_is_the_loop_written_by_hand():
    train_loader, val_loader = loaders()
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(7)
    history = fit(model, train_loader, val_loader, optimizer, epochs=3)

    train_loader, val_loader = loaders()
    by_hand = network()
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
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
        with torch.no_grad():
            pairs = [(by_hand(images), targets) for images, targets in val_loader]
        loss_sum = sum(loss_fn(logits, targets).item() * len(targets) for logits, targets in pairs)
        assert history["val_loss"][epoch] == loss_sum / 23
    assert_same(model.state_dict(), by_hand.state_dict())


def assert_same(one, two):
    assert one.keys() == two.keys()
    for key in one:
        assert torch.equal(one[key], two[key]), key


def test_the_history():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    history = fit(model, *loaders(), optimizer, 3, scheduler=scheduler)
    frame = history.frame
    assert frame.columns.tolist() == list(training.COLUMNS)
    assert frame.epoch.tolist() == [1, 2, 3]
    assert frame.learning_rate.tolist() == [0.1, 0.05, 0.025]
    assert (frame.seconds > 0).all()
    assert len(history) == 3
    assert training.History().frame.empty


def test_it_learns():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    history = fit(model, *loaders(), optimizer, epochs=40)
    assert history["val_accuracy"][-1] > 0.9
    assert history["train_loss"][-1] < history["train_loss"][0] / 2


def test_averages_are_over_samples_not_over_batches():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    whole = evaluate(model, make_loader(data(23), 23))
    in_batches = evaluate(model, make_loader(data(23), 10))  # the last batch has three images
    assert in_batches == pytest.approx(whole, rel=1e-6)


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


@pytest.mark.parametrize("schedule_every", ["epoch", "batch"])
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_resuming_gives_the_same_weights_bit_for_bit(schedule_every, stop_after, tmp_path):
    def run(epochs, resume=False, checkpoint=None):
        model = network()
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=30)
        callback = DrawsAndRemembers()
        history = fit(
            model, *loaders(), optimizer, epochs, scheduler=scheduler, callbacks=[callback],
            schedule_every=schedule_every, checkpoint=checkpoint, resume=resume,
        )  # fmt: skip
        numbers = history.frame.drop(columns="seconds")
        return model.state_dict(), numbers, callback.total, torch.rand(1), random.random()

    training.seed_everything(3)
    uninterrupted = run(4)
    training.seed_everything(3)
    path = tmp_path / "run.pt"
    run(stop_after, checkpoint=path)
    training.seed_everything(99)  # another day, another process
    resumed = run(4, resume=True, checkpoint=path)
    assert_same(resumed[0], uninterrupted[0])
    assert resumed[1].equals(uninterrupted[1])
    assert resumed[2:] == uninterrupted[2:]


def test_a_plateau_of_the_validation_loss_lowers_the_rate(tmp_path):
    def run(epochs, path, resume=False):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        torch.manual_seed(1)
        options = {"scheduler": scheduler, "checkpoint": path, "resume": resume}
        return fit(model, *loaders(), optimizer, epochs, **options).frame

    frame = run(12, tmp_path / "whole.pt")
    rate, best, by_hand = 0.4, np.inf, []
    for loss in frame.val_loss:
        by_hand.append(rate)
        if loss >= best * (1 - 1e-4):  # torch's default threshold
            rate /= 2
        else:
            best = loss
    assert frame.learning_rate.tolist() == by_hand
    assert 0.4 > frame.learning_rate.iloc[-1] > 0

    run(7, tmp_path / "half.pt")
    resumed = run(12, tmp_path / "half.pt", resume=True)
    assert resumed.drop(columns="seconds").equals(frame.drop(columns="seconds"))


def test_resuming_a_finished_run_does_nothing(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, *loaders(), optimizer, 2, checkpoint=tmp_path / "run.pt")
    other = network()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    history = fit(other, *loaders(), optimizer, 2, checkpoint=tmp_path / "run.pt", resume=True)
    assert len(history) == 2
    assert_same(other.state_dict(), model.state_dict())


def test_resuming_without_a_file_starts_at_the_beginning(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, *loaders(), optimizer, 1, checkpoint=tmp_path / "run.pt", resume=True)
    assert len(history) == 1
    assert (tmp_path / "run.pt").is_file()


def test_a_loss_that_is_not_finite_stops_the_run():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e20)
    with pytest.raises(TrainingError, match=r"became (nan|inf) in epoch 1, batch \d.*of 1e\+20"):
        fit(model, *loaders(), optimizer, 3)


def test_the_complete_epochs_survive_an_error():
    class Spoil(Callback):
        def on_epoch_end(self, run):
            if len(run.history) == 2:
                nn.init.constant_(run.model[-1].weight, float("nan"))

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TrainingError, match="epoch 3, batch 1") as caught:
        fit(model, *loaders(), optimizer, 5, callbacks=[Spoil()])
    assert len(caught.value.history) == 2


def test_ctrl_c_keeps_the_complete_epochs(capsys):
    class Interrupt(Callback):
        ended = False

        def on_batch_end(self, run, loss):
            if len(run.history) == 2:
                raise KeyboardInterrupt

        def on_train_end(self, run):
            self.ended = True

    model, callback = network(), Interrupt()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, *loaders(), optimizer, 5, callbacks=[callback])
    assert len(history) == 2
    assert callback.ended
    assert "Stopped by you after 2 complete epochs" in capsys.readouterr().out


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

    model = network()
    fit(model, *loaders(25), torch.optim.SGD(model.parameters()), 9, callbacks=[Log()])
    epoch = ["batch", "batch"]
    assert calls == ["begin", *epoch, "epoch 1", *epoch, "epoch 2", "end"]


def test_one_logit_means_a_yes_or_no_question():
    logits, targets = torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([1, 0, 0])
    by_hand = -(np.log(1 / (1 + np.exp(-2))) + np.log(1 / (1 + np.exp(-1)))
                + np.log(1 - 1 / (1 + np.exp(-0.5)))) / 3  # fmt: skip
    assert training.default_loss(logits, targets).item() == pytest.approx(by_hand, rel=1e-6)
    assert training.count_correct(logits, targets) == 2

    model = network(outputs=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    pair = make_loader(data(60, classes=2), 10, shuffle=True), make_loader(data(30, 2, 1), 10)
    history = fit(model, *pair, optimizer, 15)
    assert history["val_accuracy"][-1] > 0.9


def test_mistakes_get_a_sentence():
    model = network()
    optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(ValueError, match="must be 'epoch' or 'batch', not 'step'"):
        fit(model, *loaders(), optimizer, 1, schedule_every="step")
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    with pytest.raises(ValueError, match="waits for the validation loss"):
        fit(model, *loaders(), optimizer, 1, scheduler=plateau, schedule_every="batch")
    nothing = make_loader(data(0), 8)
    with pytest.raises(TrainingError, match="training loader has no batch"):
        fit(model, nothing, loaders()[1], optimizer, 1)
    with pytest.raises(TrainingError, match="no batch to measure on"):
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


class TestFiles:
    def test_weights_go_there_and_back(self, tmp_path):
        model, other = network(), network()
        nn.init.zeros_(other[0].weight)
        checkpoints.save_atomically(model.state_dict(), tmp_path / "new" / "weights.pt")
        checkpoints.load_weights(other, tmp_path / "new" / "weights.pt")
        assert_same(other.state_dict(), model.state_dict())
        assert os.listdir(tmp_path / "new") == ["weights.pt"]

    def test_the_last_good_file_survives_a_full_disk(self, tmp_path, monkeypatch):
        path = tmp_path / "weights.pt"
        checkpoints.save_atomically({"a": torch.ones(3)}, path)
        before = path.read_bytes()

        def fail(state, file):
            file.write(b"half of it")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(torch, "save", fail)
        with pytest.raises(TrainingError, match="weights.pt could not be written: No space left"):
            checkpoints.save_atomically({"a": torch.zeros(3)}, path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["weights.pt"]

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full disk")
    def test_a_disk_that_is_really_full(self, tmp_path, monkeypatch):
        monkeypatch.setattr("builtins.open", lambda *_: io_to_full_disk())

        def io_to_full_disk():
            return os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")

        with pytest.raises(TrainingError, match="could not be written"):
            checkpoints.save_atomically({"a": torch.zeros(300_000)}, tmp_path / "weights.pt")

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(TrainingError, match="weights.pt could not be written"):
            checkpoints.save_atomically({}, tmp_path / "file" / "weights.pt")

    def test_missing_damaged_and_other_files(self, tmp_path):
        path = tmp_path / "weights.pt"
        with pytest.raises(TrainingError, match="no file"):
            checkpoints.load_weights(network(), path)
        checkpoints.save_atomically(network().state_dict(), path)
        path.write_bytes(path.read_bytes()[:900])
        with pytest.raises(TrainingError, match="weights.pt is damaged"):
            checkpoints.load_weights(network(), path)
        torch.save(torch.ones(3), path)
        with pytest.raises(TrainingError, match="no weights by name"):
            checkpoints.load_weights(network(), path)

    def test_a_hostile_pickle_is_not_run(self, tmp_path):
        class Hostile:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "hacked"),)

        path = tmp_path / "weights.pt"
        torch.save({"model": Hostile()}, path)
        with pytest.raises(TrainingError, match="was not loaded"):
            checkpoints.load_weights(network(), path)
        path.write_bytes(pickle.dumps(Hostile(), protocol=2))
        with pytest.raises(TrainingError, match="was not loaded"):
            checkpoints.load_weights(network(), path)
        assert not (tmp_path / "hacked").exists()

    def test_weights_of_another_network_change_nothing(self, tmp_path):
        path = tmp_path / "weights.pt"
        checkpoints.save_atomically(network(outputs=5).state_dict(), path)
        model = network()
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(
            TrainingError, match=r"5\.weight is \(5, 16\) in the file and \(3, 16\)"
        ):
            checkpoints.load_weights(model, path)
        assert_same(model.state_dict(), before)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"outputs": 5}, "does not fit this network"),
            ({"scheduler": None}, "has a scheduler"),
            ({"callbacks": []}, "written with 1 callbacks"),
            ({"one_group": False}, "another optimizer"),
        ],
    )
    def test_a_checkpoint_of_another_run_changes_nothing(self, change, message, tmp_path):
        path = tmp_path / "run.pt"

        def run(epochs, outputs=3, one_group=True, **options):
            model = network(outputs)
            groups = [{"params": layer.parameters()} for layer in model]
            optimizer = torch.optim.Adam(model.parameters() if one_group else groups)
            options.setdefault("scheduler", torch.optim.lr_scheduler.StepLR(optimizer, 1))
            options.setdefault("callbacks", [DrawsAndRemembers()])
            before = copy.deepcopy(model.state_dict())
            try:
                fit(model, *loaders(), optimizer, epochs, checkpoint=path, resume=True, **options)
            finally:
                self.changed = any(
                    not torch.equal(value, before[key]) for key, value in model.state_dict().items()
                )

        run(1)
        content = path.read_bytes()
        with pytest.raises(TrainingError, match=message):
            run(2, **change)
        assert not self.changed
        assert path.read_bytes() == content

    def test_plain_weights_are_no_run(self, tmp_path):
        path = tmp_path / "weights.pt"
        checkpoints.save_atomically(network().state_dict(), path)
        model = network()
        with pytest.raises(TrainingError, match="holds weights only"):
            fit(
                model,
                *loaders(),
                torch.optim.SGD(model.parameters()),
                2,
                checkpoint=path,
                resume=True,
            )


class FakeValidation(training.Callback):
    """Overwrites what the validation set said, so that a test decides when progress ends."""

    def __init__(self, column, values):
        self.column, self.values, self.weights = column, values, []

    def on_epoch_end(self, run):
        run.history.rows[-1][self.column] = self.values[len(run.history) - 1]
        self.weights.append(copy.deepcopy(run.model.state_dict()))


class TestEarlyStopping:
    def stop(self, column, values, **options):
        model = network()
        fake = FakeValidation(column, values)
        stopping = training.EarlyStopping(monitor=column, **options)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        history = fit(model, *loaders(), optimizer, len(values), callbacks=[fake, stopping])
        return model, fake, stopping, len(history)

    @pytest.mark.parametrize(
        ("column", "values", "options", "best_epoch", "epochs"),
        [
            ("val_loss", [3.0, 1.0, 2.0, 2.0, 0.5], {"patience": 2}, 2, 4),
            ("val_loss", [3.0, 1.0, 2.0, 2.0, 0.5], {"patience": 3}, 5, 5),
            ("val_accuracy", [0.1, 0.5, 0.4, 0.5, 0.9], {"patience": 2}, 2, 4),
            ("val_loss", [3.0, 2.9, 2.8, 2.7], {"patience": 2, "min_delta": 0.5}, 1, 3),
            ("val_loss", [2.0, float("nan"), float("nan"), 1.0], {"patience": 2}, 1, 3),
        ],
    )
    def test_it_stops_and_gives_the_best_weights_back(
        self, column, values, options, best_epoch, epochs
    ):
        model, fake, stopping, ran = self.stop(column, values, **options)
        assert (stopping.best_epoch, ran) == (best_epoch, epochs)
        assert stopping.best == values[best_epoch - 1]
        assert_same(model.state_dict(), fake.weights[best_epoch - 1])

    def test_a_resumed_run_stops_where_the_whole_one_does(self, tmp_path):
        values = [3.0, 1.0, 2.0, 2.0, 2.0, 0.5]

        def run(epochs, **options):
            model = network()
            callbacks = [FakeValidation("val_loss", values), training.EarlyStopping(patience=3)]
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
            fit(model, *loaders(), optimizer, epochs, callbacks=callbacks, **options)
            return model, callbacks[1]

        whole, expected = run(6)
        run(3, checkpoint=tmp_path / "run.pt")
        resumed, stopping = run(6, checkpoint=tmp_path / "run.pt", resume=True)
        assert (stopping.best, stopping.best_epoch) == (expected.best, expected.best_epoch)
        assert_same(resumed.state_dict(), whole.state_dict())

    def test_a_second_training_starts_anew(self):
        stopping = training.EarlyStopping(patience=5)
        for _ in range(2):
            model = network()
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            history = fit(model, *loaders(), optimizer, 2, callbacks=[stopping])
            assert stopping.best == min(history["val_loss"])

    def test_what_is_monitored_must_exist(self):
        with pytest.raises(ValueError, match="val_loss"):
            training.EarlyStopping(monitor="loss")


class TestRangeTest:
    def test_rates_grow_and_everything_is_as_before(self):
        model = network().eval()
        train_loader, _ = loaders()
        groups = [{"params": list(model[:3].parameters()), "lr": 0.01}]
        groups += [{"params": list(model[3:].parameters()), "lr": 0.1}]
        optimizer = torch.optim.SGD(groups, momentum=0.9)
        before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        order = next(iter(train_loader))[1]
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

    def test_it_ends_when_the_loss_explodes(self):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        test = lr_finder.learning_rate_range_test(
            model, loaders()[0], optimizer, 1e-3, 1e6, steps=60
        )
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
        with pytest.raises(ValueError, match="2 steps are too few"):
            lr_finder.suggest_learning_rate(test.iloc[:2])

    def test_an_empty_loader_gets_a_sentence(self):
        model = network()
        empty = make_loader(data(0), 4)
        with pytest.raises(TrainingError, match="no batch"):
            lr_finder.learning_rate_range_test(
                model, empty, torch.optim.SGD(model.parameters(), lr=0.1)
            )


class TestShortNumbers:
    """`amp=True`, on this machine or as it would be on another one."""

    def train(self, epochs=2, **options):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        return model, fit(model, *loaders(), optimizer, epochs, amp=True, **options)

    def test_where_float32_is_fastest_nothing_changes(self, monkeypatch):
        monkeypatch.setattr(training, "amp_dtype", lambda device: None)
        model, history = self.train()
        plain = network()
        fit(plain, *loaders(), torch.optim.SGD(plain.parameters(), lr=0.05), 2)
        assert_same(model.state_dict(), plain.state_dict())

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_layers_compute_with_short_numbers_and_weights_stay_long(self, dtype, monkeypatch):
        monkeypatch.setattr(training, "amp_dtype", lambda device: dtype)
        seen = set()

        def look(module, inputs, output):
            if isinstance(module, nn.Conv2d | nn.Linear):
                seen.add(output.dtype)

        with nn.modules.module.register_module_forward_hook(look):
            model, history = self.train()
        assert seen == {dtype}  # in training and in validation
        assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
        plain = network()
        fit(plain, *loaders(), torch.optim.SGD(plain.parameters(), lr=0.05), 2)
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(weight, plain.state_dict()[name], rtol=0.1, atol=0.03)

    def test_tiny_gradients_survive_float16(self, monkeypatch):
        monkeypatch.setattr(training, "amp_dtype", lambda device: torch.float16)
        moved = {}
        for amp in (True, False):
            torch.manual_seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
            before = model[1].weight.detach().clone()
            optimizer = torch.optim.SGD(model.parameters(), lr=1e5)

            def tiny_loss(logits, targets):
                return nn.functional.cross_entropy(logits.float(), targets) * 1e-6

            fit(model, *loaders(), optimizer, 1, amp=amp, loss_fn=tiny_loss)
            moved[amp] = (model[1].weight - before).abs().mean().item()
        assert moved[True] == pytest.approx(moved[False], rel=0.1)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_resuming_gives_the_same_bits(self, dtype, monkeypatch, tmp_path):
        monkeypatch.setattr(training, "amp_dtype", lambda device: dtype)
        whole, _ = self.train(3)
        path = tmp_path / "run.pt"
        self.train(2, checkpoint=path)
        assert bool(torch.load(path, weights_only=True)["scaler"]) == (dtype == torch.float16)
        resumed, history = self.train(3, checkpoint=path, resume=True)
        assert len(history) == 3
        assert_same(whole.state_dict(), resumed.state_dict())

    def test_what_a_device_is_built_for(self, monkeypatch):
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
