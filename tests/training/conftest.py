"""Twenty humming clips of two machine types, made once."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from asd_ray.clip import NUM_SAMPLES
from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Block, Clips, Labels, Resident
from asd_ray.models.sgram import LogMel
from asd_ray.training.loop import Training

TYPES = ("fan", "pump")
NUM_CLASSES = 4


@pytest.fixture(scope="session")
def clips() -> Resident:
    """Per machine type two ids: a held-out, two training, and a normal and an anomalous test clip of each id."""
    torch.set_num_threads(1)
    rows = [
        (machine_type, machine_id, split, anomaly)
        for machine_type in TYPES
        for machine_id in ("id_00", "id_02")
        for split, anomaly in (("valid", 0), ("train", 0), ("train", 0), ("test", 0), ("test", 1))
    ]
    classes = sorted({row[:2] for row in rows})
    labels = Labels(
        clip_id=np.array([f"{row[0]}/{row[2]}/{number:03d}.wav" for number, row in enumerate(rows)]),
        split=np.array([row[2] for row in rows]),
        machine_type=np.array([row[0] for row in rows]),
        machine_id=np.array([row[1] for row in rows]),
        class_index=np.array([classes.index(row[:2]) for row in rows]),
        is_anomaly=np.array([row[3] for row in rows], np.int8),
    )
    rng, to_sgram = np.random.default_rng(0), LogMel()
    hum_NL = np.sin(np.arange(NUM_SAMPLES) * 0.05 * (1 + labels.class_index[:, None])) * 3000
    pcm_NL = (hum_NL + rng.normal(0, 300, hum_NL.shape)).astype(np.int16)
    sgram_NFT = to_sgram(torch.from_numpy(pcm_NL / 32768.0).float()).half().numpy()
    return Resident(labels, [Block(pcm_NL, sgram_NFT)], np.arange(len(rows)))


@pytest.fixture
def config() -> RunConfig:
    """A sixteenth of the published width, for three epochs of two batches."""
    return replace_settings(
        RunConfig(), ["model.width=0.0625", "train.epochs=3", "train.batch_size=4", "train.learning_rate=1e-3"]
    )


MakeTraining = Callable[..., Training]


@pytest.fixture
def make_training(clips: Resident, config: RunConfig) -> MakeTraining:
    """`make_training("train.seed=1", ..., clips=...)`: a fresh Training."""

    def make(
        *settings: str, clips: Clips = clips, systems: Sequence[str] = (), device: torch.device | None = None
    ) -> Training:
        own = replace_settings(config, settings)
        return Training(own, clips, num_classes=NUM_CLASSES, machine_types=TYPES, systems=systems, device=device)

    return make


def block_of(clips: Resident) -> Block:
    """Copies of all clips, in their order, to be spoiled."""
    pcm, sgram = zip(*(clips.row(clip) for clip in range(len(clips.labels))), strict=True)
    return Block(torch.stack(pcm).numpy(), torch.stack(sgram).numpy())
