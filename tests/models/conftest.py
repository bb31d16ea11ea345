"""The published network's weights and waves, drawn from seeds as tests/golden/README.md says."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Case:
    """One batch that went through the published code, and what came out of it."""

    name: str
    wave_BL: Tensor  # noqa: N815
    class_B: Tensor  # noqa: N815
    partner_B: Tensor  # noqa: N815
    lam: float
    margin: float
    scale: float

    def published(self, what: str) -> npt.NDArray[np.floating]:
        with np.load(GOLDEN / "reference.npz") as arrays:
            return arrays[f"{self.name}/{what}"]


def draw_wave(seed: int) -> npt.NDArray[np.float32]:
    rng, time = np.random.default_rng(seed), np.arange(160_000) / 16_000
    wave = 0.05 * rng.standard_normal(160_000)
    for _ in range(4):
        frequency, amplitude = rng.uniform(60, 4000), rng.uniform(0.02, 0.2)
        phase, beat = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 8)
        envelope = amplitude * (1 + 0.5 * np.sin(2 * np.pi * beat * time))
        wave += envelope * np.sin(2 * np.pi * frequency * time + phase)
    pcm = np.clip(np.round(32768 * wave), -32768, 32767).astype(np.int16)
    return (pcm / 32768).astype(np.float32)


def draw_weight(key: str, shape: tuple[int, ...], *, is_prelu: bool) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    noise = np.asarray(np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape))
    if key.endswith("running_var"):
        values = np.exp(0.1 * noise)
    elif len(shape) <= 1:
        base = 0.25 if is_prelu else 1.0 if key.endswith("weight") else 0.0
        values = base + 0.1 * noise
    else:
        values = noise / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture(scope="session")
def published_state() -> dict[str, Tensor]:
    """A state_dict with the names and shapes of the published network of 41 classes."""
    listing = json.loads((GOLDEN / "reference_keys.json").read_text())
    return {
        key: draw_weight(key, tuple(shape), is_prelu=key in listing["prelu"])
        for key, shape in listing["keys"].items()
    }


@pytest.fixture(scope="session", params=["a", "b"])
def case(request: pytest.FixtureRequest) -> Case:
    numbers = json.loads((GOLDEN / "reference.json").read_text())["cases"][request.param]
    return Case(
        name=request.param,
        wave_BL=torch.from_numpy(np.stack([draw_wave(seed) for seed in numbers["seeds"]])),
        class_B=torch.tensor(numbers["labels"]),
        partner_B=torch.tensor(numbers["index"]),
        lam=numbers["lam"],
        margin=numbers["m"],
        scale=numbers["s"],
    )
