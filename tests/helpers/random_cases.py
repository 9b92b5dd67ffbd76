"""Tests of many random cases: 25 each, the same every time; with `-m thorough`, 300.

RANDOM_CASES=1000 looks at more.
"""

import os

import pytest
from hypothesis import given, settings

COUNTS = [25, pytest.param(int(os.environ.get("RANDOM_CASES", "300")), marks=pytest.mark.thorough)]
SAME_EVERY_TIME = settings(deadline=None, derandomize=True, database=None)


def for_random(*strategies):
    """Make a test of a function: it is called with many cases drawn from the strategies."""

    def decorate(check):
        @pytest.mark.parametrize("count", COUNTS)
        def test(count):
            settings(SAME_EVERY_TIME, max_examples=count)(given(*strategies)(check))()

        return test

    return decorate
