"""Kept or streamed, a worker sees the same clips; a stream needs no room for the corpus."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from asd_ray.clip import BYTES_PER_CLIP, NUM_MELS
from asd_ray.cluster.runtime import local_ray
from asd_ray.data.bank import Kept, Source, Streamed, _without_small_end, take_in
from asd_ray.data.blocks import collect
from asd_ray.data.manifest import Manifest
from asd_ray.data.prepare import prepare
from asd_ray.data.resident import Batch, Resident
from asd_ray.data.synthetic import write_corpus
from asd_ray.errors import InputError

CPU = torch.device("cpu")
STORE = 80 * 2**20


def quick_sgram() -> "partial[torch.Tensor]":
    """Something that is a function of the wave, in no time."""
    return partial(lambda wave_L: wave_L[: NUM_MELS * 313].reshape(NUM_MELS, 313))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """228 clips, 91 MB with their log-mels, beside an object store of 80 MB."""
    folder = tmp_path_factory.mktemp("bank")
    write_corpus(folder / "machines", ids_per_type=2, train_per_id=15, test_normal_per_id=2, test_anomaly_per_id=2)
    manifest = prepare(folder / "machines", folder / "shards", valid_fraction=0.1)
    assert manifest.count_clips() * BYTES_PER_CLIP > STORE
    with local_ray(cpus=2, object_store_bytes=STORE):
        yield Source(
            folder=folder / "shards",
            to_sgram=quick_sgram,
            visible_labels=("fan/test/normal_id_00_00000000.wav", "fan/test/anomaly_id_00_00000000.wav"),
        )


def epoch(clips: Streamed | Resident, *, seed: int, batch_size: int = 32, types: tuple[str, ...]) -> list[Batch]:
    index_N = clips.labels.where(splits=["train"], machine_types=types)
    rng = np.random.default_rng(seed)
    batches = clips.train_batches(index_N, rng, batch_size=batch_size, smallest=2)
    return [Batch(*(tensor.clone() for tensor in batch)) for batch in batches]


def fingerprints(batches: list[Batch]) -> list[float]:
    """One number per clip, in the order in which they came."""
    return [float(value) for batch in batches for value in batch.pcm_BL.double().square().sum(dim=1)]


@pytest.mark.extra
def test_a_streamed_epoch_of_more_than_the_store_holds_has_every_clip_once(source: Source) -> None:
    streamed = Streamed(source, CPU)
    types = tuple(np.unique(streamed.labels.machine_type))
    batches = epoch(streamed, seed=1, types=types)
    count = len(streamed.labels.where(splits=["train"], machine_types=types))
    assert [len(batch.class_B) for batch in batches] == [32] * (count // 32) + [count % 32]
    assert len(set(fingerprints(batches))) == count
    assert batches[0].class_B.unique().numel() > 2  # not in the order of the shards


@pytest.mark.extra
def test_a_streamed_epoch_follows_from_the_seed(source: Source) -> None:
    once = fingerprints(epoch(Streamed(source, CPU), seed=1, types=("fan", "pump")))
    assert fingerprints(epoch(Streamed(source, CPU), seed=1, types=("fan", "pump"))) == once
    other = fingerprints(epoch(Streamed(source, CPU), seed=2, types=("fan", "pump")))
    assert other != once
    assert sorted(other) == sorted(once)


@pytest.mark.extra
def test_streamed_clips_are_those_that_would_be_kept(source: Source) -> None:
    streamed = Streamed(source, CPU)
    index_N = streamed.labels.where(splits=["test", "valid"], machine_types=["fan"])
    table = pa.concat_tables(
        [source.read(path) for path in dict.fromkeys(path for path, _ in streamed._pieces(index_N))]
    )
    kept = collect([table])
    assert len(index_N) == len(kept.labels) == 12
    for index_B, batch in streamed.read_batches(index_N, batch_size=5):
        same = kept.gather(np.searchsorted(kept.labels.clip_id, streamed.labels.clip_id[index_B]))
        for one, other in zip(batch, same, strict=True):
            assert torch.equal(one, other)
    seen = streamed.labels.is_anomaly >= 0
    assert streamed.labels.clip_id[seen].tolist() == sorted(source.visible_labels)


@pytest.mark.extra
def test_a_damaged_shard_is_named_in_the_middle_of_a_stream(source: Source, tmp_path: Path) -> None:
    folder = shutil.copytree(source.folder, tmp_path / "shards")
    streamed = Streamed(replace(source, folder=folder), CPU)
    (shard,) = (folder / "fan" / "train").iterdir()
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"train/00000-\w+\.parquet: damaged"):
        epoch(streamed, seed=1, types=("fan",))


@pytest.mark.extra
def test_clips_that_ray_data_reads_are_those_that_the_driver_reads(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    manifest = Manifest.load(source.folder)
    kept_types = ["fan", "pump"]  # 76 clips, which fit the store twice
    shutil.copytree(source.folder, folder)
    shards = tuple(shard for shard in manifest.shards if shard.machine_type in kept_types)
    (folder / "manifest.json").write_text(manifest.model_copy(update={"shards": shards}).model_dump_json())
    small = replace(source, folder=folder)
    one, other = (take_in(kept, "shared", CPU) for kept in (Kept.of(small.tables()), small._kept_by_ray_data()))
    assert one.labels.clip_id.tolist() == other.labels.clip_id.tolist()
    assert len(one.labels) == sum(shard.rows for shard in shards) > 0
    for index in range(len(one.labels)):
        for mine, theirs in zip(one.row(index), other.row(index), strict=True):  # type: ignore[attr-defined]
            assert np.array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("sizes", "expected"), [([4, 4, 1], [4, 5]), ([4, 4, 2], [4, 4, 2]), ([1], [1]), ([], []), ([4], [4])]
)
def test_a_last_table_that_is_too_small_joins_the_one_before(sizes: list[int], expected: list[int]) -> None:
    tables = [pa.table({"x": list(range(size))}) for size in sizes]
    assert [len(table) for table in _without_small_end(tables, 2)] == expected
