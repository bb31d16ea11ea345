"""Shards hold what the recordings hold, are made once, and a damaged one is noticed."""

import errno
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.data import shards
from asd_ray.data.corpus import Corpus, read_corpus
from asd_ray.data.manifest import Manifest, Options, read_labels, read_quarantine
from asd_ray.data.shards import (
    SCHEMA,
    ShardPlan,
    ShardResult,
    finish,
    plan_shards,
    read_shard,
    source_signature,
    usable,
    write_shard,
)
from asd_ray.errors import EnvironmentFailure, InputError
from asd_ray.files.paths import sizes
from asd_ray.files.writing import write_whole


def noise_wav(path: Path, *, seed: int, samples: int = NUM_SAMPLES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pcm = np.random.default_rng(seed).integers(-3000, 3000, samples).astype(np.int16)
    soundfile.write(path, pcm, SAMPLE_RATE, subtype="PCM_16")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two fans with 5 training and 2 test clips each, a pump with 1 training clip, an unlabelled eval clip."""
    folder = tmp_path / "datasets"
    for m, machine_id in enumerate(["id_00", "id_02"]):
        for n in range(5):
            noise_wav(folder / f"fan/train/normal_{machine_id}_{n:08d}.wav", seed=10 * m + n)
        noise_wav(folder / f"fan/test/normal_{machine_id}_{0:08d}.wav", seed=10 * m + 5)
        noise_wav(folder / f"fan/test/anomaly_{machine_id}_{0:08d}.wav", seed=10 * m + 6)
    noise_wav(folder / "Pump/train/normal_id_00_00000000.wav", seed=30)
    noise_wav(folder / "fan/eval/id_00_00000000.wav", seed=31, samples=NUM_SAMPLES + 500)
    return folder


def plans_of(corpus: Corpus, out: Path, *, valid_fraction: float = 0.2) -> tuple[ShardPlan, ...]:
    return plan_shards(corpus, out, valid_fraction=valid_fraction, resample=False)


def make(root: Path, out: Path) -> tuple[Manifest, list[ShardResult]]:
    corpus, options = read_corpus(root), Options(valid_fraction=0.2)
    plans = plans_of(corpus, out)
    results = [write_shard(plan) for plan in plans]
    whole = usable(corpus, plans, results)
    assert whole is corpus
    source = source_signature(corpus, options=options)
    return finish(plans, results, out, corpus=corpus, options=options, source=source), results


def test_each_row_is_a_clip_with_its_labels_and_its_sound(root: Path, tmp_path: Path) -> None:
    manifest, _ = make(root, tmp_path / "out")
    assert manifest.classes == (("fan", "id_00"), ("fan", "id_02"), ("Pump", "id_00"))
    rows = [row for shard in manifest.shards for row in read_shard(tmp_path / "out" / shard.path).to_pylist()]
    assert len(rows) == 16
    for row in rows:
        pcm, _ = soundfile.read(root / row["clip_id"], dtype="int16")
        assert np.array_equal(np.frombuffer(row["pcm"], "<i2"), pcm[:NUM_SAMPLES])
        assert row["num_samples"] == len(pcm)
        assert manifest.classes[row["class_index"]] == (row["machine_type"], row["machine_id"])
        folder, name = row["clip_id"].split("/")[1:]
        assert row["split"] == folder or (row["split"], folder) == ("valid", "train")
        assert row["is_anomaly"] is (None if folder == "eval" else name.startswith("anomaly"))
    assert sorted(row["clip_id"] for row in rows) == [clip.clip_id for clip in read_corpus(root).clips]


def test_shards_lie_by_machine_type_and_split_in_the_order_of_the_manifest(root: Path, tmp_path: Path) -> None:
    manifest, _ = make(root, tmp_path / "out")
    assert [(shard.machine_type, shard.split, shard.rows) for shard in manifest.shards] == [
        ("fan", "train", 8),
        ("fan", "valid", 2),
        ("fan", "test", 4),
        ("fan", "eval", 1),
        ("Pump", "train", 1),
    ]
    assert all(shard.path.startswith(f"{shard.machine_type}/{shard.split}/00000-") for shard in manifest.shards)


def test_a_shard_takes_its_pcm_and_little_more_in_row_groups_of_sixteen(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5, 40):
        os.link(root / "fan/train/normal_id_00_00000000.wav", root / f"fan/train/normal_id_00_{n:08d}.wav")
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 30)
    plan = plans_of(read_corpus(root), tmp_path / "out", valid_fraction=0)[0]
    path = tmp_path / "out" / write_shard(plan).path
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)] == [16, 14]
    assert file.metadata.row_group(0).column(7).compression == "UNCOMPRESSED"
    assert 1 < path.stat().st_size / (30 * 2 * NUM_SAMPLES) < 1.01
    assert file.schema_arrow.remove_metadata() == SCHEMA


def test_clips_are_dealt_to_shards_of_limited_size(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "CLIPS_PER_SHARD", 3)
    plans = plans_of(read_corpus(root), tmp_path, valid_fraction=0)
    fans = [plan for plan in plans if (plan.machine_type, plan.split) == ("fan", "train")]
    assert [len(plan.clips) for plan in fans] == [3, 3, 3, 1]
    assert [Path(plan.path).name[:6] for plan in fans] == ["00000-", "00001-", "00002-", "00003-"]


def test_a_whole_shard_is_not_written_again(root: Path, tmp_path: Path) -> None:
    manifest, first = make(root, tmp_path / "out")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.parquet")}
    again, second = make(root, tmp_path / "out")
    assert [result.reused for result in first] == [False] * 5
    assert [result.reused for result in second] == [True] * 5
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.parquet")}
    assert again == manifest


def test_stale_shards_go_from_a_store_too_and_nothing_else_does(bucket: Path) -> None:
    kept, stale = "fan/train/00000-0123456789ab.parquet", "fan/train/00000-ba9876543210.parquet"
    for name in (kept, stale, "fan/train/mine.parquet"):
        write_whole(bucket / name, name)
    shards._remove_stale(bucket, keep=frozenset({kept}))
    assert set(sizes(bucket, [])) == {kept, "fan/train/mine.parquet"}


def test_a_changed_recording_renews_its_shard_only_and_the_stale_one_goes(root: Path, tmp_path: Path) -> None:
    before, _ = make(root, tmp_path / "out")
    noise_wav(root / "fan/test/anomaly_id_00_00000000.wav", seed=99)
    (tmp_path / "out/fan/test/mine.parquet").touch()  # not named like a shard: not ours to remove
    (tmp_path / "out/fan/test/.00000-0123456789ab.parquet.123.part").touch()
    after, results = make(root, tmp_path / "out")
    assert [result.reused for result in results] == [True, True, False, True, True]
    assert after.fingerprint != before.fingerprint
    assert after.source != before.source
    names = sorted(path.name for path in (tmp_path / "out/fan/test").iterdir())
    assert names == [Path(after.shards[2].path).name, "mine.parquet"]


def test_the_fingerprint_is_of_the_content_and_not_of_times_or_places(root: Path, tmp_path: Path) -> None:
    before, _ = make(root, tmp_path / "out")
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    after, _ = make(tmp_path / "copy", tmp_path / "out2")
    assert after.fingerprint == before.fingerprint
    assert after.source != before.source
    assert {shard.path for shard in after.shards}.isdisjoint(shard.path for shard in before.shards)


def test_plans_can_be_sent_to_another_process(root: Path, tmp_path: Path) -> None:
    plans = plans_of(read_corpus(root), tmp_path)
    assert pickle.loads(pickle.dumps(plans)) == plans


def test_a_bad_recording_is_left_out_and_listed_and_remembered(root: Path, tmp_path: Path) -> None:
    os.truncate(root / "fan/train/normal_id_00_00000001.wav", 1000)
    noise_wav(root / "fan/test/normal_id_00_00000000.wav", seed=1, samples=5000)
    for _ in range(2):  # the second time the shards themselves say what was wrong
        manifest, _ = make(root, tmp_path / "out")
        (problem,) = read_quarantine(tmp_path / "out")
        assert problem.path == "fan/train/normal_id_00_00000001.wav"
        assert "header says 320000 bytes" in problem.cause
        assert manifest.quarantined == 1
        assert manifest.notes == {"longer than 10 s: its first 10 s used": 1, "shorter than 10 s: repeated": 1}
        notes = (tmp_path / "out/notes.csv").read_text()
        assert "fan/test/normal_id_00_00000000.wav,shorter than 10 s: repeated\n" in notes
        assert manifest.count_clips() == 15


def test_a_shard_of_bad_recordings_only_is_empty_and_does_not_trouble_readers(root: Path, tmp_path: Path) -> None:
    (root / "fan/eval/id_00_00000000.wav").write_bytes(b"")
    manifest, _ = make(root, tmp_path / "out")
    assert [shard.rows for shard in manifest.shards if shard.split == "eval"] == [0]
    assert manifest.shards_of(["eval"]) == ()
    assert read_labels(tmp_path / "out", splits=["eval"]).num_rows == 0


def test_a_machine_that_lost_all_its_training_clips_leaves_with_its_test_clips(root: Path, tmp_path: Path) -> None:
    for path in root.glob("fan/train/normal_id_00_*"):
        path.write_bytes(b"")
    corpus = read_corpus(root)
    plans = plans_of(corpus, tmp_path / "out")
    left = usable(corpus, plans, [write_shard(plan) for plan in plans])
    assert {str(clip.machine) for clip in left.clips} == {"fan id_02", "Pump id_00"}
    assert len(left.problems) == 5 + 2 + 1
    assert "no training clips of fan id_00" in [problem.cause for problem in left.problems]
    plans = plans_of(left, tmp_path / "out")
    assert usable(left, plans, [write_shard(plan) for plan in plans]) is left


def test_fewer_than_two_machines_with_usable_training_clips_are_refused(root: Path, tmp_path: Path) -> None:
    for path in [*root.glob("fan/train/normal_id_00_*"), *root.glob("Pump/train/*")]:
        path.write_bytes(b"")
    corpus = read_corpus(root)
    plans = plans_of(corpus, tmp_path / "out")
    results = [write_shard(plan) for plan in plans]
    with pytest.raises(InputError, match=r"found only fan id_02.*6 cannot be used: see .*quarantine\.csv"):
        usable(corpus, plans, results)
    assert len(read_quarantine(tmp_path / "out")) == 6


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_one_flipped_bit_is_noticed_on_reading_and_mended_by_the_next_call(
    root: Path, tmp_path: Path, place: float
) -> None:
    manifest, _ = make(root, tmp_path / "out")
    path = tmp_path / "out" / manifest.shards[0].path
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= 1
    path.write_bytes(bad)
    with pytest.raises(InputError, match=r"\.parquet: damaged .*prepare the shards again"):
        read_shard(path)
    again, results = make(root, tmp_path / "out")
    assert [result.reused for result in results] == [False, True, True, True, True]
    assert path.read_bytes() == good
    assert again == manifest


def test_a_full_disk_leaves_no_half_shard_and_is_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plans_of(read_corpus(root), tmp_path / "out")[0]

    def full(table: object, file: object, **_: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shards.pq, "write_table", full)
    with pytest.raises(
        EnvironmentFailure,
        match=r"00000-[0-9a-f]+.parquet: cannot be written \(No space left on device\); free some",
    ):
        write_shard(plan)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_a_file_in_the_way_of_the_folder_is_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    plan = plans_of(read_corpus(root), tmp_path / "out")[0]
    with pytest.raises(InputError, match="cannot be written"):
        write_shard(plan)


def test_labels_are_read_without_the_sound(root: Path, tmp_path: Path) -> None:
    make(root, tmp_path / "out")
    table = read_labels(tmp_path / "out")
    assert table.column_names == [name for name in SCHEMA.names if name != "pcm"]
    assert table.num_rows == 16
    tested = read_labels(tmp_path / "out", splits=["test"])
    assert sorted(tested.column("is_anomaly").to_pylist()) == [False, False, True, True]


def test_the_manifest_survives_saving_and_loading(root: Path, tmp_path: Path) -> None:
    manifest, _ = make(root, tmp_path / "out")
    assert Manifest.load(tmp_path / "out") == manifest
    assert [str(machine) for machine in manifest.machines] == ["fan id_00", "fan id_02", "Pump id_00"]
    assert [shard.machine_type for shard in manifest.shards_of(["train"], machine_type="Pump")] == ["Pump"]


def test_a_manifest_that_does_not_fit_is_refused_with_its_path_and_field(root: Path, tmp_path: Path) -> None:
    make(root, tmp_path / "out")
    path = tmp_path / "out/manifest.json"
    whole = json.loads(path.read_text())
    with pytest.raises(InputError, match=r"elsewhere/manifest\.json: missing"):
        Manifest.load(tmp_path / "elsewhere")
    for change, message in [
        ({"format": 2}, "format: "),
        ({"num_samples": 16_000}, "num_samples: "),
        ({"classes": [["fan", "id_00"]]}, "classes: "),
        ({"surprise": 1}, "surprise: "),
        ({"shards": [{**whole["shards"][0], "path": "../../etc/passwd"}]}, r"shards\.0\.path: "),
        ({"quarantined": "1"}, "quarantined: "),
    ]:
        path.write_text(json.dumps(whole | change))
        with pytest.raises(InputError, match=rf"manifest\.json: {message}"):
            Manifest.load(tmp_path / "out")
    path.write_text(json.dumps(whole)[:100])
    with pytest.raises(InputError, match=r"manifest\.json: the file: "):
        Manifest.load(tmp_path / "out")


def test_a_manifest_with_a_missing_or_cut_shard_is_refused(root: Path, tmp_path: Path) -> None:
    manifest, _ = make(root, tmp_path / "out")
    path = tmp_path / "out" / manifest.shards[1].path
    os.truncate(path, 100)
    with pytest.raises(InputError, match=rf"{path.name}: this shard is cut or changed"):
        Manifest.load(tmp_path / "out")
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name}: this shard is missing"):
        Manifest.load(tmp_path / "out")
