"""A trial whose state is damaged goes on from the one before, or begins anew, and comes to the same end."""

import hashlib
import io
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from asd_ray.config import RunConfig
from asd_ray.data.resident import Resident
from asd_ray.errors import EnvironmentFailure
from asd_ray.training import checkpoint
from asd_ray.training.messages import EpochReport, TrialOrder
from asd_ray.training.trial import Trial
from tests.disk import mounted

Damage = Callable[[bytes], bytes]


def flip(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def flip_in(part: slice, seed: int) -> Damage:
    """One bit of the header, the middle or the trailer."""
    return lambda data: flip(data, random.Random(seed).choice(range(8 * len(data))[part]))


HEADER, MIDDLE, TRAILER = slice(0, 8 * 60), slice(8 * 60, -8 * 39), slice(-8 * 39, None)
DAMAGES: dict[str, Damage] = {
    "zero bytes": lambda data: b"",
    "cut after one byte": lambda data: data[:1],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut by one byte": lambda data: data[:-1],
    "only zeros": lambda data: bytes(len(data)),
    "zeros at the end": lambda data: data[:-4096] + bytes(4096),
    "more bytes": lambda data: data + b"\0",
    **{f"bit in the header {seed}": flip_in(HEADER, seed) for seed in range(3)},
    **{f"bit in the middle {seed}": flip_in(MIDDLE, seed) for seed in range(4)},
    **{f"bit in the trailer {seed}": flip_in(TRAILER, seed) for seed in range(3)},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the tests of this file share: it is filled by the first of them."""
    return {"folder": tmp_path_factory.mktemp("trials") / "whole"}


@pytest.fixture
def start(clips: Resident, config: RunConfig) -> Callable[[Path], Trial]:
    torch.set_num_threads(1)

    def make(folder: Path) -> Trial:
        order = TrialOrder(config=config, machine_types=("fan", "pump"), score_at=(1, 3), folder=str(folder))
        return Trial(order, clips, num_classes=4, device=torch.device("cpu"))

    return make


@pytest.fixture
def whole(made: dict[str, Any], start: Callable[[Path], Trial]) -> list[EpochReport]:
    """The reports of three epochs that nothing disturbed; their files are in `made`."""
    if "reports" not in made:
        trial = start(made["folder"])
        made["reports"] = [timeless(trial.epoch(epoch)) for epoch in (1, 2, 3)]
        made["weights"] = trial.training.state_dict()["module"]
    reports: list[EpochReport] = made["reports"]
    return reports


def timeless(report: EpochReport) -> EpochReport:
    return replace(report, seconds=0.0)


def assert_ends_as_the_whole_one(trial: Trial, made: dict[str, Any]) -> None:
    """Every report, every weight and every score, bit for bit."""
    assert [timeless(trial.epoch(epoch)) for epoch in (1, 2, 3)] == made["reports"]
    weights = trial.training.state_dict()["module"]
    assert weights.keys() == made["weights"].keys()
    assert all(torch.equal(weights[name], value) for name, value in made["weights"].items())
    for name in ("scores.parquet",):
        assert pq.read_table(trial.folder / name).equals(pq.read_table(made["folder"] / name))
    assert [path for path in trial.folder.iterdir() if path.name.endswith(".part")] == []


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_costs_exactly_one_epoch(
    name: str, whole: list[EpochReport], made: dict[str, Any], start: Callable[[Path], Trial], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made["folder"], tmp_path / "trial"))
    state = folder / "state.pt"
    damaged = DAMAGES[name](state.read_bytes())
    assert damaged != state.read_bytes()
    state.write_bytes(damaged)
    trial = start(folder)
    assert trial.training.epoch == 2
    assert list(trial.history) == [1, 2]
    trained = count_epochs(trial)
    assert_ends_as_the_whole_one(trial, made)
    assert trained() == 1


def count_epochs(trial: Trial) -> Callable[[], int]:
    """How many epochs the trial has trained since now."""
    before = trial.training.epoch
    return lambda: trial.training.epoch - before


@pytest.mark.parametrize("damage", ["zero bytes", "cut in the middle", "bit in the middle 0"])
def test_with_both_states_damaged_a_trial_begins_anew(
    damage: str, whole: list[EpochReport], made: dict[str, Any], start: Callable[[Path], Trial], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made["folder"], tmp_path / "trial"))
    for path in (folder / "state.pt", checkpoint.previous(folder / "state.pt")):
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    trial = start(folder)
    assert (trial.training.epoch, trial.history) == (0, {})
    assert_ends_as_the_whole_one(trial, made)


def other_version(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "format": checkpoint.FORMAT + 1}


def without_optimizer(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != "optimizer"}


def without_history(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != "history"}


def with_other_layers(state: dict[str, Any]) -> dict[str, Any]:
    """The first layers of the other model are taken over before the last one is found to differ."""
    classifier = {name: torch.full_like(value, 7) for name, value in state["module"].items()}
    last = list(classifier)[-1]
    return {**state, "module": {**classifier, last: torch.zeros(99)}}


@pytest.mark.parametrize("change", [other_version, without_optimizer, without_history, with_other_layers])
def test_whole_states_of_another_make_are_not_used_and_the_trial_begins_anew(
    change: Callable[[dict[str, Any]], dict[str, Any]],
    whole: list[EpochReport],
    made: dict[str, Any],
    start: Callable[[Path], Trial],
    tmp_path: Path,
) -> None:
    folder = Path(shutil.copytree(made["folder"], tmp_path / "trial"))
    for path in (folder / "state.pt", checkpoint.previous(folder / "state.pt")):
        archive = io.BytesIO()
        torch.save(change(torch.load(path, weights_only=True)), archive)
        data = archive.getvalue()
        path.write_bytes(data + b"sha256:" + hashlib.sha256(data).digest())
    trial = start(folder)
    assert (trial.training.epoch, trial.history) == (0, {})
    assert_ends_as_the_whole_one(trial, made)


def test_a_full_disk_is_named_leaves_the_states_whole_and_with_space_the_trial_goes_on(
    whole: list[EpochReport], made: dict[str, Any], start: Callable[[Path], Trial], tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk") as disk:
        folder = disk.folder / "trial"
        trial = start(folder)
        trial.epoch(1)
        trial.epoch(2)
        states = {path.name: path.read_bytes() for path in folder.glob("state*")}
        disk.leave(len(states["state.pt"]) // 2)
        with pytest.raises(EnvironmentFailure) as raised:
            trial.epoch(3)
        assert str(raised.value) == (
            f"{folder / 'state.pt'}: cannot be written (No space left on device); free some space there"
        )
        assert {path.name: path.read_bytes() for path in folder.glob("state*")} == states
        assert list(folder.glob(".*")) == []
        disk.make_space()
        again = start(folder)
        assert again.training.epoch == 2
        assert_ends_as_the_whole_one(again, made)
