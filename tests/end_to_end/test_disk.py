"""Whole searches by launch/tune.py: a disk that fills up, two drivers at once, studies kept in a server."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from asd_ray.search.runfolder import read_run
from asd_ray.search.storage import find_store, open_studies
from tests.disk import mounted
from tests.end_to_end.conftest import SMALL, finished, run, start
from tests.postgresql import PASSWORD, QUOTED

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


def test_a_killed_search_with_its_studies_in_a_server_goes_on_there(
    small_shards: Path, tmp_path: Path, postgresql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = tmp_path / "run", postgresql.url()
    call = start(*tune(small_shards, folder, "--inline", "--storage", url))
    call.read_until(lambda line: f"[1/{TRIALS}]" in line)
    call.process.send_signal(signal.SIGKILL)
    call.finish()
    refused = run(*tune(small_shards, folder, "--inline"))
    assert refused.process.returncode == 2, refused.output
    assert f"its studies are kept in PostgreSQL at {postgresql.place}; give --storage" in refused.output

    monkeypatch.setenv("ASD_STORAGE", url)
    before = in_server(folder)
    again = run(*tune(small_shards, folder, "--inline"))
    assert again.process.returncode == 0, again.output
    assert f"{folder}: taken over from process {call.process.pid} on " in refused.output + again.output
    after = in_server(folder)
    assert len(before) >= 2
    assert before.items() <= after.items()
    assert len(after) == 2 * TRIALS
    assert not (folder / "studies.journal").exists()
    report = run("launch/report.py", folder, "--storage", url)
    assert report.process.returncode == 0, report.output
    everything = "".join(one.output for one in (call, refused, again, report))
    everything += "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
    assert PASSWORD not in everything
    assert QUOTED not in everything


def in_server(folder: Path) -> dict[tuple[str, int], Any]:
    """(machine type, number) -> values of every finished trial in the server."""
    store = find_store(folder)
    with store.held():
        studies, _ = open_studies(folder, read_run(folder)[0], take_over=False, store=store)
        return {
            (name, trial.number): trial.values
            for name in studies.machine_types
            for trial in studies.trials(name)
            if trial.state.is_finished()
        }
