"""The browser that tests click in, where it is installed."""

import contextlib
import shutil

import pytest

from tools.screenshots import NAMES, OPTIONS

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@contextlib.contextmanager
def launched():
    """Start the browser without a window, and close it at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()
