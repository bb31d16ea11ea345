"""The weights that are handed over are those of the network that was judged, or none."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from asd_ray.report.winners import LostWeightsError, write_weights
from asd_ray.training import checkpoint

EPOCHS = 9


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A training's state after its last epoch, with the one before it; the weights say which is which."""
    path = tmp_path / "state.pt"
    for epoch in (EPOCHS - 1, EPOCHS):
        checkpoint.save(path, {"module": {"weight": torch.full((4,), float(epoch))}, "epoch": epoch})
    return path


def test_the_weights_are_those_of_the_last_epoch(state: Path, tmp_path: Path) -> None:
    write_weights(state, tmp_path / "model.safetensors", epochs=EPOCHS)
    assert load_file(tmp_path / "model.safetensors")["weight"].tolist() == [EPOCHS] * 4


def flip_a_bit(state: Path) -> None:
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)


def put_the_one_before_in_its_place(state: Path) -> None:
    checkpoint.previous(state).replace(state)


@pytest.mark.parametrize("damage", [flip_a_bit, put_the_one_before_in_its_place, Path.unlink])
def test_an_earlier_epoch_s_weights_are_never_handed_over_in_their_stead(
    state: Path, tmp_path: Path, damage: object
) -> None:
    assert callable(damage)
    damage(state)
    model = tmp_path / "model.safetensors"
    with pytest.raises(LostWeightsError, match=r"state\.pt: missing or damaged; train the config again with"):
        write_weights(state, model, epochs=EPOCHS)
    assert not model.exists()
