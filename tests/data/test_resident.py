"""The clips of a worker: a batch is what a plain computation gives, and an epoch is every clip once."""

import numpy as np
import pytest
import torch

from asd_ray.data.resident import Batch, Block, Index, Labels, OnDevice, Resident, shuffled

SAMPLES, MELS, FRAMES = 50, 4, 3
SIZES = (3, 1, 4)  # clips per block
COUNT = sum(SIZES)


def make_labels() -> Labels:
    return Labels(
        clip_id=np.array([f"fan/train/normal_id_00_{number:08d}.wav" for number in range(COUNT)]),
        split=np.array(["train", "test", "valid", "train", "train", "eval", "test", "train"]),
        machine_type=np.array(["fan", "fan", "fan", "pump", "fan", "pump", "pump", "fan"]),
        machine_id=np.array(["id_00"] * COUNT),
        class_index=np.arange(COUNT)[::-1].copy(),
        is_anomaly=np.array([0, 1, 0, 0, 0, -1, -1, 0], np.int8),
    )


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    """PCM (full scale included) and log-mel of every clip, by clip."""
    rng = np.random.default_rng(0)
    pcm_NL = rng.integers(-32768, 32768, (COUNT, SAMPLES)).astype(np.int16)
    pcm_NL[0, :2] = (-32768, 32767)
    return pcm_NL, rng.normal(-40, 20, (COUNT, MELS, FRAMES)).astype(np.float16)


@pytest.fixture
def resident(rows: tuple[np.ndarray, np.ndarray]) -> Resident:
    """The same clips, lying in blocks in another order."""
    pcm_NL, sgram_NFT = rows
    order = np.random.default_rng(1).permutation(COUNT)
    laid = np.argsort(order)  # the clip that lies at each place
    cuts = np.cumsum(SIZES)[:-1]
    blocks = [
        Block(pcm, sgram)
        for pcm, sgram in zip(np.split(pcm_NL[laid], cuts), np.split(sgram_NFT[laid], cuts), strict=True)
    ]
    for block in blocks:
        for array in block:
            array.flags.writeable = False
    return Resident(make_labels(), blocks, order)


@pytest.mark.parametrize("index", [[0], [7, 0, 3], [2, 2], list(range(COUNT))])
def test_gather_equals_a_plain_computation(
    resident: Resident, rows: tuple[np.ndarray, np.ndarray], index: list[int]
) -> None:
    pcm_NL, sgram_NFT = rows
    batch = resident.gather(np.array(index))
    assert torch.equal(batch.wave_BL, torch.from_numpy(pcm_NL[index] / 32768.0).float())
    assert torch.equal(batch.sgram_BFT, torch.from_numpy(sgram_NFT[index].astype(np.float32)))
    assert batch.class_B.tolist() == [COUNT - 1 - clip for clip in index]
    assert (batch.wave_BL.dtype, batch.sgram_BFT.dtype, batch.class_B.dtype) == (
        torch.float32,
        torch.float32,
        torch.int64,
    )


def test_waves_lie_in_minus_one_to_below_one(resident: Resident) -> None:
    wave_BL = resident.gather(np.array([0])).wave_BL
    assert wave_BL[0, :2].tolist() == [-1.0, 32767 / 32768]


def test_writing_into_a_batch_does_not_touch_the_clips(resident: Resident) -> None:
    before = [tensor.clone() for tensor in resident.gather(np.arange(COUNT))]
    for tensor in resident.gather(np.arange(COUNT)):
        tensor.zero_()
    for one, other in zip(before, resident.gather(np.arange(COUNT)), strict=True):
        assert torch.equal(one, other)


def test_a_smaller_batch_after_a_larger_one_has_its_own_clips(resident: Resident) -> None:
    whole = [tensor.clone() for tensor in resident.gather(np.arange(COUNT))]
    for one, other in zip(whole, resident.gather(np.array([3, 1])), strict=True):
        assert torch.equal(one[[3, 1]], other)


def test_clips_on_a_device_give_the_same_batches(resident: Resident) -> None:
    on_device = OnDevice(resident, torch.device("cpu"))
    assert on_device.labels is resident.labels
    for index in ([0], [5, 1, 1], list(range(COUNT))):
        for one, other in zip(resident.gather(np.array(index)), on_device.gather(np.array(index)), strict=True):
            assert torch.equal(one, other)
            assert one.dtype == other.dtype


def test_a_batch_goes_to_a_device_and_stays_where_it_is(resident: Resident) -> None:
    batch = resident.gather(np.array([2, 0]))
    moved = batch.to(torch.device("meta"))
    assert isinstance(moved, Batch)
    assert {tensor.device.type for tensor in moved} == {"meta"}
    assert all(one is other for one, other in zip(batch, batch.to(torch.device("cpu")), strict=True))


def test_where_gives_the_positions_of_splits_and_machine_types_in_order() -> None:
    labels = make_labels()
    assert labels.where(splits=["train"], machine_types=["fan"]).tolist() == [0, 4, 7]
    assert labels.where(splits={"test", "eval"}, machine_types=("fan", "pump")).tolist() == [1, 5, 6]
    assert labels.where(splits=["train"], machine_types=[]).tolist() == []


def epoch(index: Index, *, seed: int = 0, batch_size: int = 4, smallest: int = 2) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [batch.tolist() for batch in shuffled(index, rng, batch_size=batch_size, smallest=smallest)]


INDEX = np.arange(100, 123)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 10, 23])
def test_an_epoch_has_every_clip_once_and_no_tiny_batch(count: int) -> None:
    batches = epoch(INDEX[:count])
    assert sorted(clip for batch in batches for clip in batch) == INDEX[:count].tolist()
    assert all(len(batch) >= min(2, count) for batch in batches)


@pytest.mark.parametrize(
    ("count", "smallest", "sizes"),
    [
        (8, 2, [4, 4]),
        (9, 2, [4, 5]),
        (10, 2, [4, 4, 2]),
        (10, 3, [4, 6]),
        (11, 4, [4, 7]),
        (1, 2, [1]),
        (3, 4, [3]),
    ],
)
def test_a_last_batch_below_the_smallest_joins_the_one_before(count: int, smallest: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in epoch(INDEX[:count], smallest=smallest)] == sizes


def test_the_order_follows_from_the_generator_alone() -> None:
    assert epoch(INDEX) == epoch(INDEX)
    assert epoch(INDEX) != epoch(INDEX, seed=1)
    flat = [clip for batch in epoch(INDEX, batch_size=4) for clip in batch]
    assert flat == [clip for batch in epoch(INDEX, batch_size=7) for clip in batch]
    assert flat != sorted(flat)
