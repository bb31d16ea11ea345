"""The triangular filters of a log-mel: torchaudio's, or our own where torchaudio cannot be loaded.

The compiled part of torchaudio loads only with the torch that it was built for, not with one for CPUs alone or for
another CUDA. Both versions take the same steps in the same order, so they agree to the last bit
(tests/models/test_mel_filters.py) and no figure depends on which one was used.
"""

import math
from typing import Literal

import torch
from torch import Tensor

HERTZ_PER_MEL = 200.0 / 3  # of Slaney's scale below 1 kHz
KNEE = 1000.0  # Hz: above it Slaney's scale is logarithmic
STEP = math.log(6.4) / 27.0


def mel_filters(
    *,
    num_bins: int,
    num_mels: int,
    sample_rate: int,
    mel_scale: Literal["slaney", "htk"],
    norm: Literal["slaney"] | None,
) -> Tensor:
    """float32 (S, F): the weight of each of S spectrum bins, from 0 Hz to half the rate, in each of F mel bins."""
    try:
        from torchaudio.functional import melscale_fbanks
    except (ImportError, OSError, RuntimeError):  # not installed; another CUDA's library; another CUDA's version
        return own_filters(
            num_bins=num_bins, num_mels=num_mels, sample_rate=sample_rate, mel_scale=mel_scale, norm=norm
        )
    filters_SF: Tensor = melscale_fbanks(
        n_freqs=num_bins,
        f_min=0.0,
        f_max=sample_rate / 2,
        n_mels=num_mels,
        sample_rate=sample_rate,
        norm=norm,
        mel_scale=mel_scale,
    )
    return filters_SF


def own_filters(
    *,
    num_bins: int,
    num_mels: int,
    sample_rate: int,
    mel_scale: Literal["slaney", "htk"],
    norm: Literal["slaney"] | None,
) -> Tensor:
    """The same without torchaudio. Filter f rises from corner f to corner f + 1, and falls to corner f + 2."""
    bins_S = torch.linspace(0, sample_rate // 2, num_bins)
    corners = _hertz(torch.linspace(0.0, _mel(sample_rate / 2, mel_scale), num_mels + 2), mel_scale)
    widths = corners[1:] - corners[:-1]
    above = corners.unsqueeze(0) - bins_S.unsqueeze(1)  # how far each corner is above each bin, in Hz
    rising_SF = (-1.0 * above[:, :-2]) / widths[:-1]
    falling_SF = above[:, 2:] / widths[1:]
    filters_SF = torch.min(rising_SF, falling_SF).clamp(min=0.0)
    if norm == "slaney":  # gives every filter the same area
        filters_SF = filters_SF * (2.0 / (corners[2:] - corners[:-2]))
    return filters_SF


def _mel(hertz: float, scale: Literal["slaney", "htk"]) -> float:
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + (hertz / 700.0))
    if hertz < KNEE:
        return hertz / HERTZ_PER_MEL
    return KNEE / HERTZ_PER_MEL + math.log(hertz / KNEE) / STEP


def _hertz(mels: Tensor, scale: Literal["slaney", "htk"]) -> Tensor:
    if scale == "htk":
        return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    knee = KNEE / HERTZ_PER_MEL
    hertz, above = HERTZ_PER_MEL * mels, mels >= knee
    hertz[above] = KNEE * torch.exp(STEP * (mels[above] - knee))
    return hertz
