"""Confirmation in warm lanes, with real Ray: asked for later, killed in the middle, finished by the same call."""

import json
import os
import signal
from pathlib import Path

import pytest

from asd_ray.scoring.detector import Best
from asd_ray.strict_yaml import load
from tests.end_to_end.conftest import SMALL, run, start, studies_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_finished_search_is_confirmed_and_a_killed_confirmation_goes_on(
    small_shards: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    tune = ["launch/tune.py", "--data", small_shards, "--run", folder, "--trials", 2, "--epochs", 2, *SMALL]
    tune += ["--lanes", 1]
    call = start(*tune, "--confirm", 1, "--seeds", 2)
    call.read_until(lambda line: "[1/" in line and "seed 2024 confirmed after 2 epochs: fan" in line)
    os.killpg(call.process.pid, signal.SIGKILL)
    call.finish()
    before = studies_of(folder)
    (done, *_) = folder.glob("trials/*/seed-2024/outcome.json")
    stamp = done.stat().st_mtime_ns
    again = run(*tune, "--confirm", 1, "--seeds", 2)
    assert again.process.returncode == 0, again.output
    assert "2 complete" not in again.output
    assert "no evidence of improvement" in again.output or "better" in again.output
    assert done.stat().st_mtime_ns == stamp
    assert studies_of(folder) == before
    outcomes = [json.loads(path.read_text())["outcome"] for path in folder.glob("trials/*/*/outcome.json")]
    assert set(outcomes) == {"complete"}
    assert len(outcomes) in (2, 4)  # the best may be the published configuration
    for name in ("fan", "pump"):
        best = load(folder / "best" / f"{name}.yaml", Best)
        assert best.confirmed is not None
        assert best.seed in (2024, 2025)
    assert again.survivors() == []
