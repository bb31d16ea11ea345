"""Whole searches by launch/tune.py: a disk that fills up, and two drivers at once."""

import os
import time
from pathlib import Path

import optuna
import pytest

from tests.disk import mounted
from tests.end_to_end.conftest import SMALL, finished, run, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
optuna.logging.set_verbosity(optuna.logging.WARNING)
TRIALS = 4


def tune(shards: Path, folder: Path, *more: object) -> list[object]:
    return ["launch/tune.py", "--data", shards, "--run", folder, "--trials", TRIALS, "--epochs", 2, *more, *SMALL]


def test_a_full_disk_stops_the_search_in_one_line_and_with_space_the_same_call_goes_on(
    small_shards: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk") as disk:
        folder = disk.folder / "run"
        call = start(*tune(small_shards, folder, "--lanes", 1))
        call.read_until(lambda line: f"[1/{TRIALS}]" in line)
        disk.leave(100_000)  # enough for the journal, not for a checkpoint
        assert call.finish() == 1, call.output
        (line,) = [line for line in call.output.splitlines() if line.startswith("the search stopped: ")]
        assert f"{folder}/trials/" in line
        assert line.endswith("state.pt: cannot be written (No space left on device); free some space there")
        assert "go on with: python launch/tune.py" in call.output
        assert "Traceback" not in call.output
        assert [path for path in folder.rglob("*") if path.name.endswith(".part")] == []
        before = finished(folder)
        assert len(before) >= 2

        disk.make_space()
        again = start(*tune(small_shards, folder, "--lanes", 1))
        again.read_until(lambda line: "starting" in line)
        began = time.monotonic()
        second = run(*tune(small_shards, folder, "--lanes", 1))
        assert second.process.returncode == 2, second.output
        holder = f"process {again.process.pid} on {os.uname().nodename}"
        assert f"error: {folder}: in use by {holder}; wait for it, or use another --run\n" in second.output
        assert time.monotonic() - began < 60
        assert again.finish() == 0, again.output
        after = finished(folder)
        assert before.items() <= after.items()
        assert len(after) == 2 * TRIALS
