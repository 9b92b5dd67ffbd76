"""The course itself: how long its commands take, how much memory, and what an import costs."""

import argparse
import subprocess
import sys
import tempfile
import threading
import time

import psutil

from benchmarks.timing import Row, alternate, rows


def memory_of(process: psutil.Process) -> float:
    """Add up the memory of a process and all its children, in MB."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def watch(command: list[str]) -> tuple[float, float]:
    """Run a command; give its seconds and the most memory it had, in MB.

    Raises:
        RuntimeError: It failed; the message is the end of what it said.
    """
    said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
    seen = psutil.Process(process.pid)
    most = 0.0
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.2):
            try:
                most = max(most, memory_of(seen))
            except psutil.NoSuchProcess:
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    status = process.wait()
    done.set()
    watcher.join()
    seconds = time.perf_counter() - start
    with said:
        said.seek(0)
        if status:
            raise RuntimeError(said.read()[-2000:])
    return seconds, most


def compare(options: argparse.Namespace) -> list[Row]:
    """Time the start of the package, and each command once."""
    python = [sys.executable, "-c"]
    imports = {
        "import torch": "import torch",
        "import course_utils": "import course_utils",
        "import course_utils.training": "import course_utils.training",
        "import course_utils.transfer": "import course_utils.transfer",
    }
    values = alternate(
        {name: lambda code=code: watch([*python, code])[0] for name, code in imports.items()},
        options.rounds,
    )
    found = rows("start-up", values, "s")
    commands = {
        "make course": ["-m", "course_utils", "run"],
        "make test": ["-m", "pytest", "-n", "2", "--maxschedchunk", "1"],
    }
    for name, command in commands.items():
        try:
            taken, most = watch([sys.executable, *command])
        except RuntimeError as error:
            print(f"    left out: {name} failed:\n{error}")
            continue
        found += rows(f"{name}, time", {name: [taken]}, "s")
        found += rows(f"{name}, peak memory of all processes", {name: [most]}, "MB")
    return found
