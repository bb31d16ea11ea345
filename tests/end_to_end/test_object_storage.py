"""A search that is killed, its shards and run folder in a real S3 server, its studies in a real PostgreSQL."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asd_ray.data.manifest import Manifest, read_shard
from asd_ray.files.paths import place, sizes
from asd_ray.files.writing import write_whole
from asd_ray.report.render import rebuild_alone
from asd_ray.scoring.detector import score
from asd_ray.search.runfolder import read_run
from asd_ray.search.studies.storage import find_store, open_studies
from asd_ray.training import checkpoint
from tests.end_to_end.conftest import SMALL, Call, run, start
from tests.object_storage import BUCKET
from tests.postgresql import PASSWORD, QUOTED, Server, make_database

pytestmark = [pytest.mark.extra, pytest.mark.timeout(900)]
RAW, SHARDS, RUN = f"s3://{BUCKET}/e2e/raw", f"s3://{BUCKET}/e2e/shards", f"s3://{BUCKET}/e2e/runs/first"
TRIALS = 3


@dataclass
class Searched:
    calls: list[Call]  # prepare, the search that was killed, and the one that went on
    kept: dict[tuple[str, int], Any]  # what the killed one had finished
    url: str  # of the studies


@pytest.fixture(scope="module")
def searched(s3: dict[str, str], postgresql: Server, small_dataset: Path) -> Iterator[Searched]:
    """Prepared and searched by the commands on a lane; the driver was killed after the first trial."""
    url = make_database(postgresql)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        for path in small_dataset.rglob("*.wav"):
            (place(RAW) / path.relative_to(small_dataset).as_posix()).write_bytes(path.read_bytes())
        prepared = run("launch/prepare.py", RAW, "--out", SHARDS)
        assert prepared.process.returncode == 0, prepared.output
        tune = ["launch/tune.py", "--data", SHARDS, "--run", RUN, "--trials", TRIALS, "--epochs", 2, "--lanes", 1]
        tune += [*SMALL, "--set", "search.prune=false"]
        killed = start(*tune, "--storage", url)
        killed.read_until(lambda line: f"[1/{TRIALS}]" in line)
        killed.process.send_signal(signal.SIGKILL)
        killed.finish()
        patch.setenv("ASD_STORAGE", url)
        kept = in_server()
        yield Searched([prepared, killed, run(*tune)], kept, url)


def in_server() -> dict[tuple[str, int], Any]:
    """(machine type, number) -> values of every finished trial."""
    store = find_store(place(RUN))
    with store.held():
        studies, _ = open_studies(place(RUN), read_run(place(RUN))[0], take_over=False, store=store)
        return {
            (name, trial.number): trial.values
            for name in studies.machine_types
            for trial in studies.trials(name)
            if trial.state.is_finished()
        }


def test_shards_of_recordings_in_the_store_are_those_of_the_same_ones_on_a_disk(
    searched: Searched, small_shards: Path
) -> None:
    assert Manifest.load(place(SHARDS)).fingerprint == Manifest.load(small_shards).fingerprint


def test_a_killed_search_goes_on_by_the_same_call_and_loses_nothing(searched: Searched) -> None:
    again = searched.calls[-1]
    assert again.process.returncode == 0, again.output
    assert "starting 1 lane of" in again.output
    assert "Traceback" not in again.output
    found = in_server()
    assert 2 <= len(searched.kept) < len(found)
    assert searched.kept.items() < found.items()
    assert len(found) == 2 * TRIALS
    assert again.survivors() == []


def test_its_folder_is_complete(searched: Searched) -> None:
    names = set(sizes(place(RUN), []))
    assert {"run.yaml", "clips.parquet", "report/report.md", "report/summary.json", "best/fan.yaml"} <= names
    assert {f"trials/fan-0/{name}" for name in ("state.pt", "metrics.json", "scores.parquet")} <= names
    assert "models/fan/model.safetensors" in names
    assert not [name for name in names if name.startswith((".ray", ".seen", "studies.journal"))]


def test_the_password_of_the_server_is_printed_and_kept_nowhere(searched: Searched) -> None:
    everything = "".join(call.output for call in searched.calls).encode()
    everything += b"".join((place(RUN) / name).read_bytes() for name in sizes(place(RUN), []))
    assert PASSWORD.encode() not in everything
    assert QUOTED.encode() not in everything


def test_checkpoints_are_whole_and_the_one_before_is_kept(searched: Searched) -> None:
    path = place(RUN) / "trials" / "fan-0" / "state.pt"
    state = checkpoint.load_final(path, epochs=2)
    assert state is not None
    write_whole(path, "torn")
    before = checkpoint.load(path)
    assert before is not None
    assert (state["epoch"], before["epoch"]) == (2, 1)
    checkpoint.save(path, state)


def test_the_run_is_read_as_one_on_a_disk_is(searched: Searched) -> None:
    then, clips = read_run(place(RUN))
    assert then.corpus.path == SHARDS
    assert then.storage.kind == "postgresql"
    scores = read_shard(place(RUN) / "trials" / "fan-0" / "scores.parquet")
    assert set(clips.column("clip_id").to_pylist()) <= set(scores.column("clip_id").to_pylist())


def test_report_and_score_work_on_it(
    searched: Searched, small_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASD_STORAGE")
    (place(RUN) / "report" / "summary.json").unlink()
    rebuild_alone(place(RUN), storage=searched.url)
    summary = json.loads((place(RUN) / "report" / "summary.json").read_text())
    assert sum(summary["trials"].values()) == TRIALS
    clip = next((small_dataset / "fan" / "test").glob("*.wav"))
    (scored,) = score(place(f"{RUN}/best/fan.yaml"), [clip])
    assert str(scored.path) == str(clip)
