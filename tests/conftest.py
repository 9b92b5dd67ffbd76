"""The order of the tests, and of two imports."""

from importlib.util import find_spec

import pytest

# Notebook 07 imports setuptools by way of torch, which fails after `distutils` (Python 3.11).
if find_spec("setuptools"):
    __import__("setuptools")


def is_long(item):
    return any(map(item.get_closest_marker, ("long", "thorough")))


@pytest.hookimpl(trylast=True)  # after the deselection
def pytest_collection_modifyitems(items):
    """Start the long tests first, each followed by a short one.

    pytest-xdist hands the tests out two by two in this order: so each worker gets one long test
    at a time.
    """
    long = [item for item in items if is_long(item)]
    # The first test of the website builds it; meanwhile, the other worker need not wait for it.
    long.sort(key=lambda item: item.name != "test_every_notebook_and_module_has_its_page")
    short = [item for item in items if not is_long(item)]
    paired = [item for pair in zip(long, short, strict=False) for item in pair]
    items[:] = paired + long[len(short) :] + short[len(long) :]
