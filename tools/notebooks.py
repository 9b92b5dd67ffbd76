"""Run the notebooks of the course, and leave executed notebooks and readable HTML.

papermill sets the parameters, nbclient runs the cells. Everything about a run that outlives it is
kept in the executed notebook's metadata (`course.run`), so that the index page and the next run's
estimate of the time left need no file of their own.
"""

import ast
import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from course_utils.paths import display_path, output_folder, repository_root
from course_utils.progress import format_seconds

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CELL_TIMEOUT = 900  # seconds; no cell of the course comes near it, a hanging one ends
START_TIMEOUT = 300  # seconds; where many start at once, a kernel may need more than one minute


class RunError(ValueError):
    """What was asked for cannot be run; the message says why, in one sentence."""


@dataclass(frozen=True)
class Options:
    """How to run notebooks.

    Attributes:
        output: The folder for `executed/` and `html/`; `output_folder()` if None.
        tiny: Use the small parameters that the notebook's metadata gives for testing.
        parameters: Values by name, as they are typed on a command line.
        timeout: The longest time for a cell, in seconds.
        jobs: How many notebooks run at a time.
    """

    output: Path | None = None
    tiny: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    timeout: int = CELL_TIMEOUT
    jobs: int = 1


@dataclass(frozen=True)
class Result:
    """What became of one notebook.

    Attributes:
        name: The name of the file, without its suffix.
        ok: Whether every cell ran.
        seconds: How long it took.
        headline: Its main figure, as it printed it.
        error: The failing cell, its section and the error; empty if all went well.
        memory: The largest memory of its kernel in MiB, None where the system does not tell.
    """

    name: str
    ok: bool
    seconds: float
    headline: str = ""
    error: str = ""
    memory: int | None = None


# What a notebook says about itself


def tagged(nb: NotebookNode, tag: str) -> NotebookNode | None:
    """Give the first cell with a tag, or None."""
    cells = (cell for cell in nb.cells if tag in cell.metadata.get("tags", ()))
    return next(cells, None)


def title(nb: NotebookNode) -> str:
    """Give the text of the notebook's first heading."""
    headings = (line for cell in nb.cells for line in cell.source.splitlines()[:1])
    return next((line[2:].strip() for line in headings if line.startswith("# ")), "")


def sections(nb: NotebookNode) -> list[str]:
    """Give the heading of the section that each cell is in."""
    found, current = [], ""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                current = line[3:].strip() if line.startswith("## ") else current
        found.append(current)
    return found


def parameters(nb: NotebookNode) -> dict[str, Any]:
    """Give the names that the parameters cell sets, with their values where they are literals."""
    cell = tagged(nb, "parameters")
    found = {}
    for node in ast.parse(cell.source).body if cell else []:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = _literal(node.value)
    return found


def headline(nb: NotebookNode) -> str:
    """Give the last line that the cell tagged `headline` printed."""
    cell = tagged(nb, "headline")
    outputs = cell.outputs if cell else []
    printed = "".join(output.text for output in outputs if output.get("name") == "stdout")
    return printed.strip().splitlines()[-1] if printed.strip() else ""


def _literal(node: ast.expr | None) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return None


# What to run, and with which parameters


def find_notebooks(only: Sequence[str] = ()) -> list[Path]:
    """Find the notebooks of the course in their order.

    Args:
        only: The numbers or names of those wanted, for example "02"; none means all.

    Raises:
        RunError: There is no notebook, or none of a wanted name.
    """
    folder = (repository_root() or Path.cwd()) / "notebooks"
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise RunError(
            f"There are no notebooks in {display_path(folder)}; run this in the checkout."
        )
    for name in only:
        if not any(_is_called(path, name) for path in found):
            raise RunError(
                f"There is no notebook {name!r}; there are {_listed(p.stem for p in found)}."
            )
    return [path for path in found if not only or any(_is_called(path, name) for name in only)]


def prepare(path: Path, options: Options) -> NotebookNode:
    """Read a notebook and set its parameters.

    Raises:
        RunError: A parameter is unknown to the notebook.
    """
    from papermill.parameterize import parameterize_notebook

    nb = nbformat.read(path, as_version=4)
    known = parameters(nb)
    tiny = nb.metadata.get("course", {}).get("tiny", {}) if options.tiny else {}
    for name in (*tiny, *options.parameters):
        if name not in known:
            raise RunError(f"{path.stem} has no parameter {name!r}; it has {_listed(known)}.")
    typed = {name: _typed(text, known[name]) for name, text in options.parameters.items()}
    values = {**tiny, **typed}
    nb.metadata.setdefault("course", {})["run"] = {"parameters": values}
    if not values:
        return nb
    nb.metadata.setdefault("papermill", {})
    for cell in nb.cells:
        cell.metadata.setdefault("tags", [])  # papermill counts on it
    return parameterize_notebook(nb, values, kernel_name="python3", language="python")


def _is_called(path: Path, name: str) -> bool:
    name = Path(name).name.removesuffix(".ipynb")
    return path.stem == name or path.stem.split("_")[0] == name.zfill(2)


def _listed(names: object) -> str:
    return ", ".join(names) or "none"


def _typed(text: str, default: object) -> object:
    """Read what was typed as Python would, but keep it a text where the default is one."""
    if isinstance(default, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


# Running one notebook


def execute(
    nb: NotebookNode,
    cwd: Path,
    timeout: int = CELL_TIMEOUT,
    threads: int | None = None,
    watch: Callable[[Any, int], None] = lambda client, cell: None,
) -> None:
    """Run all cells of a notebook in a fresh kernel of this interpreter, and store the outputs.

    Args:
        nb: The notebook, which is changed.
        cwd: The working directory of the kernel.
        timeout: The longest time for a cell, in seconds.
        threads: How many threads the kernel computes with; None leaves it to the libraries.
        watch: Called with the client and the index of the cell before a cell starts and after
            it ran.
    """
    from nbclient import NotebookClient

    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if sys.platform == "win32":  # ZeroMQ cannot use the default event loop there
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = NotebookClient(
            nb,
            timeout=timeout,
            startup_timeout=START_TIMEOUT,
            kernel_manager_class=_kernel_manager(threads, Path(folder)),
            resources={"metadata": {"path": str(cwd)}},
            coalesce_streams=True,
            record_timing=False,
        )
        client.on_cell_execute = lambda cell, cell_index: watch(client, cell_index)
        client.on_cell_executed = lambda cell, cell_index, execute_reply: watch(client, cell_index)
        client.execute()


def _kernel_manager(threads: int | None, folder: Path) -> type:
    """Make a kernel manager that knows one kernel: this interpreter.

    Jupyter would search for a kernel called "python3" and may find that of another environment.

    It would also choose ports that are free and open them a second later: of 240 kernels, forty
    at a time, three found a port taken by then, and died. Sockets in a folder of their own
    cannot meet. Windows has none, and elsewhere their path must be short.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    environment = {"COURSE_PROGRESS": "off"}  # nobody watches the bars of this kernel
    if threads:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))

    class ThisInterpreter(AsyncKernelManager):
        # The log would warn that the kernel can be talked to, by this machine's own users.
        kernel_spec = KernelSpec(**get_kernel_dict(["--log-level=ERROR"]), env=environment)
        connection_file = str(folder / "kernel.json")
        transport = "ipc" if sys.platform != "win32" and len(str(folder)) < 80 else "tcp"

    return ThisInterpreter


class Run:
    """One notebook while it runs: where it is, and how long it will still take."""

    def __init__(self, path: Path, options: Options) -> None:
        """Read the notebook and what is known of its last run.

        Raises:
            RunError: A parameter is unknown to the notebook.
        """
        self.name = path.stem
        self.options = options
        self.nb = prepare(path, options)
        self.sections = sections(self.nb)
        self.code = [i for i, cell in enumerate(self.nb.cells) if cell.cell_type == "code"]
        root = options.output or output_folder()
        self.executed = root / "executed" / path.name
        self.html = root / "html" / f"{path.stem}.html"
        self.expected = self._expected_seconds()
        self.seconds = [0.0] * len(self.nb.cells)
        self.current = -1
        self.cell_start = 0.0
        self.memory: int | None = None
        self.finished = False
        self.stopped = threading.Event()
        self.client: Any = None

    def run(self) -> Result:
        """Run the notebook, write it and its HTML, and tell what became of it."""
        from nbclient.exceptions import CellExecutionError

        from tools.html import write_html

        start = time.monotonic()
        error = ""
        threads = max(1, _processors() // self.options.jobs) if self.options.jobs > 1 else None
        try:
            execute(self.nb, Path.cwd(), self.options.timeout, threads, self._watch)
        except CellExecutionError as caught:
            reason = f"{caught.ename}: {caught.evalue}".strip().splitlines()[0]
            error = f"{self.place()}: {reason}"
        except TimeoutError:
            error = f"{self.place()}: took longer than {self.options.timeout} seconds"
        except RuntimeError as caught:  # the kernel died, or did not start
            error = f"{self.place()}: {caught}"
        if self.stopped.is_set():
            raise KeyboardInterrupt
        seconds = time.monotonic() - start
        result = Result(self.name, not error, seconds, headline(self.nb), error, self.memory)
        self.finished = True
        self._store(result)
        write_html(self.nb, self.html)
        return result

    def place(self) -> str:
        """Say which cell is running, the way Jupyter numbers them, and in which section."""
        if self.current < 0:
            return "starting"
        number = self.code.index(self.current) + 1
        section = self.sections[self.current]
        return f"cell {number}/{len(self.code)}" + (f" ({section})" if section else "")

    def seconds_left(self) -> float:
        """Estimate how long the rest takes, before any correction for a slower machine."""
        if self.finished:
            return 0
        ahead = sum(self.expected[self.current + 1 :])
        if self.current < 0:
            return ahead
        return ahead + max(0, self.expected[self.current] - time.monotonic() + self.cell_start)

    def stop(self) -> None:
        """End the kernel at once; `run` then raises KeyboardInterrupt."""
        self.stopped.set()
        process = _process(self.client)
        if process:
            process.kill()

    def _watch(self, client: object, index: int) -> None:
        if self.stopped.is_set():
            raise RuntimeError("stopped")
        now = time.monotonic()
        if index == self.current:
            self.seconds[index] = now - self.cell_start
            self.memory = _peak_memory(client) or self.memory
        self.client, self.current, self.cell_start = client, index, now

    def _expected_seconds(self) -> list[float]:
        """Expect what the last such run took, else what the metadata says, else a second a cell."""
        course = self.nb.metadata.course
        count = len(self.nb.cells)
        if self.executed.is_file():
            last = (
                nbformat.read(self.executed, as_version=4).metadata.get("course", {}).get("run", {})
            )
            same = last.get("parameters") == course.run.parameters
            if same and last.get("ok") and len(last.get("cell_seconds", ())) == count:
                return last.cell_seconds
        whole = (
            len(self.code) if self.options.tiny else 60 * course.get("minutes", len(self.code) / 60)
        )
        return [whole / len(self.code) if i in self.code else 0.0 for i in range(count)]

    def _store(self, result: Result) -> None:
        course = self.nb.metadata.course
        course.run.update(
            ok=result.ok,
            seconds=round(result.seconds, 1),
            headline=result.headline,
            error=result.error,
            cell_seconds=[round(seconds, 2) for seconds in self.seconds],
        )
        self.executed.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(self.nb, self.executed)


def run_notebook(path: Path, options: Options | None = None) -> Result:
    """Run one notebook and write what `course_utils run` would write.

    Args:
        path: The notebook.
        options: How to run it.

    Raises:
        RunError: A parameter is unknown to the notebook.
    """
    return Run(Path(path), options or Options()).run()


def _processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _process(client: Any) -> Any:
    """Give the process of a client's kernel, or None."""
    provisioner = getattr(getattr(client, "km", None), "provisioner", None)
    return getattr(provisioner, "process", None)


def _peak_memory(client: Any) -> int | None:
    """Ask the system for the largest memory of a kernel so far, in MiB; only Linux tells."""
    process = _process(client)
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (AttributeError, OSError):
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), None)
    return int(line.split()[1]) // 1024 if line else None


# Running several notebooks


def run_all(paths: Sequence[Path], options: Options) -> list[Result]:
    """Run notebooks, show progress, and write the index of their HTML.

    A notebook that fails does not stop the others. Ctrl-C ends the running kernels.

    Returns:
        One result a notebook, in the order of the paths.

    Raises:
        RunError: A parameter is unknown to a notebook.
        KeyboardInterrupt: The user stopped it.
    """
    from tools.html import write_index

    runs = [Run(path, options) for path in paths]
    line = _Line(sys.stdout)
    with ThreadPoolExecutor(max(1, options.jobs)) as pool:
        futures = {pool.submit(_announced, run, line): run for run in runs}
        try:
            _follow(futures, line, options.jobs)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for run in runs:
                run.stop()
            raise
        finally:
            line.show("")
    write_index((options.output or output_folder()) / "executed", runs[0].html.parent)
    return [future.result() for future in futures]


def format_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Lay out rows of the same keys as a table for a terminal."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def summary(results: Sequence[Result]) -> str:
    """Lay out what became of the notebooks as a table for a terminal."""
    return format_table(
        [
            {
                "notebook": result.name,
                "result": "ok" if result.ok else "failed",
                "minutes": f"{result.seconds / 60:.1f}",
                "memory": f"{result.memory} MiB" if result.memory else "-",
                "headline": result.headline or "-",
            }
            for result in results
        ]
    )


def _announced(run: Run, line: "_Line") -> Result:
    line.say(f"{run.name}: started, {len(run.code)} code cells")
    result = run.run()
    outcome = "ok" if result.ok else f"failed at {result.error}"
    line.say(f"{run.name}: {outcome} ({format_seconds(result.seconds)})")
    return result


def _follow(futures: Mapping[Future, Run], line: "_Line", jobs: int) -> None:
    """Redraw the progress until all is done; an error that nobody expected goes up."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
        line.show(_progress(list(futures.values()), jobs))


def _progress(runs: Sequence[Run], jobs: int) -> str:
    running = [run for run in runs if run.client and not run.finished]
    places = "; ".join(f"{run.name.split('_')[0]} {run.place()}" for run in running)
    return f"{format_seconds(_seconds_left(runs, jobs))} left: {places}" if places else ""


def _seconds_left(runs: Sequence[Run], jobs: int) -> float:
    """Scale what is expected of the rest by how the cells that are done kept to it.

    What was expected counts as much as the whole of what is seen: the first cells of a notebook
    say little about those that train.
    """
    cells = [pair for run in runs for pair in zip(run.expected, run.seconds, strict=True)]
    prior = sum(expected for expected, _ in cells)
    spent = sum(took for _, took in cells)
    planned = sum(expected for expected, took in cells if took)
    speed = (spent + prior) / (planned + prior) if prior else 1
    unfinished = sum(not run.finished for run in runs)
    return speed * sum(run.seconds_left() for run in runs) / max(1, min(jobs, unfinished))


class _Line:
    """The last line of a terminal, drawn again and again; elsewhere it does not show."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.live = stream.isatty()
        self.text = ""
        self.lock = threading.Lock()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self.live:
            with self.lock:
                self._draw(text)

    def say(self, text: str) -> None:
        """Write something that stays, in place of the line, which comes back below it."""
        with self.lock:
            if self.live:
                self._draw("")
            self.stream.write(text + "\n")
            self.stream.flush()

    def _draw(self, text: str) -> None:
        text = text[: shutil.get_terminal_size().columns - 1]
        if text == self.text:
            return
        self.stream.write("\r" + text.ljust(len(self.text)) + "\r" * (not text))
        self.stream.flush()
        self.text = text
