"""The course itself: how long its commands take, how much memory, and what an import costs."""

import argparse
import subprocess
import sys
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
    """Run a command; give its seconds and the most memory it had, in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    if status:
        raise SystemExit(f"{' '.join(command)} failed.")
    return time.perf_counter() - start, most


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
        taken, most = watch([sys.executable, *command])
        found += rows(f"{name}, time", {name: [taken]}, "s")
        found += rows(f"{name}, peak memory of all processes", {name: [most]}, "MB")
    return found
