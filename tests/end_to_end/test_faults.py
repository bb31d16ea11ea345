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

pytestmark = [pytest.mark.extra, pytest.mark.timeout(600)]


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


def test_whatever_befalls_a_trial_or_its_lane_the_search_goes_on_and_says_why(
    shards: Path, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed processes cost one epoch each; trials that hang, raise, diverge or exhaust the memory have failed."""
    memory = psutil.virtual_memory()
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{1 - memory.available / memory.total + 0.25:.2f}")
    # A Tune actor goes by the name of the class that with_resources() makes of it.
    processes = ["RayTrainWorker", "ResourceTrainable", "Mailbox"]
    at_fault = {
        "valve-5": ("eat", "ran out of memory"),
        "fan-6": ("hang", "it hung: epoch 1 had not ended after 20 s"),
        "pump-7": ("fail", "ValueError: a planted error"),
        "slider-8": ("diverge", "the loss is nan in epoch 1"),
    }
    faults.plant({uid: {"epoch": 1, "fault": fault} for uid, (fault, _) in at_fault.items()})
    folder, more = tmp_path / "run", ("--set", "search.prune=false", "--set", "lanes.deadline=20", "--lanes", 1)
    call = search(shards, folder, "--trials", 10, "--epochs", 3, *more)
    for number, name in enumerate(processes, start=1):
        ended(call, number)
        faults.wait_for_epochs(2)  # the middle of the next trial
        kill(call, name)
    assert call.finish() == 0, call.output
    assert "raylet" not in call.output
    assert "Traceback" not in call.output
    assert_all_finished(folder, trials=10)
    found, report = outcomes(folder), (folder / "report" / "report.md").read_text()
    for uid, (_, reason) in at_fault.items():
        assert found[uid][0] is TrialState.FAIL
        assert reason in found[uid][1]
        assert reason in report
    for path in (folder / "best").glob("*.yaml"):
        assert not any(f"trial: {uid}" in path.read_text() for uid in at_fault)
    others = set(found) - set(at_fault)
    assert {found[uid][0] for uid in others} == {TrialState.COMPLETE}
    begun = {epoch: times for epoch, times in faults.epochs().items() if epoch[0] in others}
    assert set(begun) == {(uid, epoch) for uid in others for epoch in (1, 2, 3)}
    assert sum(begun.values()) - len(begun) <= len(processes)  # at most one epoch was done again per kill
    for uid in others:
        history = json.loads((folder / "trials" / uid / "metrics.json").read_text())
        assert [one["epoch"] for one in history] == [1, 2, 3]
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
