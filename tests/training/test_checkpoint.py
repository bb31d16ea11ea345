"""A state on disk is whole, or it is not taken for one."""

import hashlib
import io
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from asd_ray.training import checkpoint
from asd_ray.training.checkpoint import load, load_final, previous, save


def state(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "weights": torch.arange(6.0) + epoch, "history": [{"loss": 0.1 + epoch, "x": None}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of epoch 2, with that of epoch 1 as the previous one."""
    file = tmp_path / "trial" / "state.pt"
    save(file, state(1))
    save(file, state(2))
    return file


def epoch_of(path: Path) -> int | None:
    """Which epoch's state is loaded; fails if it is not as it was saved."""
    found = load(path)
    if found is None:
        return None
    expected = state(found["epoch"])
    assert torch.equal(found["weights"], expected["weights"])
    assert found["history"] == expected["history"]
    return int(found["epoch"])


def test_the_newest_state_is_loaded_and_the_one_before_is_kept(path: Path) -> None:
    assert epoch_of(path) == 2
    save(path, state(3))
    assert epoch_of(path) == 3
    path.unlink()
    assert epoch_of(path) == 2
    assert sorted(file.name for file in path.parent.iterdir()) == ["state.pt.previous"]


def test_the_final_state_is_that_of_the_last_epoch_or_none(path: Path) -> None:
    final = load_final(path, epochs=2)
    assert final is not None
    assert final["epoch"] == 2
    assert load_final(path, epochs=3) is None
    path.write_bytes(path.read_bytes()[:-1])
    assert epoch_of(path) == 1  # to train on from
    assert load_final(path, epochs=2) is None
    shutil.copy(previous(path), path)
    assert load_final(path, epochs=2) is None


def test_without_any_file_there_is_no_state(tmp_path: Path) -> None:
    assert load(tmp_path / "state.pt") is None


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_passed_over(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert epoch_of(path) == 1


def test_zeros_in_place_of_the_data_are_noticed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))
    assert epoch_of(path) == 1


def test_one_flipped_bit_anywhere_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    for position in random.Random(0).sample(range(8 * len(data)), 300):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        assert epoch_of(path) == 1, f"bit {position}"


@pytest.mark.parametrize(
    "other",
    [{"epoch": 3}, {"epoch": 3, "format": checkpoint.FORMAT + 1}, [1, 2], torch.zeros(3)],
    ids=["without a number", "of the next version", "a list", "a tensor"],
)
def test_a_whole_state_of_another_version_is_passed_over(path: Path, other: object) -> None:
    archive = io.BytesIO()
    torch.save(other, archive)
    data = archive.getvalue()
    path.write_bytes(data + b"sha256:" + hashlib.sha256(data).digest())
    assert epoch_of(path) == 1


def test_a_whole_file_that_torch_cannot_read_is_passed_over(path: Path) -> None:
    for data in (b"", b"PK\x03\x04 another archive", pickle.dumps(Path(), protocol=2)):
        path.write_bytes(data + b"sha256:" + hashlib.sha256(data).digest())
        assert epoch_of(path) == 1


def test_two_damaged_files_are_no_state(path: Path) -> None:
    path.write_bytes(b"PK")
    previous(path).write_bytes(b"")
    assert load(path) is None


def test_plain_torch_reads_the_file_without_running_code(path: Path) -> None:
    assert torch.load(path, weights_only=True)["epoch"] == 2


FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from asd_ray.errors import EnvironmentFailure
from asd_ray.training.checkpoint import save
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save(Path(sys.argv[1]), {"epoch": 3, "weights": torch.zeros(100_000)})
except EnvironmentFailure as error:
    print(error)
"""


def test_a_full_disk_is_named_and_leaves_both_states_whole(path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path}: cannot be written (File too large); free some space there\n"
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
