"""What the scenarios are told with."""

import sys
import time

import pytest

from tests.fake_cluster.scenario import Say


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Say:
    """The log of a scenario, with the seconds since its beginning; two of them run side by side."""
    began, name = time.monotonic(), request.node.path.stem.removeprefix("test_")

    def line(text: str) -> None:
        # Of what pytest-xdist's processes write, their standard errors are seen.
        print(f"{name:<10} {time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    return line
