"""A run that is killed, stopped or runs out of disk space can be resumed exactly."""

import multiprocessing
import os
import random
import signal
import sys
import time

import interruptible
import pytest
import torch
from interruptible import EPOCHS
from tiny_training import assert_same, loaders, network

from course_utils import checkpoints
from course_utils.errors import TrainingError
from course_utils.training import Callback, fit

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
# A fork server imports torch once for all processes.
CONTEXT = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
CONTEXT.set_forkserver_preload(["torch", "torchvision.transforms.v2", "pandas"])


def start(folder, *more):
    """Start a run and wait until it trains; return the process and what receives its messages."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=interruptible.main, args=(folder, sender, *more), daemon=True)
    process.start()
    sender.close()
    assert receiver.recv() == "started"
    return process, receiver


def finish(process, folder):
    """Wait for its end and return its result."""
    process.join(timeout=300)
    assert process.exitcode == 0
    return torch.load(folder / "result.pt", weights_only=True)


def run(folder):
    """Run to the end, from the checkpoint if there is one."""
    process, _receiver = start(folder)
    return finish(process, folder)


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """The result of an uninterrupted run, and its duration in seconds."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    process, _receiver = start(folder)
    begin = time.perf_counter()
    result = finish(process, folder)
    assert len(result["history"]) == EPOCHS
    return result, time.perf_counter() - begin


def assert_equal(one, two):
    """Compare two results to the last bit."""
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_equal(one[key], two[key])
    elif isinstance(one, list):
        assert len(one) == len(two)
        for a, b in zip(one, two, strict=True):
            assert_equal(a, b)
    else:
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


@needs_signals
@pytest.mark.parametrize(
    "moment",
    ["half", *(pytest.param(name, marks=pytest.mark.thorough) for name in ("flushed", "renamed"))],
)
def test_killed_while_writing_it_resumes_from_the_last_complete_file(
    moment, uninterrupted, tmp_path
):
    process, _receiver = start(tmp_path, moment, 4)
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL
    assert len(torch.load(tmp_path / "run.pt", weights_only=True)["history"]) == 3
    assert_equal(run(tmp_path), uninterrupted[0])
    assert {path.name for path in tmp_path.iterdir()} == {"run.pt", "result.pt"}


@pytest.mark.thorough
def test_killed_at_random_moments_it_ends_with_the_same_result(uninterrupted, tmp_path):
    result, seconds = uninterrupted
    checkpoint, complete = tmp_path / "run.pt", []
    for seed in range(20):
        process, receiver = start(tmp_path)
        if seed % 3 == 0:  # the second message shows that the first epoch's file is complete
            assert receiver.recv() < receiver.recv()
        time.sleep(random.Random(seed).uniform(0, seconds / EPOCHS))
        process.kill()
        process.join()
        state = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
        complete.append(len(state["history"]) if state else 0)
        if complete[-1] > EPOCHS - 3:
            break
    assert complete == sorted(complete)  # no epoch is lost again
    assert len(set(complete)) > 3  # it was killed in different epochs
    assert_equal(run(tmp_path), result)


@needs_signals
def test_ctrl_c_leaves_a_network_that_works_and_a_run_to_resume(uninterrupted, tmp_path):
    process, receiver = start(tmp_path)
    assert receiver.recv() == 1
    os.kill(process.pid, signal.SIGINT)
    stopped = finish(process, tmp_path)
    assert 1 <= len(stopped["history"]) < EPOCHS
    assert all(tensor.isfinite().all() for tensor in stopped["weights"].values())
    assert_equal(run(tmp_path), uninterrupted[0])


@needs_signals
def test_ctrl_c_while_writing_leaves_a_complete_file(tmp_path):
    path, state = tmp_path / "run.pt", {str(i): torch.randn(1000) for i in range(60)}
    begin = time.perf_counter()
    checkpoints.save_atomically(state, path)
    seconds = time.perf_counter() - begin
    draw, stopped = random.Random(0), 0
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for _ in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-5, seconds))
                checkpoints.save_atomically(state, path)
                time.sleep(seconds)
            except KeyboardInterrupt:
                stopped += 1
            assert torch.load(path, weights_only=True).keys() == state.keys()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert stopped > 30
    assert list(tmp_path.iterdir()) == [path]


@needs_signals
def test_a_disk_that_fills_up_ends_the_run_and_leaves_the_last_good_file(tmp_path):
    import resource

    class FillsUp(Callback):
        def on_epoch_end(self, run):
            if len(run.history) == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited))

    before, unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    model, path = network(), tmp_path / "run.pt"
    optimizer = torch.optim.Adam(model.parameters())
    try:
        with pytest.raises(
            TrainingError, match=r"run.pt could not be written: File too large\."
        ) as caught:
            fit(model, *loaders(), optimizer, 5, callbacks=[FillsUp()], checkpoint=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, unlimited))
        signal.signal(signal.SIGXFSZ, handler)
    assert len(caught.value.history) == 3
    assert list(tmp_path.iterdir()) == [path]
    assert len(torch.load(path, weights_only=True)["history"]) == 2
    again = network()
    optimizer = torch.optim.Adam(again.parameters())
    fit(again, *loaders(), optimizer, 3, checkpoint=path, resume=True)
    assert_same(again.state_dict(), model.state_dict())
