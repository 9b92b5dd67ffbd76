"""Run notebooks with nbclient, in parallel, in kernels of this interpreter."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from joblib import cpu_count
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from tqdm import tqdm

from course_utils.errors import CourseError
from tools.notebooks import headline, kernel_environment, sections
from tools.pages import write_index, write_notebook

CELL_TIMEOUT = 900  # seconds
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
LASTING_METADATA = ("tags", "slideshow", "jupyter", "cellView")
FOLDED = {"setup", "parameters", "imports"}
# For JupyterLab and Colab; the website uses the tag hide-input.
FOLDING = {"jupyter": {"source_hidden": True}, "cellView": "form"}


class Kernel(AsyncKernelManager):
    """A kernel of this interpreter: the kernel named "python3" may belong to another one."""

    # ipykernel warns in every kernel that local connections are not encrypted.
    kernel_spec = KernelSpec(**get_kernel_dict(["--log-level=ERROR"]))


class Run:
    """A notebook and the result of its run.

    Attributes:
        path: The notebook's file.
        nb: The notebook; its outputs are replaced while it runs.
        error: The failing cell, its section and the error; empty if every cell ran.
        seconds: The duration of the run.
    """

    def __init__(self, path: Path, nb: NotebookNode, timeout: int = CELL_TIMEOUT) -> None:
        """Prepare a run; `timeout` is the time limit per cell in seconds."""
        self.path, self.nb, self.timeout = path, nb, timeout
        self.error, self.seconds, self.stopped = "", 0.0, False
        self.code = [i for i, cell in enumerate(nb.cells) if cell.cell_type == "code"]
        self.place = "start of the kernel"
        self.client = NotebookClient(
            nb,
            timeout=timeout,
            startup_timeout=300,
            kernel_manager_class=Kernel,
            coalesce_streams=True,
            record_timing=False,
        )

    def execute(self, environment: dict[str, str], bar: tqdm) -> None:
        """Run the cells until one fails."""
        for i in self.code:
            self.nb.cells[i].outputs, self.nb.cells[i].execution_count = [], None
        self.client.on_cell_execute = lambda cell, cell_index: self._enter(cell_index, bar)
        start = time.monotonic()
        try:
            self.client.execute(cwd=str(Path.cwd()), env=environment)
        except CellExecutionError as error:
            reason = f"{error.ename}: {error.evalue}".strip().splitlines()[0]
            self.error = f"{self.place}: {reason}"
        except TimeoutError:
            self.error = f"{self.place}: took longer than {self.timeout} seconds"
        except RuntimeError as error:  # the kernel died, or did not start
            self.error = f"{self.place}: {error}"
        self.seconds = time.monotonic() - start

    def stop(self) -> None:
        """Kill the kernel if it is running."""
        self.stopped = True
        if self.client.km and self.client.km.has_kernel:
            self.client.km.provisioner.process.kill()

    def _enter(self, index: int, bar: tqdm) -> None:
        if index not in self.code:
            return
        number, section = self.code.index(index) + 1, sections(self.nb)[index]
        self.place = f"cell {number}/{len(self.code)}" + (f" ({section})" if section else "")
        bar.set_description(f"{self.path.stem} {self.place}", refresh=False)
        bar.update()


def run_all(runs: Sequence[Run], finish: Callable[[Run], None], jobs: int = 1) -> None:
    """Run notebooks; a failure does not stop the others, Ctrl-C stops all.

    Args:
        runs: The notebooks.
        finish: Called after each run that was not stopped.
        jobs: Number of notebooks run in parallel; they share the cores.
    """
    if sys.platform == "win32":  # ZeroMQ does not support the default event loop
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    jobs = max(1, min(jobs, len(runs)))
    environment = kernel_environment(max(1, cpu_count() // jobs) if jobs > 1 else None)
    total = sum(len(run.code) for run in runs)
    bar = tqdm(total=total, unit="cell", leave=False, disable=None)  # shown on terminals only

    def execute(run: Run) -> None:
        run.execute(environment, bar)
        if run.stopped:
            return
        finish(run)
        outcome = f"failed at {run.error}" if run.error else "ok"
        tqdm.write(f"{run.path.stem}: {outcome} ({run.seconds:.0f} s)")
        sys.stdout.flush()

    with bar, ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(execute, run) for run in runs]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            _stop(runs, futures)
            raise


def run_or_raise(runs: Sequence[Run]) -> None:
    """Run notebooks whose results are needed afterwards.

    Raises:
        CourseError: A notebook fails.
    """
    run_all(runs, lambda run: None)
    for run in runs:
        if run.error:
            raise CourseError(f"Notebook {run.path.stem[:2]} failed at {run.error}.")


def _stop(runs: Sequence[Run], futures: Sequence[Future]) -> None:
    for future in futures:
        future.cancel()
    while wait(futures, timeout=0.2).not_done:  # a kernel may be about to start
        for run in runs:
            run.stop()


def run_notebooks(runs: Sequence[Run], output: Path, jobs: int = 1) -> None:
    """Run notebooks; write `executed/` and `html/` with an index in the output folder."""
    executed, html = output / "executed", output / "html"
    for folder in (executed, html):
        folder.mkdir(parents=True, exist_ok=True)

    def finish(run: Run) -> None:
        facts = {"seconds": round(run.seconds, 1), "error": run.error}
        run.nb.metadata.setdefault("course", {})["run"] = facts
        nbformat.write(run.nb, executed / run.path.name)
        write_notebook(run.nb, html / f"{run.path.stem}.html")

    run_all(runs, finish, jobs)
    write_index(executed, html)


def execute_in_place(runs: Sequence[Run]) -> None:
    """Run notebooks and store their outputs in them; a notebook that fails is not changed."""

    def finish(run: Run) -> None:
        if not run.error:
            strip(run.nb)
            nbformat.validate(run.nb)
            nbformat.write(run.nb, run.path)

    run_all(runs, finish)


def strip(nb: NotebookNode) -> None:
    """Remove metadata that varies between runs or machines; fold cells."""
    course, language = nb.metadata.get("course", {}), nb.metadata.language_info
    for key in ("version", "codemirror_mode", "nbconvert_exporter"):
        language.pop(key, None)
    nb.metadata = NotebookNode(course=course, kernelspec=KERNEL, language_info=language)
    for cell in nb.cells:
        kept = {key: cell.metadata[key] for key in LASTING_METADATA if key in cell.metadata}
        cell.metadata = NotebookNode(kept)
        tags = set(kept.get("tags", ()))
        if tags & FOLDED:
            cell.metadata.update(FOLDING, tags=sorted(tags | {"hide-input"}))


def table(runs: Sequence[Run]) -> str:
    """Format the results of the runs as a table."""
    width = max(len(run.path.stem) for run in runs)
    return "\n".join(
        f"{run.path.stem:{width}}  {'failed' if run.error else 'ok':6}  {run.seconds:5.0f} s  "
        f"{run.error or headline(run.nb)}"
        for run in runs
    )
