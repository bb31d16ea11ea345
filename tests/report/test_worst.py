"""The clips that a detector gets wrong, and their pictures."""

import base64
import io
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from asd_ray.report.judging import Judged
from asd_ray.report.summary import Summary
from asd_ray.report.worst import Recordings, picture, worst_ranked
from asd_ray.search.runfolder import Run
from tests.report.summaries import read_summary


@pytest.fixture(scope="module")
def summary(finished_run: Path) -> Summary:
    return read_summary(finished_run)


@pytest.fixture(scope="module")
def judged(summary: Summary) -> Judged:
    best = summary.machines[0].best
    assert best is not None
    return best


def test_clips_are_ranked_within_their_machine_id_and_the_worst_come_first(judged: Judged) -> None:
    reported = (
        ("a-normal-low", "id_00", False, 1.0),
        ("a-normal-high", "id_00", False, 9.0),
        ("a-anomaly-low", "id_00", True, 0.5),
        ("a-anomaly-high", "id_00", True, 8.0),
        # All of this id score higher than all of that one, and are told apart without a fault.
        ("b-normal", "id_02", False, 20.0),
        ("b-anomaly", "id_02", True, 30.0),
    )
    found = worst_ranked(replace(judged, reported=reported))
    assert [(clip.clip_id, clip.wrong, clip.others) for clip in found] == [
        ("a-anomaly-low", 2, 2),
        ("a-anomaly-high", 1, 2),
        ("a-normal-high", 2, 2),
        ("a-normal-low", 1, 2),
    ]
    assert [clip.clip_id for clip in worst_ranked(replace(judged, reported=reported), each=1)] == [
        "a-anomaly-low",
        "a-normal-high",
    ]


def test_a_detector_without_fault_gets_no_clip_wrong_and_ties_count_as_faults(judged: Judged) -> None:
    right = (("n", "id_00", False, 1.0), ("a", "id_00", True, 2.0))
    assert worst_ranked(replace(judged, reported=right)) == ()
    tied = (("n", "id_00", False, 1.0), ("a", "id_00", True, 1.0))
    assert len(worst_ranked(replace(judged, reported=tied))) == 2


def read(url: str) -> np.ndarray:
    kind, data = url.split(",")
    assert kind == "data:image/webp;base64"
    return matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="webp")


def test_pictures_are_of_the_clips_asked_for_and_small(summary: Summary, judged: Judged) -> None:
    clip_ids = [row[0] for row in judged.reported][:3]
    recordings = Recordings(summary.run)
    assert recordings.why_not == ""
    found = recordings.pictures("fan", clip_ids)
    assert found.keys() == set(clip_ids)
    assert len(set(found.values())) == 3
    assert all(read(url).shape[:2] == (128, 313) for url in found.values())
    assert max(map(len, found.values())) < 20_000
    assert recordings.pictures("pump", clip_ids) == {}


def test_low_frequencies_lie_below_and_silence_has_a_picture() -> None:
    sgram = np.full((128, 313), -60.0, dtype=np.float32)
    sgram[:32] = 0.0  # loud below 1 kHz
    image = read(picture(sgram)).astype(float)[..., :3].mean(axis=-1)
    assert image[100:].mean() > 2 * image[:90].mean()
    assert read(picture(np.full((128, 313), -156.5, dtype=np.float32))).shape[:2] == (128, 313)


def test_why_there_is_no_picture_is_said(run_elsewhere: Run, summary: Summary) -> None:
    gone = Recordings(run_elsewhere)
    assert gone.why_not == "the shards are not at nowhere/shards"
    assert gone.pictures("fan", ["fan/test/x.wav"]) == {}
    other = summary.run.corpus.model_copy(update={"fingerprint": "0" * 64})
    changed = Recordings(summary.run.model_copy(update={"corpus": other}))
    assert changed.why_not.endswith("have changed")


@pytest.fixture
def run_elsewhere(summary: Summary) -> Run:
    return summary.run.model_copy(
        update={"corpus": summary.run.corpus.model_copy(update={"path": "nowhere/shards"})}
    )


def test_a_damaged_shard_costs_its_own_pictures_only(summary: Summary, tmp_path: Path, judged: Judged) -> None:
    shards = shutil.copytree(summary.run.corpus.path, tmp_path / "shards")
    run = summary.run.model_copy(update={"corpus": summary.run.corpus.model_copy(update={"path": str(shards)})})
    recordings = Recordings(run)
    for path in (shards / "fan" / "test").glob("*.parquet"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    clip_ids = [row[0] for row in judged.reported]
    assert len(recordings.pictures("fan", clip_ids)) < len(clip_ids)
    best = summary.machines[1].best
    assert best is not None
    assert len(recordings.pictures("pump", [row[0] for row in best.reported])) == len(best.reported)
