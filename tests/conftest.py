"""The order of the tests."""


def pytest_collection_modifyitems(items):
    """Start the long tests first, each followed by a short one.

    pytest-xdist hands the tests out two by two in this order: so each worker gets one long test
    at a time.
    """
    long = [item for item in items if item.get_closest_marker("long")]
    short = [item for item in items if not item.get_closest_marker("long")]
    paired = [item for pair in zip(long, short, strict=False) for item in pair]
    items[:] = paired + long[len(short) :] + short[len(long) :]
