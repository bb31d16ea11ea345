"""Arrow tables become a worker's arrays without copies, in the order of clip_id, with hidden labels hidden."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from asd_ray.clip import BYTES_PER_CLIP, NUM_MELS, NUM_SAMPLES
from asd_ray.data import blocks
from asd_ray.data.blocks import add_sgram, blank_labels, collect
from asd_ray.data.manifest import SCHEMA
from asd_ray.models.sgram import LogMel

FRAMES = 313


def make_table(numbers: list[int], *, is_anomaly: list[bool | None] | None = None) -> pa.Table:
    """One clip per number, whose samples are that number and whose class it is."""
    count = len(numbers)
    return pa.table(
        {
            "clip_id": [f"fan/test/{number:03d}.wav" for number in numbers],
            "machine_type": ["fan"] * count,
            "machine_id": [f"id_{number:02d}" for number in numbers],
            "split": ["test"] * count,
            "class_index": numbers,
            "is_anomaly": is_anomaly or [False] * count,
            "num_samples": [NUM_SAMPLES] * count,
            "pcm": [np.full(NUM_SAMPLES, number, "<i2").tobytes() for number in numbers],
        },
        schema=SCHEMA,
    )


def fake_sgram(wave_L: torch.Tensor) -> torch.Tensor:
    """A log-mel whose every value is the number of the clip."""
    return (wave_L[0] * 32768).expand(NUM_MELS, FRAMES)


def with_sgram(numbers: list[int], *, is_anomaly: list[bool | None] | None = None) -> pa.Table:
    return add_sgram(make_table(numbers, is_anomaly=is_anomaly), fake_sgram)


@pytest.mark.parametrize("parts", [[[0, 1, 2, 3]], [[3, 1], [2, 0]], [[2], [3], [0], [1]], [[1], [], [3, 0, 2]]])
def test_clips_come_in_the_order_of_clip_id_whatever_the_blocks(parts: list[list[int]]) -> None:
    resident = collect(with_sgram(numbers) for numbers in parts)
    labels = resident.labels
    assert labels.clip_id.tolist() == [f"fan/test/{number:03d}.wav" for number in range(4)]
    assert labels.machine_id.tolist() == ["id_00", "id_01", "id_02", "id_03"]
    assert labels.class_index.tolist() == [0, 1, 2, 3]
    batch = resident.gather(np.array([3, 0, 1]))
    assert (batch.wave_BL[:, [0, -1]] * 32768).tolist() == [[3, 3], [0, 0], [1, 1]]
    assert batch.sgram_BFT[:, -1, -1].tolist() == [3, 0, 1]
    assert batch.class_B.tolist() == [3, 0, 1]


def test_the_arrays_are_views_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[blocks.Block] = []
    monkeypatch.setattr(blocks, "Resident", lambda labels, found, order: seen.extend(found))
    table = with_sgram([0, 1, 2])
    collect([table])
    for name, array in zip(("pcm", "sgram"), seen[0], strict=True):
        buffer = np.frombuffer(table.column(name).chunk(0).buffers()[2], np.uint8)
        assert np.shares_memory(array, buffer)
        assert not array.flags.writeable


def test_a_slice_and_a_table_of_several_chunks_are_read_right() -> None:
    whole = with_sgram([5, 6, 7, 8])
    sliced = collect([whole.slice(1, 2)])
    assert sliced.gather(np.array([0, 1])).class_B.tolist() == [6, 7]
    assert (sliced.gather(np.array([0, 1])).wave_BL[:, 0] * 32768).tolist() == [6, 7]
    chunked = collect([pa.concat_tables([with_sgram([9]), with_sgram([4])])])
    assert chunked.gather(np.array([0, 1])).sgram_BFT[:, 0, 0].tolist() == [4, 9]


def test_large_binary_columns_are_read_too() -> None:
    table = with_sgram([1, 2])
    for name in ("pcm", "sgram"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, table.column(name).cast(pa.large_binary()))
    assert collect([table]).gather(np.array([1])).sgram_BFT[0, 0, 0] == 2


def test_a_label_that_may_not_be_seen_or_that_nobody_gave_reads_minus_one() -> None:
    table = with_sgram([2, 0, 1, 3], is_anomaly=[True, True, False, None])
    visible = pa.array(["fan/test/001.wav", "fan/test/002.wav", "fan/test/003.wav", "fan/test/999.wav"])
    assert collect([blank_labels(table, visible)]).labels.is_anomaly.tolist() == [-1, 0, 1, -1]
    assert collect([blank_labels(table, pa.array([], pa.string()))]).labels.is_anomaly.tolist() == [-1] * 4
    assert collect([table]).labels.is_anomaly.tolist() == [1, 0, 1, -1]


def test_blanking_changes_nothing_but_the_labels() -> None:
    table = with_sgram([0, 1], is_anomaly=[True, False])
    blank = blank_labels(table, pa.array([], pa.string()))
    assert blank.schema.names == table.schema.names
    assert blank.drop_columns(["is_anomaly"]).equals(table.drop_columns(["is_anomaly"]))


def test_the_log_mel_of_a_clip_is_kept_as_float16_of_the_published_shape() -> None:
    rng = np.random.default_rng(0)
    pcm_L = rng.integers(-3000, 3000, NUM_SAMPLES).astype("<i2")
    table = make_table([0])
    table = table.set_column(table.schema.get_field_index("pcm"), "pcm", pa.array([pcm_L.tobytes()]))
    to_sgram = LogMel()
    found = add_sgram(table, to_sgram)
    expected_FT = to_sgram(torch.from_numpy(pcm_L / 32768.0).float()).half()
    sgram_BFT = collect([found]).gather(np.array([0])).sgram_BFT
    assert torch.equal(sgram_BFT[0], expected_FT.float())
    assert tuple(sgram_BFT.shape[1:]) == (NUM_MELS, FRAMES)
    assert sum(len(found.column(name)[0].as_py()) for name in ("pcm", "sgram")) == BYTES_PER_CLIP
