"""A folder of recordings becomes shards, once, whatever happens in between."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.data import prepare as prepare_module
from asd_ray.data.audio import BadRecording
from asd_ray.data.corpus import read_corpus
from asd_ray.data.manifest import Manifest, read_labels, read_quarantine, read_shard
from asd_ray.data.prepare import prepare
from asd_ray.errors import InputError
from tests.end_to_end.conftest import marked_processes


def noise_wav(path: Path, *, seed: int, seconds: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = np.random.default_rng(seed).integers(-3000, 3000, seconds * SAMPLE_RATE).astype(np.int16)
    soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve machine types of two ids with two training clips and a test clip each: 24 shards."""
    folder = tmp_path / "datasets"
    for t in range(12):
        for machine_id in ("id_00", "id_02"):
            for n in range(2):
                noise_wav(folder / f"type{t:02d}/train/normal_{machine_id}_{n:08d}.wav", seed=4 * t + n, seconds=1)
            noise_wav(folder / f"type{t:02d}/test/normal_{machine_id}_00000000.wav", seed=4 * t + 3, seconds=1)
    return folder


def written(out: Path) -> dict[str, tuple[int, int]]:
    """Shards by name, with what changes when a file is written anew."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*.parquet")}


def test_progress_counts_clips_up_to_the_whole(root: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare(root, tmp_path / "out", on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (72, 72)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) == 24


def test_the_same_call_twice_does_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(root, tmp_path / "out")
    before = written(tmp_path / "out")
    monkeypatch.setattr(prepare_module, "plan_shards", None)  # planning would now fail
    assert prepare(root, tmp_path / "out") == first
    assert written(tmp_path / "out") == before


def test_a_flipped_byte_and_a_displaced_shard_are_mended_by_the_same_call(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = prepare(root, out)
    good = {shard.path: (out / shard.path).read_bytes() for shard in first.shards}
    one, two, three = (shard.path for shard in first.shards[:3])
    flipped = bytearray(good[one])
    flipped[len(flipped) // 2] ^= 1
    (out / one).write_bytes(flipped)
    assert prepare(root, out, verify=False) == first
    assert (out / one).read_bytes() == flipped
    assert prepare(root, out) == first
    assert (out / one).read_bytes() == good[one]

    (out / three).write_bytes(good[two])
    with pytest.raises(InputError, match=f"holds the shard {two}; delete it and prepare the shards again"):
        read_shard(out / three)
    assert prepare(root, out) == first
    assert {path: (out / path).read_bytes() for path in good} == good


@pytest.mark.parametrize("name", ["quarantine.csv", "notes.csv"])
@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut", "no text"])
def test_a_lost_list_is_written_anew_without_making_shards_again(
    root: Path, tmp_path: Path, name: str, damage: str
) -> None:
    (root / "type03/test/normal_id_00_00000000.wav").write_bytes(b"")
    first = prepare(root, tmp_path / "out")
    path, shards = tmp_path / "out" / name, written(tmp_path / "out")
    good = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes({"emptied": b"", "cut": good[:-9], "no text": b"\xff\xfe"}[damage])
    if name == "quarantine.csv" and damage != "cut":
        with pytest.raises(InputError, match=r"quarantine\.csv: .*prepare the shards again"):
            read_quarantine(tmp_path / "out")
    assert prepare(root, tmp_path / "out") == first
    assert path.read_bytes() == good
    assert written(tmp_path / "out") == shards


def test_names_that_no_table_can_hold_stop_nothing(root: Path, tmp_path: Path) -> None:
    noise_wav(root / "type03/test/normal_id_00_\r\n1.wav", seed=100)
    prepare(root, tmp_path / "out")
    (problem,) = read_quarantine(tmp_path / "out")
    assert problem.cause == "its name holds control characters"


def labelled(out: Path) -> set[str]:
    return set(read_labels(out, splits=["test", "eval"]).column("clip_id").to_pylist())


@pytest.mark.parametrize(
    ("copies", "left_out"),
    [
        (["train/normal_id_00_a", "test/normal_id_00_a"], {"test/normal_id_00_a": "which is trained on"}),
        (["train/normal_id_00_a", "test/anomaly_id_02_a"], {"test/anomaly_id_02_a": "which is trained on"}),
        (["train/normal_id_00_a", "eval/normal_id_00_a"], {"eval/normal_id_00_a": "which is trained on"}),
        (
            ["test/normal_id_00_a", "test/anomaly_id_00_a"],
            {"test/normal_id_00_a": "the other label", "test/anomaly_id_00_a": "the other label"},
        ),
        (["test/normal_id_00_a", "test/normal_id_00_b"], {"test/normal_id_00_b": "judged by already"}),
        (["test/anomaly_id_00_a", "eval/anomaly_id_00_a"], {"test/anomaly_id_00_a": "judged by already"}),
        (["test/anomaly_id_00_a", "eval/id_00_a"], {}),
        (["train/normal_id_00_a", "train/normal_id_00_b"], {}),
        (["test/normal_id_00_a", "test/normal_id_02_a"], {}),
    ],
)
def test_the_same_sound_is_not_judged_by_twice_and_not_where_it_was_trained_on(
    root: Path, tmp_path: Path, copies: list[str], left_out: dict[str, str]
) -> None:
    for name in copies:
        noise_wav(root / f"type05/{name}.wav", seed=1000)
    out = tmp_path / "out"
    before = {
        f"type{t:02d}/test/normal_{machine_id}_00000000.wav"
        for t in range(12)
        for machine_id in ("id_00", "id_02")
    }
    manifest = prepare(root, out)
    found = {problem.path: problem.cause for problem in read_quarantine(out)}
    assert found.keys() == {f"type05/{name}.wav" for name in left_out}
    assert all(found[f"type05/{name}.wav"].endswith(cause) for name, cause in left_out.items())
    kept = {f"type05/{name}.wav" for name in copies if name not in left_out}
    assert labelled(out) == before | {name for name in kept if "/train/" not in name}
    assert manifest.quarantined == len(left_out)
    assert prepare(root, out) == manifest
    if left_out:
        with pytest.raises(BadRecording, match="the same sound as"):
            prepare(root, out, strict=True)
    else:
        noted = (out / "notes.csv").read_text()
        assert all(f"type05/{name}.wav,the same sound as another recording" in noted for name in copies)


def test_silence_is_no_duplicate_of_silence(root: Path, tmp_path: Path) -> None:
    for name in ("train/normal_id_00_a", "test/normal_id_00_a", "test/anomaly_id_00_a"):
        soundfile.write(root / f"type05/{name}.wav", np.zeros(NUM_SAMPLES, np.int16), SAMPLE_RATE)
    manifest = prepare(root, tmp_path / "out")
    assert manifest.quarantined == 0
    assert manifest.notes_by_type["type05"]["silent"] == 3


def test_notes_are_counted_for_each_machine_type_and_older_manifests_are_read(root: Path, tmp_path: Path) -> None:
    noise_wav(root / "type05/test/normal_id_00_a.wav", seed=1, seconds=11)
    manifest = prepare(root, tmp_path / "out")
    assert manifest.notes_by_type["type05"]["longer than 10 s: its first 10 s used"] == 1
    totals = Counter[str]()
    for notes in manifest.notes_by_type.values():
        totals.update(notes)
    assert totals == manifest.notes
    older = json.loads((tmp_path / "out/manifest.json").read_text())
    del older["notes_by_type"]
    (tmp_path / "out/manifest.json").write_text(json.dumps(older))
    assert Manifest.load(tmp_path / "out").notes_by_type == {}


def test_other_options_are_other_shards(root: Path, tmp_path: Path) -> None:
    noise_wav(root / "type00/train/normal_id_00_00000002.wav", seed=1)
    noise_wav(root / "type00/train/normal_id_00_00000003.wav", seed=2)
    first = prepare(root, tmp_path / "out")
    assert read_labels(tmp_path / "out", splits=["valid"]).num_rows == 1
    second = prepare(root, tmp_path / "out", valid_fraction=0.0)
    assert read_labels(tmp_path / "out", splits=["valid"]).num_rows == 0
    assert first.fingerprint != second.fingerprint
    assert prepare(root, tmp_path / "out").fingerprint == first.fingerprint


def test_a_missing_shard_is_made_again_and_no_other(root: Path, tmp_path: Path) -> None:
    first = prepare(root, tmp_path / "out")
    before = written(tmp_path / "out")
    lost = tmp_path / "out" / first.shards[5].path
    lost.unlink()
    assert prepare(root, tmp_path / "out") == first
    after = written(tmp_path / "out")
    assert {name for name in before if after[name] != before[name]} == {lost.name}


def test_strict_stops_at_the_first_bad_recording_even_if_prepared_before(root: Path, tmp_path: Path) -> None:
    bad = root / "type03/test/normal_id_00_00000000.wav"
    bad.write_bytes(b"")
    assert prepare(root, tmp_path / "out").quarantined == 1
    for out in ("out", "fresh"):
        with pytest.raises(BadRecording, match="is empty") as refused:
            prepare(root, tmp_path / out, strict=True)
        assert refused.value.path == bad


def test_strict_stops_at_a_file_that_does_not_fit_the_layout(root: Path, tmp_path: Path) -> None:
    (root / "type03/test/strange.wav").touch()
    with pytest.raises(BadRecording, match=r"type03/test/strange\.wav: name; "):
        prepare(root, tmp_path / "out", strict=True)


def test_a_machine_without_usable_training_clips_leaves_and_the_classes_close_up(
    root: Path, tmp_path: Path
) -> None:
    for path in root.glob("type00/train/normal_id_00_*"):
        path.write_bytes(b"")
    manifest = prepare(root, tmp_path / "out")
    assert manifest.classes[:2] == (("type00", "id_02"), ("type01", "id_00"))
    assert len(manifest.classes) == 23
    causes = {problem.path: problem.cause for problem in read_quarantine(tmp_path / "out")}
    assert causes == {
        "type00/train/normal_id_00_00000000.wav": "is empty",
        "type00/train/normal_id_00_00000001.wav": "is empty",
        "type00/test/normal_id_00_00000000.wav": "no training clips of type00 id_00",
    }
    labels = read_labels(tmp_path / "out")
    assert set(labels.column("class_index").to_pylist()) == set(range(23))
    assert prepare(root, tmp_path / "out") == manifest


def test_impossible_calls_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is the dataset folder itself"):
        prepare(root, root)
    with pytest.raises(InputError, match=r"valid_fraction 1\.5"):
        prepare(root, tmp_path / "out", valid_fraction=1.5)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: cannot be written"):
        prepare(root, tmp_path / "file")


def test_two_calls_at_once_in_one_folder_are_refused(root: Path, tmp_path: Path) -> None:
    def second_call(done: int, total: int) -> None:
        with pytest.raises(InputError, match="another prepare is at work there"):
            prepare(root, tmp_path / "out")

    prepare(root, tmp_path / "out", on_progress=second_call)


WITH_RAY = """
import sys
from pathlib import Path
from asd_ray.data import prepare
prepare.FEWEST_CLIPS_FOR_RAY = 0
manifest = prepare.prepare(Path(sys.argv[1]), Path(sys.argv[2]), on_progress=lambda *n: print(*n, flush=True))
import ray
assert not ray.is_initialized()
print(manifest.fingerprint)
"""


@pytest.mark.extra
def test_a_killed_call_is_completed_by_the_next_without_writing_whole_shards_again(
    root: Path, tmp_path: Path
) -> None:
    out, command = tmp_path / "out", [sys.executable, "-c", WITH_RAY, str(root), str(tmp_path / "out")]
    environment = {**os.environ, "ASD_TEST_MARK": str(tmp_path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line.split()[0]) >= 6:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    while any(words.startswith("ray::") for words in marked_processes(str(tmp_path)).values()):
        time.sleep(0.1)  # Ray's workers have yet to notice that their driver is gone
    kept = written(out)
    assert len(kept) >= 1
    with pytest.raises(InputError, match="missing"):
        Manifest.load(out)

    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    after = written(out)
    assert len(after) == 24
    assert {name: after[name] for name in kept} == kept
    assert finished.stderr == ""
    assert list(out.rglob("*.part")) == []
    assert finished.stdout.split()[-1] == prepare(root, tmp_path / "here").fingerprint


@pytest.mark.extra
def test_a_full_disk_in_a_ray_task_is_the_same_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/type05").touch()  # in the way of a folder
    command = [sys.executable, "-c", WITH_RAY, str(root), str(tmp_path / "out")]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "InputError: " in failed.stderr.splitlines()[-1]
    assert "/type05/train/" in failed.stderr.splitlines()[-1]
    assert "cannot be written" in failed.stderr.splitlines()[-1]


SAMPLE = os.environ.get("ASD_SAMPLE")


@pytest.mark.skipif(SAMPLE is None, reason="ASD_SAMPLE: folder of the real sample corpus, not set")
def test_the_real_sample_prepares_and_one_flipped_byte_is_noticed(tmp_path: Path) -> None:
    assert SAMPLE is not None
    root = tmp_path / "sample"
    shutil.copytree(SAMPLE, root)
    eight = root / "edge_cases/fan_id_00_normal_8ch_16k.wav"
    eight.rename(root / "fan/train/normal_id_00_99999999.wav")
    manifest = prepare(root, tmp_path / "out")
    (problem,) = read_quarantine(tmp_path / "out")  # channel 0 of the eight is a test clip of its own
    assert problem.path == "fan/test/normal_id_00_01000012.flac"
    assert problem.cause == "the same sound as fan/train/normal_id_00_99999999.wav, which is trained on"
    assert set(manifest.notes) == {"8 channels: channel 0 used", "longer than 10 s: its first 10 s used"}
    assert sum(count for note, count in manifest.notes.items() if note == "8 channels: channel 0 used") == 1
    labels = read_labels(tmp_path / "out").to_pylist()
    counts = Counter(row["split"] for row in labels)
    assert counts == {"train": 107, "valid": 4, "test": 104}
    assert len(labels) == len(read_corpus(root).clips) - 1
    assert len(manifest.classes) == 23
    assert {row["num_samples"] for row in labels if row["machine_type"] == "ToyCar"} == {11 * SAMPLE_RATE}

    path = tmp_path / "out" / manifest.shards[0].path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    assert len(content) > NUM_SAMPLES
    with pytest.raises(InputError, match="damaged"):
        read_shard(path)
