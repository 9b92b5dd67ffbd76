"""For every run of pytest here, `pytest --nbval notebooks -n 2` too."""

import os

import pytest

# Progress bars appear only in cells that are slow today: no stored output can hold them.
os.environ["COURSE_PROGRESS"] = "off"

# Workers with as many threads each as there are cores slow one another down more than tenfold.
# Set before torch is imported; kernels and other processes inherit it.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, threads)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Keep the cells of a notebook together: they share a kernel."""
    if getattr(config.option, "nbval", False):
        from xdist.scheduler import LoadScopeScheduling

        return LoadScopeScheduling(config, log)
    return None
