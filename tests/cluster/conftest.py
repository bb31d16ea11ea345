"""What the scenarios are told with."""

import time

import pytest

from tests.cluster.scenario import Say


@pytest.fixture
def say() -> Say:
    """The log of a scenario, with the seconds since its beginning."""
    began = time.monotonic()
    print()
    return lambda line: print(f"{time.monotonic() - began:5.0f} s  {line}", flush=True)
