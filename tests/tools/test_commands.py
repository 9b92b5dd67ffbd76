"""Every command that the README and the guides tell people to type does its work."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from copies import ROOT, copy_course
from test_readme import commands

from tools.notebooks import THREAD_VARIABLES

PHOTOS = Path(__file__).parents[1] / "fixtures" / "photos"
LEFT_OUT = {
    ".venv/bin/python -m pip install -r requirements.txt": "whoever runs this test has done it",
    'python -m pip install --no-index --find-links ../packages "course-utils[course]"': "gigabytes",
    "python -m pip wheel -r requirements.txt -w ../packages": "gigabytes",
    "conda env create -f environment.yml": "conda is not everywhere",
    "conda activate image-course": "conda is not everywhere",
    "make site": "test_site.py does",
    "python tools/build_site.py": "test_site.py does",
    "make bench": "it takes half an hour; test_benchmarks.py has its parts",
    "make test": "this is one of the tests",
    "make test-long": "this is one of the tests",
    ".venv/bin/python -m pytest -n 2 --maxschedchunk 1": "this is one of the tests",
    'make notebooks ARGS="08"': "it is `make notebooks` for another notebook",
    "make course PYTHON=python3.12": "another Python is not everywhere",
    "python -m benchmarks": "it takes half an hour; test_benchmarks.py has its parts",
}
# What would take long is asked for a small part of its work.
SHORTER = {
    "make course": "--only 01 --tiny",
    'make course ARGS="--only 02"': "--tiny",
    "make notebooks": "01",
    ".venv/bin/python -m course_utils run": "--only 01 --tiny",
    "python -m course_utils run": "--only 01 --tiny",
    "python -m course_utils run --only 02": "--tiny",
    "python -m course_utils run --only 02 -p epochs 3": "--tiny",
    "python -m course_utils run --tiny --jobs 2": "--only 01 06",
    "python -m pytest --nbval --nbval-current-env notebooks": "-k 01_data",
    "python -m tensorboard.main --logdir build/06/logs --samples_per_plugin images=200": "--port 0",
    "python tools/execute_notebooks.py": "01",
}
SERVERS = ("jupyter lab", "make lab", "tensorboard.main", "course_utils app")
# What needs something that another command makes comes after it.
LATE = ("evaluate", "predict", "export", "app", "tensorboard", "--nbval", "publish", "clean")

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(os.name == "nt", reason="the pages have other commands for Windows"),
]


def to_run():
    """The commands for this system, in an order in which they work."""
    here = [line for line in commands() if "\\" not in line and not line.startswith("py ")]
    return sorted(
        [line for line in here if line not in LEFT_OUT],
        key=lambda line: next((n for n, word in enumerate(LATE) if word in line), -1),
    )


@pytest.fixture
def checkout(tmp_path):
    """A copy of the course with its environment, and with what the pages take for granted."""
    folder = copy_course(tmp_path / "course")
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(PHOTOS, folder / "path/to/photos")
    shutil.copytree(PHOTOS, folder / "path/to/other/photos")
    one, two = sorted(PHOTOS.rglob("*.jpg"))[:2]
    shutil.copy(one, folder / "one.jpg")
    shutil.copy(two, folder / "two.jpg")
    (folder / "FOLDER").mkdir()
    shutil.copy(ROOT / "notebooks" / "01_data_exploration.ipynb", folder / "FOLDER" / "ada.ipynb")
    settings = "c.ServerApp.allow_root = True\nc.ServerApp.open_browser = False\n"
    (tmp_path / "jupyter").mkdir()
    (tmp_path / "jupyter" / "jupyter_server_config.py").write_text(settings)
    return folder


@pytest.fixture
def environment(checkout):
    """The variables of somebody who has just activated the environment."""
    left_out = ("COURSE_OUTPUT", "PYTHONPATH", "MAKEFLAGS", "PYTEST_XDIST_WORKER")
    variables = {key: value for key, value in os.environ.items() if key not in left_out}
    return (
        variables
        | dict.fromkeys(THREAD_VARIABLES, "1")
        | {
            "PYTHONPATH": str(checkout),  # scripts, too, must use the copy and not this checkout
            "PATH": os.pathsep.join([str(checkout / ".venv" / "bin"), os.environ["PATH"]]),
            "JUPYTER_CONFIG_DIR": str(checkout.parent / "jupyter"),
            "PIP_NO_INDEX": "1",  # a wheel is made without a network
            "PIP_NO_BUILD_ISOLATION": "0",
        }
    )


def shortened(line):
    """The command with what keeps it short, ready for a shell."""
    extra = SHORTER.get(line, "")
    if not line.startswith("make "):
        return f"{line} {extra}"
    if extra and "ARGS=" in line:
        line, extra = line.rstrip('"') + f' {extra}"', ""
    # The environment is there: make must not install into it from this copy.
    line = line.replace("make ", "make -o .venv/.ready ", 1)
    return f'{line} ARGS="{extra}"' if extra else line


def finish(line, folder, variables, log):
    """Run a command to its end; give its status."""
    with open(log, "w") as out:
        options = {"cwd": folder, "env": variables, "stdout": out, "stderr": out}
        return subprocess.run(shortened(line), shell=True, timeout=900, **options).returncode


def serve(line, folder, variables, log):
    """Start a server, open the page that it names, and stop it; 0 if the page was there."""
    with open(log, "w") as out:
        options = {"cwd": folder, "env": variables, "stdout": out, "stderr": out}
        server = subprocess.Popen(shortened(line), shell=True, start_new_session=True, **options)
    try:
        deadline = time.monotonic() + 90
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(1)
            if found := re.search(r"http://(?:localhost|127\.0\.0\.1)[^\s'\"]+", log.read_text()):
                return 0 if urllib.request.urlopen(found[0], timeout=30).status == 200 else 1
        return 1
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)


def test_every_command_works(checkout, environment):
    failed = {}
    mine = {path: path.stat().st_mtime_ns for path in (ROOT / "notebooks").iterdir()}
    for number, line in enumerate(to_run()):
        log = checkout.parent / f"{number}.log"
        act = serve if any(word in line for word in SERVERS) else finish
        start = time.monotonic()
        status = act(line, checkout, environment, log)
        print(f"{time.monotonic() - start:5.0f} s  {status}  {line}", flush=True)
        if status != 0:
            failed[line] = log.read_text()[-2000:]
    assert failed == {}
    assert mine == {path: path.stat().st_mtime_ns for path in (ROOT / "notebooks").iterdir()}


def test_no_command_is_listed_here_in_vain():
    assert set(LEFT_OUT) | set(SHORTER) <= set(commands())
