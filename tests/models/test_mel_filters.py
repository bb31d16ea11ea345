"""Our own mel filters are torchaudio's to the last bit, and are taken where torchaudio cannot be loaded."""

import sys
from collections.abc import Iterator

import pytest
import torch

from asd_ray.clip import SAMPLE_RATE
from asd_ray.models import SYSTEMS
from asd_ray.models.mel_filters import mel_filters, own_filters
from asd_ray.models.sgram import LogMel, MelSettings
from tests.hidden import hidden

SETTINGS = [
    *dict.fromkeys(system.mel for system in SYSTEMS.values()),
    MelSettings(n_fft=512, num_mels=40),
    MelSettings(n_fft=4096, num_mels=64, norm=None),
    MelSettings(n_fft=1024, num_mels=80, mel_scale="htk"),
]


@pytest.fixture(
    params=[
        None,
        OSError("Could not load this library: _torchaudio.abi3.so"),
        RuntimeError("PyTorch and TorchAudio were compiled with different CUDA versions"),
    ],
    ids=["not installed", "another library", "another CUDA"],
)
def without_torchaudio(request: pytest.FixtureRequest) -> Iterator[None]:
    with hidden("torchaudio", error=request.param):
        yield


def arguments(settings: MelSettings) -> dict[str, object]:
    return {
        "num_bins": settings.n_fft // 2 + 1,
        "num_mels": settings.num_mels,
        "sample_rate": SAMPLE_RATE,
        "mel_scale": settings.mel_scale,
        "norm": settings.norm,
    }


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_our_own_filters_are_those_of_torchaudio_to_the_last_bit(settings: MelSettings) -> None:
    functional = pytest.importorskip("torchaudio.functional", exc_type=(ImportError, OSError, RuntimeError))
    expected_SF = functional.melscale_fbanks(
        n_freqs=settings.n_fft // 2 + 1,
        f_min=0.0,
        f_max=SAMPLE_RATE / 2,
        n_mels=settings.num_mels,
        sample_rate=SAMPLE_RATE,
        norm=settings.norm,
        mel_scale=settings.mel_scale,
    )
    assert torch.equal(own_filters(**arguments(settings)), expected_SF)


def test_three_filters_by_hand() -> None:
    # Slaney's scale is linear below 1 kHz: corners at 0, 250, ..., 1000 Hz, bins at 0, 125, ..., 1000 Hz.
    filters_SF = own_filters(num_bins=9, num_mels=3, sample_rate=2000, mel_scale="slaney", norm=None)
    rows = [[0, 0, 0], [0.5, 0, 0], [1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1], [0, 0, 0.5]]
    torch.testing.assert_close(filters_SF, torch.tensor([*rows, [0, 0, 0]]), rtol=0, atol=1e-5)
    same_area_SF = own_filters(num_bins=9, num_mels=3, sample_rate=2000, mel_scale="slaney", norm="slaney")
    torch.testing.assert_close(same_area_SF, filters_SF * 2 / 500, rtol=0, atol=1e-7)


@pytest.mark.usefixtures("without_torchaudio")
def test_a_log_mel_is_made_where_torchaudio_cannot_be_loaded() -> None:
    assert torch.equal(mel_filters(**arguments(MelSettings())), own_filters(**arguments(MelSettings())))
    assert LogMel()(torch.zeros(4096)).shape == (128, 9)
    assert "torchaudio" not in sys.modules
