"""Benchmark of the course itself: import time, and the time and memory of its commands."""

import argparse
import contextlib
import sys
import tempfile
import time

import psutil

from benchmarks.timing import Row, alternate, rows

IMPORTS = ("torch", "course_utils", "course_utils.training", "course_utils.transfer")
COMMANDS = {
    "make course": ["-m", "tools", "run"],
    "make test": ["-m", "pytest", "-n", "2", "--maxschedchunk", "1"],
}


def memory_of(process: psutil.Process) -> float:
    """Sum the memory of a process and its children, in MB; 0 if the process has ended."""
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 1e6


def watch(*arguments: str) -> tuple[float, float]:
    """Run Python with these arguments.

    Returns:
        The seconds, and the peak memory of all its processes in MB.

    Raises:
        RuntimeError: The process failed; the message is the end of its output.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        start = time.perf_counter()
        process = psutil.Popen([sys.executable, *arguments], stdout=output, stderr=output)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, memory_of(process))
            with contextlib.suppress(psutil.TimeoutExpired):
                process.wait(0.2)
        seconds = time.perf_counter() - start
        output.seek(0)
        if process.returncode:
            raise RuntimeError(output.read()[-2000:])
    return seconds, peak


def compare(options: argparse.Namespace) -> list[Row]:
    """Time the imports, and each command once."""
    contenders = {
        f"import {name}": lambda name=name: watch("-c", f"import {name}")[0] for name in IMPORTS
    }
    found = rows("start-up", alternate(contenders, options.rounds), "s")
    for name, command in COMMANDS.items():
        try:
            seconds, peak = watch(*command)
        except RuntimeError as error:
            print(f"    skipped: {name} failed:\n{error}")
            continue
        found += rows(f"{name}, time", {name: [seconds]}, "s")
        found += rows(f"{name}, peak memory of all processes", {name: [peak]}, "MB")
    return found
