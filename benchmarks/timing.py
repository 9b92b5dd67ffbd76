"""Utilities of all comparisons: alternating runs, medians, ratios, and a table."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import psutil
import torch

from course_utils.training import amp_dtype

SMALLER_IS_BETTER = ("s", "MB")  # units


@dataclass
class Row:
    """One contender of a comparison.

    Attributes:
        value: The median of all runs.
        ratio: The improvement factor over the first contender of the comparison.
    """

    comparison: str
    contender: str
    value: float
    unit: str
    ratio: float
    runs: list[float]
    note: str = ""


def alternate(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Alternate between the contenders, so that a slow minute of the machine affects all of them.

    Every other round runs in reverse order, so that aftereffects of a contender, such as a hot
    processor, do not always affect the same one.

    Returns:
        All values by contender.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name in list(contenders) if number % 2 else reversed(contenders):
            values[name].append(contenders[name]())
            print(f"    round {number}: {name}: {values[name][-1]:,.4g}", flush=True)
    return values


def seconds(work: Callable[[], object]) -> float:
    """Call a function and return how many seconds it took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rows(
    comparison: str,
    values: Mapping[str, list[float]],
    unit: str,
    notes: Mapping[str, str] | None = None,
) -> list[Row]:
    """Summarize a comparison, one row per contender; the first one is the reference."""
    medians = {name: statistics.median(runs) for name, runs in values.items()}
    first = next(iter(medians.values()))
    return [
        Row(
            comparison,
            name,
            median,
            unit,
            first / median if unit in SMALLER_IS_BETTER else median / first,
            values[name],
            (notes or {}).get(name, ""),
        )
        for name, median in medians.items()
    ]


def table(found: list[Row]) -> str:
    """Format the rows as a table."""
    frame = pd.DataFrame([asdict(row) for row in found]).drop(columns="runs")
    frame["value"] = frame.value.map("{:,.4g}".format)
    frame["ratio"] = frame.ratio.map("{:.2f}x".format)
    return frame.to_string(index=False, max_colwidth=90, justify="left")


def machine() -> dict[str, str | float | None]:
    """Describe the machine on which the results were measured."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].split(":")[1].strip() if lines else name
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "threads of torch": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "reduced precision": str(amp_dtype(torch.device("cpu"))),
        "GiB of memory": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
