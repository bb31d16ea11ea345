"""A search goes on through what happens on shared machines: real processes, really killed, hung and starved."""

import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from tests.end_to_end.conftest import SMALL, Call, Faults, marked_processes, start, studies_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def search(shards: Path, folder: Path, *arguments: object) -> Call:
    return start("launch/tune.py", "--data", shards, "--run", folder, *SMALL, *arguments)


def ended(call: Call, number: int) -> None:
    call.read_until(lambda line: f"[{number}/" in line)


def kill(call: Call, name: str) -> None:
    """SIGKILL to one process of a search, by the name that Ray gives it; waits for it to appear."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for pid, command in marked_processes(call.mark).items():
            if command.startswith(f"ray::{name}"):
                os.kill(pid, signal.SIGKILL)
                return
        time.sleep(0.2)
    raise AssertionError(f"no process ray::{name} among {sorted(marked_processes(call.mark).values())}")


def outcomes(folder: Path) -> dict[str, tuple[TrialState, str]]:
    """State and reason of every trial, by name."""
    return {
        f"{name}-{trial.number}": (trial.state, trial.user_attrs.get("reason", ""))
        for name, trials in studies_of(folder).items()
        for trial in trials
        if "copy_of" not in trial.user_attrs
    }


def assert_all_finished(folder: Path, *, trials: int) -> None:
    found = outcomes(folder)
    assert len(found) == trials, found
    assert all(state.is_finished() for state, _ in found.values()), found


def test_killed_processes_of_a_lane_cost_one_epoch_each_and_leak_nothing(
    shards: Path, tmp_path: Path, faults: Faults
) -> None:
    # A Tune actor goes by the name of the class that with_resources() makes of it.
    processes = ["RayTrainWorker", "ResourceTrainable", "Mailbox", "LaneController"]
    folder = tmp_path / "run"
    call = search(shards, folder, "--trials", 7, "--epochs", 4, "--set", "search.prune=false", "--lanes", 1)
    for number, name in enumerate(processes, start=1):
        ended(call, number)
        time.sleep(1)  # into the middle of the next trial
        kill(call, name)
    assert call.finish() == 0, call.output
    assert "raylet" not in call.output
    assert_all_finished(folder, trials=7)
    assert {state for state, _ in outcomes(folder).values()} == {TrialState.COMPLETE}
    begun = faults.epochs()
    assert set(begun) == {(uid, epoch) for uid in outcomes(folder) for epoch in range(1, 5)}
    assert sum(begun.values()) - len(begun) <= len(processes)  # at most one epoch was done again per kill
    for uid in outcomes(folder):
        history = json.loads((folder / "trials" / uid / "metrics.json").read_text())
        assert [report["epoch"] for report in history] == [1, 2, 3, 4]
    assert call.survivors() == []


def test_trials_that_hang_raise_diverge_or_exhaust_the_memory_fail_with_the_reason(
    shards: Path, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = psutil.virtual_memory()
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{1 - memory.available / memory.total + 0.25:.2f}")
    faults.plant(
        {
            "pump-1": {"epoch": 1, "fault": "eat"},
            "slider-2": {"epoch": 1, "fault": "hang"},
            "ToyCar-3": {"epoch": 1, "fault": "fail"},
            "ToyConveyor-4": {"epoch": 1, "fault": "diverge"},
        }
    )
    folder = tmp_path / "run"
    call = search(shards, folder, "--trials", 6, "--epochs", 2, "--set", "lanes.deadline=40")
    assert call.finish() == 0, call.output
    assert "raylet" not in call.output
    assert "Traceback" not in call.output
    found = outcomes(folder)
    expected = {
        "pump-1": "ran out of memory",
        "slider-2": "it hung: epoch 1 had not ended after 40 s",
        "ToyCar-3": "ValueError: a planted error",
        "ToyConveyor-4": "the loss is nan in epoch 1",
    }
    for uid, reason in expected.items():
        assert found[uid][0] is TrialState.FAIL
        assert reason in found[uid][1]
        assert reason in (folder / "report" / "report.md").read_text()
    assert found["fan-0"][0] is TrialState.COMPLETE
    for path in (folder / "best").glob("*.yaml"):
        assert not any(f"trial: {uid}" in path.read_text() for uid in expected)
    assert call.survivors() == []


def test_a_search_without_nodes_asks_for_them_survives_the_loss_of_one_and_gives_all_back(
    shards: Path, tmp_path: Path, faults: Faults
) -> None:
    folder = tmp_path / "run"
    call = start(Path(__file__).with_name("nodes.py"), shards, folder)
    assert call.finish() == 0, call.output
    happened = [
        "no machine has room for a lane",
        "nodes: 2",
        "2 lanes on",
        "node killed",
        "has ended: its machine has gone; 1 lane left",
        "groups left: []",
        "nodes left: []",
    ]
    assert all(what in call.output for what in happened), call.output
    assert sorted(happened, key=call.output.index) == happened, call.output
    assert "raylet" not in call.output
    assert_all_finished(folder, trials=6)
    assert {state for state, _ in outcomes(folder).values()} == {TrialState.COMPLETE}
    begun = faults.epochs()
    assert set(begun) == {(uid, epoch) for uid in outcomes(folder) for epoch in range(1, 5)}
    assert sum(begun.values()) - len(begun) <= 1
    assert call.survivors() == []
