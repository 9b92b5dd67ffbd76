"""Nothing phones home, and servers listen on this machine alone."""

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
from test_training import loaders, network

import course_utils
from course_utils.catalog import prepare_dataset
from course_utils.tensorboard import TensorBoardLogger
from course_utils.training import fit
from course_utils.transfer import build_backbone

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def alone(monkeypatch):
    """A machine whose every attempt to reach another one is an error."""

    def refuse(*arguments, **_):
        raise AssertionError(f"reached for the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_fixture_would_notice(alone):
    with pytest.raises(AssertionError, match=r"reached for the network: .*192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)


def test_data_weights_and_training_need_no_network(alone, tmp_path):
    for module in pkgutil.walk_packages(course_utils.__path__, "course_utils."):
        if not module.name.endswith(("__main__", "grade_worker")):
            importlib.import_module(module.name)
    assert (prepare_dataset("cutouts", tmp_path) / "train").is_dir()
    assert build_backbone()(torch.zeros(1, 3, 64, 64)).shape == (1, 1280)
    model = network()
    train_loader, val_loader = loaders()
    logger = TensorBoardLogger(tmp_path / "logs", {"val": val_loader})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert len(fit(model, train_loader, val_loader, optimizer, 1, callbacks=[logger])) == 1


def test_no_command_opens_a_server_to_others():
    files = [ROOT / name for name in ("README.md", "TEACHING.md", "Makefile")]
    files += [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "course_utils").rglob("*.py")]
    texts = {path.name: path.read_text("utf-8") for path in files}
    opened = re.compile(r"--bind_all|0\.0\.0\.0|--ip[= ]\*|--host[= ](?!127\.0\.0\.1|localhost)")
    # 06 explains what this option does, and why not to use it.
    found = {name: opened.findall(text) for name, text in texts.items() if opened.search(text)}
    assert set(found) <= {"06_tensorboard.ipynb"}
    nb = json.loads(texts["06_tensorboard.ipynb"])
    code = "".join("".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code")
    assert "%tensorboard" in code
    assert not opened.search(code)


@pytest.mark.thorough
@pytest.mark.parametrize("server", ["tensorboard.main", "jupyter"])
def test_servers_listen_on_this_machine_alone(server, tmp_path):
    options = {
        "tensorboard.main": ["--logdir", str(tmp_path), "--port", "0"],
        "jupyter": ["lab", "--no-browser", "--allow-root", "--port", "0"],
    }
    command = [sys.executable, "-m", server, *options[server]]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        addresses, deadline = [], time.monotonic() + 120
        while not addresses and time.monotonic() < deadline:
            time.sleep(0.5)
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
            listening = [c for p in family for c in p.net_connections() if c.status == "LISTEN"]
            addresses = [connection.laddr.ip for connection in listening]
        assert addresses
        assert set(addresses) <= {"127.0.0.1", "::1"}
    finally:
        process.terminate()
        process.wait(timeout=30)
