"""A search whose disk fills up, that a second driver comes upon, and whose confirmation is killed."""

import json
import os
import signal
from pathlib import Path

import optuna
import pytest

from asd_ray.files.strict_yaml import load
from asd_ray.scoring.detector import Best
from tests.disk import mounted
from tests.end_to_end.conftest import SMALL, finished, run, start, studies_of

pytestmark = [pytest.mark.extra, pytest.mark.timeout(900)]
optuna.logging.set_verbosity(optuna.logging.WARNING)
TRIALS = 3


def test_a_full_disk_a_second_driver_and_a_kill_cost_nothing_that_was_done(
    small_shards: Path, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk") as disk:
        folder = disk.folder / "run"
        tune = ["launch/tune.py", "--data", small_shards, "--run", folder, "--trials", TRIALS, "--epochs", 2]
        tune += [*SMALL, "--set", "search.prune=false", "--lanes", 1, "--confirm", 1, "--seeds", 2]
        call = start(*tune)
        call.read_until(lambda line: f"[1/{TRIALS}]" in line)
        disk.leave(100_000)  # enough for the journal, not for a checkpoint
        assert call.finish() == 1, call.output
        (line,) = [line for line in call.output.splitlines() if line.startswith("the search stopped: ")]
        assert f"{folder}/trials/" in line
        assert line.endswith("state.pt: cannot be written (No space left on device); free some space there")
        assert "go on with: python launch/tune.py" in call.output
        assert "Traceback" not in call.output
        assert [path for path in folder.rglob("*") if path.name.endswith(".part")] == []
        searched = finished(folder)
        assert len(searched) >= 2

        disk.make_space()
        call = start(*tune)
        call.read_until(lambda line: "starting" in line)
        second = run(*tune)
        assert second.process.returncode == 2, second.output
        holder = f"process {call.process.pid} on {os.uname().nodename}"
        assert f"error: {folder}: in use by {holder}; wait for it, or use another --run\n" in second.output

        call.read_until(lambda line: "[1/" in line and "seed 2024 confirmed after 2 epochs: fan" in line)
        os.killpg(call.process.pid, signal.SIGKILL)
        call.finish()
        assert searched.items() < finished(folder).items()
        assert len(finished(folder)) == 2 * TRIALS
        studies = studies_of(folder)
        (confirmed, *_) = folder.glob("trials/*/seed-2024/outcome.json")
        stamp = confirmed.stat().st_mtime_ns

        call = run(*tune)
        assert call.process.returncode == 0, call.output
        assert f"{TRIALS} complete" not in call.output
        assert "no evidence of improvement" in call.output or "better" in call.output
        assert confirmed.stat().st_mtime_ns == stamp
        assert studies_of(folder) == studies
        outcomes = [json.loads(path.read_text())["outcome"] for path in folder.glob("trials/*/*/outcome.json")]
        assert set(outcomes) == {"complete"}
        assert len(outcomes) in (2, 4, 6)  # the best of both machine types may be one, and the published one
        for name in ("fan", "pump"):
            best = load(folder / "best" / f"{name}.yaml", Best)
            assert best.confirmed is not None
            assert best.seed in (2024, 2025)
        assert call.survivors() == []
