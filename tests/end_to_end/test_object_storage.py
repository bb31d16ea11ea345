"""A search whose shards and run folder are objects of a real S3 server, its studies in a real PostgreSQL."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_ray.data.manifest import Manifest, read_shard
from asd_ray.files import write_whole
from asd_ray.places import place, sizes
from asd_ray.search.runfolder import read_run
from asd_ray.training import checkpoint
from tests.end_to_end.conftest import SMALL, Call, run
from tests.object_storage import BUCKET
from tests.postgresql import Server, make_database

pytestmark = pytest.mark.slow
RAW, SHARDS, RUN = f"s3://{BUCKET}/e2e/raw", f"s3://{BUCKET}/e2e/shards", f"s3://{BUCKET}/e2e/runs/first"


@pytest.fixture(scope="module")
def searched(s3: dict[str, str], postgresql: Server, small_dataset: Path) -> Iterator[Call]:
    """Prepared and searched by the commands, two trials of two epochs on a lane."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        patch.setenv("ASD_STORAGE", make_database(postgresql))
        for path in small_dataset.rglob("*.wav"):
            (place(RAW) / path.relative_to(small_dataset).as_posix()).write_bytes(path.read_bytes())
        prepared = run("launch/prepare.py", RAW, "--out", SHARDS)
        assert prepared.process.returncode == 0, prepared.output
        yield run(
            *("launch/tune.py", "--data", SHARDS, "--run", RUN, "--trials", 2, "--epochs", 2, "--lanes", 1),
            *SMALL,
        )


def test_shards_of_recordings_in_the_store_are_those_of_the_same_ones_on_a_disk(
    searched: Call, small_shards: Path
) -> None:
    assert Manifest.load(place(SHARDS)).fingerprint == Manifest.load(small_shards).fingerprint


def test_the_search_ends_well_and_its_folder_is_complete(searched: Call) -> None:
    assert searched.process.returncode == 0, searched.output
    assert "starting 1 lane of" in searched.output
    names = set(sizes(place(RUN), []))
    assert {"run.yaml", "clips.parquet", "report/report.md", "report/summary.json", "best/fan.yaml"} <= names
    assert {f"trials/fan-0/{name}" for name in ("state.pt", "metrics.json", "scores.parquet")} <= names
    assert "models/fan/model.safetensors" in names
    assert not [name for name in names if name.startswith((".ray", ".seen", "studies.journal"))]


def test_checkpoints_are_whole_and_the_one_before_is_kept(searched: Call) -> None:
    path = place(RUN) / "trials" / "fan-0" / "state.pt"
    state = checkpoint.load_final(path, epochs=2)
    assert state is not None
    write_whole(path, "torn")
    before = checkpoint.load(path)
    assert before is not None
    assert (state["epoch"], before["epoch"]) == (2, 1)
    checkpoint.save(path, state)


def test_the_run_is_read_as_one_on_a_disk_is(searched: Call) -> None:
    then, clips = read_run(place(RUN))
    assert then.corpus.path == SHARDS
    assert then.storage.kind == "postgresql"
    scores = read_shard(place(RUN) / "trials" / "fan-0" / "scores.parquet")
    assert set(clips.column("clip_id").to_pylist()) <= set(scores.column("clip_id").to_pylist())


def test_report_and_score_work_on_it_and_the_same_call_goes_on(searched: Call, small_dataset: Path) -> None:
    (place(RUN) / "report" / "summary.json").unlink()
    again = run(
        *("launch/tune.py", "--data", SHARDS, "--run", RUN, "--inline", "--trials", 2, "--epochs", 2), *SMALL
    )
    assert again.process.returncode == 0, again.output
    assert "[1/" not in again.output  # nothing is done twice
    summary = json.loads((place(RUN) / "report" / "summary.json").read_text())
    assert sum(summary["trials"].values()) == 2
    clip = next((small_dataset / "fan" / "test").glob("*.wav"))
    scored = run("launch/score.py", f"{RUN}/best/fan.yaml", clip, "--csv")
    assert scored.process.returncode == 0, scored.output
    assert scored.output.splitlines()[1].startswith(f"{clip},")


def test_without_a_server_for_the_studies_it_is_refused_before_anything_is_written(
    searched: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASD_STORAGE")
    other = f"s3://{BUCKET}/e2e/runs/other"
    refused = run("launch/tune.py", "--data", SHARDS, "--run", other)
    assert refused.process.returncode == 2
    last = refused.output.splitlines()[-1]
    assert last.startswith(f"error: {other}: a journal grows line by line")
    assert "--storage postgresql://" in last
    assert sizes(place(other), []) == {}
