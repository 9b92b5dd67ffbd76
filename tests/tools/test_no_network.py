"""Nothing opens a connection to another machine, and servers listen on this machine alone."""

import contextlib
import importlib
import json
import pkgutil
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

import course_exercises
import course_utils
import image_classifier
from course_utils.catalog import prepare_dataset
from course_utils.datasets import InMemoryDataset, make_loader
from course_utils.tensorboard import TensorBoardLogger
from course_utils.training import fit
from course_utils.transfer import build_backbone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def no_network(monkeypatch):
    """Make every attempt to connect to another machine an error."""

    def refuse(*arguments, **_):
        raise AssertionError(f"connects to the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_fixture_detects_a_connection(no_network):
    with pytest.raises(AssertionError, match=r"connects to the network: .*192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)


def test_data_weights_and_training_need_no_network(no_network, tmp_path):
    for package in (course_utils, course_exercises, image_classifier):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    assert (prepare_dataset("cutouts", tmp_path) / "train").is_dir()
    assert build_backbone()(torch.zeros(1, 3, 64, 64)).shape == (1, 1280)
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    data = InMemoryDataset(
        images, torch.tensor([0, 1, 0, 1]), ["a", "b"], transform=torch.Tensor.float
    )
    loader = make_loader(data, 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    logger = TensorBoardLogger(tmp_path / "logs", {"val": loader})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert len(fit(model, loader, loader, optimizer, 1, callbacks=[logger])) == 1


def test_no_command_opens_a_server_to_others():
    files = [ROOT / name for name in ("README.md", "TEACHING.md", "Makefile")]
    files += [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("course_utils/*.py")]
    files += [*ROOT.glob("image_classifier/*.py"), *ROOT.glob("tools/*.py")]
    texts = {path.name: path.read_text("utf-8") for path in files}
    opened = re.compile(r"--bind_all|0\.0\.0\.0|--ip[= ]\*|--host[= ](?!127\.0\.0\.1|localhost)")
    # 06 explains what this option does, and why not to use it.
    assert {name for name, text in texts.items() if opened.search(text)} <= {"06_tensorboard.ipynb"}
    nb = json.loads(texts["06_tensorboard.ipynb"])
    code = "".join("".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code")
    assert "%tensorboard" in code
    assert not opened.search(code)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("server", "options"),
    [
        ("tensorboard.main", ["--logdir", ".", "--port", "0"]),
        ("jupyter", ["lab", "--no-browser", "--allow-root", "--port", "0"]),
    ],
)
def test_servers_listen_on_this_machine_alone(server, options, tmp_path):
    command = [sys.executable, "-m", server, *options]
    process = psutil.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        addresses, deadline = set(), time.monotonic() + 120
        while not addresses and time.monotonic() < deadline:
            time.sleep(0.5)
            for member in [process, *process.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found = member.net_connections()
                    addresses |= {one.laddr.ip for one in found if one.status == "LISTEN"}
        assert addresses
        assert addresses <= {"127.0.0.1", "::1"}
    finally:
        process.terminate()
        process.wait(timeout=30)
