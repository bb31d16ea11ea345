"""Ray's switches are set for a search and gone after it; of its sessions' folders those of the living stay."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import ray

from asd_ray.cluster import runtime
from asd_ray.errors import EnvironmentFailure


def test_importing_the_api_changes_nothing_of_the_program_that_does() -> None:
    code = """
import os
before = dict(os.environ)
import asd_ray.api
changed = {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}
assert not changed, changed
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_switches_hold_for_a_block_and_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TRAIN_METRICS_ENABLED", "yes")
    monkeypatch.delenv("TUNE_DISABLE_SIGINT_HANDLER", raising=False)
    with runtime.environment(runtime.QUIET):
        assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
        assert os.environ["RAY_TRAIN_METRICS_ENABLED"] == "yes"
    assert "TUNE_DISABLE_SIGINT_HANDLER" not in os.environ
    assert os.environ["RAY_TRAIN_METRICS_ENABLED"] == "yes"


def test_a_ray_that_does_not_start_is_one_line_and_leaves_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: object) -> None:
        raise Exception(
            "The current node timed out during startup. This could happen because some of the raylet failed to "
            "startup or the GCS has become overloaded.\nSee the logs."
        )

    folder = Path(tempfile.mkdtemp())  # a short path
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(EnvironmentFailure) as raised, runtime.local_ray():
        pass
    assert str(raised.value) == (
        "Ray did not start on this machine: The current node timed out during startup; "
        "end other programs, and call again"
    )
    assert list(folder.iterdir()) == []
    folder.rmdir()
