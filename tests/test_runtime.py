"""Ray's switches are set before Ray reads them; of its sessions' folders those of the living stay."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from asd_ray import runtime
from asd_ray.command import InputError
from asd_ray.locks import folder_lock


def test_only_folders_that_nobody_holds_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held, left = tmp_path / "asd_ray-1-held", tmp_path / "asd_ray-1-left"
    left.mkdir()
    with folder_lock(held, mend=""), runtime._session_folder() as session:
        assert sorted(tmp_path.iterdir()) == sorted([held, session])
    assert list(tmp_path.iterdir()) == [held]


def test_whoever_imports_the_api_gets_a_quiet_ray() -> None:
    """Ray reads some of its switches when it is imported, so the runtime, which sets them, has to come first."""
    code = """
import sys

class Watch:
    def find_spec(self, name, path, target=None):
        assert name != "ray" or "asd_ray.runtime" in sys.modules, "ray before asd_ray.runtime"

sys.meta_path.insert(0, Watch())
import asd_ray.api
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_ray_that_does_not_start_is_one_line_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: object) -> None:
        raise Exception(
            "The current node timed out during startup. This could happen because some of the raylet failed to "
            "startup or the GCS has become overloaded.\nSee the logs."
        )

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(runtime.ray, "init", fail)
    with pytest.raises(InputError) as raised, runtime.local_ray():
        pass
    assert str(raised.value) == (
        "Ray did not start on this machine: The current node timed out during startup; "
        "end other programs, and call again"
    )
    assert list(tmp_path.iterdir()) == []
