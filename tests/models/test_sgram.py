"""The log-mel agrees with the published numbers, with torchaudio, and with one that librosa computed."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asd_ray.models.sgram import LogMel, MelSettings

CLIP = "ToyCar/train/normal_id_01_00000000.flac"
FEATURES = "mlperf_tiny_logmel/ToyCar_normal_id_01_00000000_logmel_200x128_f32le.bin"


def test_log_mel_is_the_published_one_to_a_ten_thousandth_of_a_decibel(case):
    sgram_BFT = LogMel()(case.wave_BL)
    assert sgram_BFT.shape == (len(case.wave_BL), 128, 313)
    np.testing.assert_allclose(sgram_BFT[:, ::8, ::16], case.published("logmel"), rtol=0, atol=1e-4)
    mean, std = case.published("logmel_mean_std")
    np.testing.assert_allclose([sgram_BFT.mean(), sgram_BFT.std()], [mean, std], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        MelSettings(),
        MelSettings(n_fft=1024, mel_scale="htk", norm=None),
        MelSettings(n_fft=512, hop=160, num_mels=40),
    ],
)
def test_log_mel_agrees_with_torchaudio_for_other_settings(settings):
    transforms = pytest.importorskip("torchaudio.transforms", exc_type=(ImportError, OSError, RuntimeError))
    wave_L = torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 0.1
    transform = transforms.MelSpectrogram(
        sample_rate=16_000,
        n_fft=settings.n_fft,
        hop_length=settings.hop,
        n_mels=settings.num_mels,
        power=2.0,
        pad_mode="constant",
        norm=settings.norm,
        mel_scale=settings.mel_scale,
    )
    expected_FT = 10 * torch.log10(transform(wave_L) + sys.float_info.epsilon)
    torch.testing.assert_close(LogMel(settings)(wave_L), expected_FT, rtol=0, atol=1e-3)


def test_a_tone_is_loudest_in_the_band_around_its_frequency():
    time = torch.arange(16_000) / 16_000
    loudest = [
        int(LogMel()(torch.sin(2 * torch.pi * frequency * time)).mean(dim=1).argmax())
        for frequency in (500, 1000, 2000, 4000)
    ]
    # The 128 slaney bands: linear up to 1 kHz, then a factor of 6.4 in 27 mel; 8 kHz is mel 45.245.
    mel_of = [7.5, 15.0, 15 + 27 * np.log(2) / np.log(6.4), 15 + 27 * np.log(4) / np.log(6.4)]
    expected = [round(mel / 45.2454 * 129) - 1 for mel in mel_of]
    assert loudest == pytest.approx(expected, abs=1)


def test_silence_reads_the_floor_and_no_infinity():
    assert torch.allclose(LogMel()(torch.zeros(160_000)), torch.tensor(-156.5356), atol=1e-3)


def test_any_leading_axes_and_a_clip_does_not_depend_on_its_batch():
    wave_BL = torch.randn(2, 3, 4096, generator=torch.Generator().manual_seed(1))
    sgram = LogMel()(wave_BL)
    assert sgram.shape == (2, 3, 128, 9)
    assert torch.equal(sgram[1, 2], LogMel()(wave_BL[1, 2]))


def test_a_longer_hop_means_fewer_frames():
    assert (MelSettings().num_frames, MelSettings(hop=1024).num_frames) == (313, 157)


def test_log_mel_keeps_nothing_in_the_state_dict():
    assert LogMel().state_dict() == {}


def test_a_real_clip_has_the_log_mel_that_librosa_computed_elsewhere():
    golden, sample = os.environ.get("ASD_GOLDEN"), os.environ.get("ASD_SAMPLE")
    if not golden or not sample:
        pytest.skip("set ASD_SAMPLE (a DCASE sample) and ASD_GOLDEN (with mlperf_tiny_logmel/)")
    pcm_L, rate = soundfile.read(Path(sample, CLIP), dtype="float32")
    assert rate == 16_000
    frames_TF = np.fromfile(Path(golden, FEATURES), dtype="<f4").reshape(200, 128)
    sgram_FT = LogMel(MelSettings(n_fft=1024))(torch.from_numpy(pcm_L))
    np.testing.assert_allclose(sgram_FT[:, 50:250].T, frames_TF, rtol=0, atol=1e-3)
