"""What every comparison shares: alternate runs, medians, ratios, and a table."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch

from course_utils.training import amp_dtype


@dataclass
class Row:
    """One contender of a comparison.

    Attributes:
        comparison: What was compared.
        contender: Who did it.
        value: The median of all runs.
        unit: Of the value.
        ratio: How many times as good as the first contender of the comparison.
        runs: All values.
        note: What else a reader should know.
    """

    comparison: str
    contender: str
    value: float | None
    unit: str
    ratio: float | None
    runs: list[float]
    note: str = ""


def alternate(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Let the contenders take turns, so that a slow minute of the machine hits them all.

    Every other round goes backwards: what one leaves behind, such as a full memory or a warm
    processor, does not always meet the same one.

    Args:
        contenders: Functions by name; each does the work once and gives what it measured.
        rounds: How many turns each has.

    Returns:
        All values by name.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name in list(contenders) if number % 2 else reversed(contenders):
            values[name].append(contenders[name]())
            print(f"    round {number}: {name}: {values[name][-1]:,.4g}", flush=True)
    return values


def seconds(work: Callable[[], object]) -> Callable[[], float]:
    """Turn a function into one that gives how many seconds it took."""

    def measure() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return measure


def rows(
    comparison: str,
    values: Mapping[str, list[float]],
    unit: str,
    notes: Mapping[str, str] | None = None,
) -> list[Row]:
    """Summarize a comparison; its first contender is the reference.

    Args:
        comparison: What was compared.
        values: All values by contender.
        unit: "s" and "MB" are better when small, everything else when large.
        notes: Remarks by contender.

    Returns:
        One row a contender.
    """
    medians = {name: statistics.median(runs) for name, runs in values.items()}
    first = next(iter(medians.values()))
    small_is_good = unit in ("s", "MB")
    return [
        Row(
            comparison,
            name,
            median,
            unit,
            first / median if small_is_good else median / first,
            values[name],
            (notes or {}).get(name, ""),
        )
        for name, median in medians.items()
    ]


def table(found: list[Row]) -> str:
    """Write the rows as a table for people."""
    frame = pd.DataFrame([asdict(row) for row in found]).drop(columns="runs")
    frame["value"] = frame.value.map(lambda value: f"{value:,.4g}")
    frame["ratio"] = frame.ratio.map(lambda ratio: f"{ratio:.2f}x")
    return frame.to_string(index=False, max_colwidth=90, justify="left")


def machine() -> dict[str, str | int | float]:
    """Describe the machine, for the head of every table."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":")[1].strip() if lines else name
    pages = {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= getattr(os, "sysconf_names", {}).keys()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if pages else 0.0
    return {
        "processor": name,
        "cores": os.cpu_count() or 0,
        "threads of torch": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "short numbers": str(amp_dtype(torch.device("cpu"))),
        "GiB of memory": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
