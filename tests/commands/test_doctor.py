"""The command's statuses, and what it prints."""

import os
import platform
import subprocess
import sys
from pathlib import Path

from tests.cluster.jobs import TOKEN, serving

SCRIPT = Path(__file__).parents[2] / "launch/doctor.py"


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | environment,
    )


def test_a_machine_data_and_a_cluster_that_are_fine_are_status_zero(small_dataset: Path, tmp_path: Path) -> None:
    with serving() as dashboard:
        done = run(
            *("--data", small_dataset, "--run", tmp_path / "runs", "--address", dashboard.address),
            cwd=tmp_path,
            RAY_AUTH_TOKEN=TOKEN,
        )
    assert done.returncode == 0, done.stdout
    python = f"ok     python     {platform.python_version()}"
    for line in (python, "ok     data       ", "ok     cluster    http://127.0.0.1:"):
        assert line in done.stdout
    assert done.stdout.endswith("nothing keeps a search from running here\n")
    assert list(tmp_path.iterdir()) == []


def test_what_has_to_be_mended_is_status_one(tmp_path: Path) -> None:
    failed = run("--data", "nowhere", "--address", "http://127.0.0.1:1", cwd=tmp_path)
    assert failed.returncode == 1
    assert "FAULT  data       nowhere: no such folder" in failed.stdout
    assert "FAULT  cluster    http://127.0.0.1:1: no dashboard of a Ray cluster answers" in failed.stdout
    assert failed.stdout.endswith("2 to mend\n")
    assert failed.stderr == ""
