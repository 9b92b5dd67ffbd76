"""Tests that click in a browser, where it is installed."""

import pytest

from tools.screenshots import CHROMIUM

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
