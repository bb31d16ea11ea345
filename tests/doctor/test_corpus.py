"""Recordings and shards are looked at before a search, and what is wrong with them is said."""

import shutil
from pathlib import Path

import pytest

from asd_ray.data.manifest import Manifest
from asd_ray.doctor.corpus import check_corpus
from asd_ray.errors import InputError


@pytest.fixture
def recordings(small_dataset: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small_dataset, tmp_path / "machines")


def texts(data: Path, level: str) -> list[str]:
    return [finding.text for finding in check_corpus(data) if finding.level == level]


def test_recordings_that_can_be_searched_are_fine(recordings: Path) -> None:
    assert texts(recordings, "ok") == [
        f"{recordings}: 52 recordings of 4 machines",
        "protocol split: labelled clips choose and report",
    ]
    assert texts(recordings, "fault") == []
    assert texts(recordings, "note") == [
        "fan has 8 labelled clips to choose by: its figures are coarse",
        "pump has 8 labelled clips to choose by: its figures are coarse",
    ]


def test_files_that_do_not_fit_the_layout_are_named(recordings: Path) -> None:
    for number in range(7):
        (recordings / f"fan/train/wrong{number}.wav").touch()
    notes = texts(recordings, "note")
    assert "fan/train/wrong0.wav: name; use normal_id_XX_NNNN or anomaly_id_XX_NNNN" in notes
    assert "and 2 more; asd-ray prepare names them" in notes


def test_a_recording_that_cannot_be_read_is_a_fault(recordings: Path) -> None:
    for path in (recordings / "pump").rglob("*.wav"):
        path.write_bytes(b"<html>404</html>")
    (fault,) = texts(recordings, "fault")
    assert "is not a sound file" in fault


def test_a_machine_type_without_anomalies_is_named(recordings: Path) -> None:
    for path in (recordings / "pump/test").glob("anomaly*"):
        path.unlink()
    assert "pump would be trained on, not searched: no anomalous clips" in texts(recordings, "note")


def test_shards_are_read_whole(small_shards: Path, tmp_path: Path) -> None:
    shards = shutil.copytree(small_shards, tmp_path / "shards")
    assert texts(shards, "ok")[0] == f"{shards}: shards of 52 clips, none missing or cut"
    (shards / Manifest.load(shards).shards[1].path).unlink()
    with pytest.raises(InputError, match="this shard is missing; prepare the shards again"):
        list(check_corpus(shards))


def test_a_folder_of_neither_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "machines").mkdir()
    with pytest.raises(InputError, match=r"no such folder; did you mean .*/machines\?"):
        list(check_corpus(tmp_path / "machine"))
