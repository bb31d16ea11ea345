"""A step is measured as lanes train it; a machine that has not the memory for it is told of."""

import multiprocessing
import os

import pytest

from asd_ray.clip import BYTES_PER_CLIP
from asd_ray.config import RunConfig, replace_settings
from asd_ray.errors import InputError
from asd_ray.models.sgram import LogMel
from asd_ray.training import warmup
from asd_ray.training.warmup import Pace, measure_pace, noise

TYPES = ("fan", "fan", "pump", "pump")
SMALL = replace_settings(RunConfig(), ["model.width=0.0625", "train.batch_size=4"])


def test_noise_has_the_shape_of_clips_and_all_classes() -> None:
    clips = noise(5, train=4, class_types=["fan", "fan", "pump"], to_sgram=LogMel())
    pcm_L, sgram_FT = clips.row(0)
    assert pcm_L.nbytes + sgram_FT.nbytes == BYTES_PER_CLIP
    assert clips.labels.class_index.tolist() == [0, 1, 2, 0, 1]
    assert clips.labels.class_types(3) == ["fan", "fan", "pump"]
    assert clips.labels.split.tolist() == ["train"] * 4 + ["valid"]


@pytest.mark.parametrize("system", ["tastgram", "ae", "mobilenetv2"])
def test_a_step_of_a_system_takes_time_and_memory(monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """Those with a network per machine type have one for every type of the classes."""
    config = replace_settings(SMALL, [f"model.name={system}"])
    monkeypatch.setattr(warmup, "LONGEST_S", 0.0)
    monkeypatch.setattr(warmup, "_together", multiprocessing.Barrier(1))
    pace = warmup._measure(config, TYPES, False)
    assert 0 < pace.read_s < 10
    assert 0 < pace.train_s < 10
    assert 10**8 < pace.host_bytes < 10**10
    assert pace.gpu_bytes == 0


def test_the_pace_of_several_systems_is_their_mean_and_the_memory_of_the_largest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paces = {
        "tastgram": Pace(train_s=3.0, read_s=1.0, host_bytes=10, gpu_bytes=2),
        "ae": Pace(train_s=1.0, read_s=0.5, host_bytes=30, gpu_bytes=1),
    }
    monkeypatch.setattr(warmup, "_measure_one", lambda config, *_, **__: paces[config.model.name])
    found = warmup._measure(SMALL, TYPES, False, ("tastgram", "ae"))
    assert found == Pace(train_s=2.0, read_s=0.75, host_bytes=30, gpu_bytes=2)


def test_a_process_that_dies_is_one_line_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "_measure", _die)
    with pytest.raises(
        InputError, match=r"1 lanes of train.batch_size=4.*set fewer --lanes, a smaller train.batch"
    ):
        measure_pace(SMALL, class_types=TYPES, lanes=1, on_gpu=False)


def _die(*_: object) -> None:
    os._exit(9)  # as the kernel ends what exhausts the memory
