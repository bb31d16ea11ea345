"""The log-mel spectrogram (sgram) of a wave, in dB.

Axes: L samples, S spectrum bins, F mel bins, T frames; `...` any leading axes, none included.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_ray.clip import SAMPLE_RATE
from asd_ray.models.mel import MelSettings
from asd_ray.models.mel_filters import mel_filters

FRAMES_AT_ONCE = 160  # half of a clip's frames; they and their spectrum fill 2.6 MB
NUM_GROUPS = 8  # of neighbouring filters; more groups skip more zeros, fewer make larger products
CENTRE, SPREAD = -30.0, 20.0  # dB: with these, a machine's log-mel is close to standard normal


def standardised(sgram: Tensor) -> Tensor:
    """Standardise by constants, the same for every clip; for networks that reconstruct or weigh a log-mel.

    >>> standardised(torch.tensor([-30.0, -10.0])).tolist()
    [0.0, 1.0]
    """
    return (sgram - CENTRE) / SPREAD


class LogMels(nn.Module):
    """One or several log-mels of a wave, stacked on the mel axis."""

    def __init__(self, settings: Sequence[MelSettings]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(LogMel(one) for one in settings)

    def forward(self, wave: Tensor) -> Tensor:
        """float32 (..., L) -> float32 (..., F of all, T)."""
        return torch.cat([part(wave) for part in self.parts], dim=-2)


class LogMel(nn.Module):
    """10 * log10(mel filters applied to |STFT|^2, plus eps).

    Periodic Hann window of n_fft samples; frame t is centred on sample t * hop; the wave is padded with zeros.
    """

    def __init__(self, settings: MelSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or MelSettings()
        filters_SF = mel_filters(
            num_bins=self.settings.n_fft // 2 + 1,
            num_mels=self.settings.num_mels,
            sample_rate=SAMPLE_RATE,
            mel_scale=self.settings.mel_scale,
            norm=self.settings.norm,
        )
        self.bands = []  # each group of filters sees only the spectrum bins from `low` to `high`
        for index, group_SF in enumerate(filters_SF.chunk(NUM_GROUPS, dim=1)):
            used = group_SF.any(dim=1).nonzero().flatten().tolist() or [0]
            low, high = used[0], used[-1] + 1
            # A complex number's power is the sum of two squares: the filters take both, and do the sum.
            self.bands.append((2 * low, 2 * high))
            filters = group_SF[low:high].repeat_interleave(2, dim=0)
            self.register_buffer(f"filters_{index}", filters, persistent=False)
        window = torch.hann_window(self.settings.n_fft)
        self.register_buffer("window", window, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """float32 (..., L) -> float32 (..., F, T)."""
        wave_NL = wave.reshape(-1, wave.shape[-1])
        if wave.device.type == "cpu":  # in pieces that stay in the cache of a core, which is twice as fast
            sgram_NFT = torch.stack(
                [self._sgram(wave_1L, frames=FRAMES_AT_ONCE)[0] for wave_1L in wave_NL[:, None]]
            )
        else:
            sgram_NFT = self._sgram(wave_NL, frames=self.settings.num_frames)
        return sgram_NFT.reshape(*wave.shape[:-1], *sgram_NFT.shape[1:])

    def _sgram(self, wave_NL: Tensor, *, frames: int) -> Tensor:
        """The log-mel, computed `frames` frames at a time."""
        settings = self.settings
        half = settings.n_fft // 2
        # torch.stft gives the same numbers with time innermost; every later step would stride through memory.
        frames_NTL = F.pad(wave_NL, (half, half)).unfold(-1, settings.n_fft, settings.hop)
        mel_NTF = wave_NL.new_empty(*frames_NTL.shape[:2], settings.num_mels)
        for start in range(0, frames_NTL.shape[1], frames):
            part_NTL = frames_NTL[:, start : start + frames]
            out_NTF = mel_NTF[:, start : start + frames]
            spectrum_NTS = torch.fft.rfft(part_NTL * self.get_buffer("window"))
            power_NTS = torch.view_as_real(spectrum_NTS).square_().flatten(-2)
            first = 0
            for index, (low, high) in enumerate(self.bands):
                filters_SF = self.get_buffer(f"filters_{index}")
                last = first + filters_SF.shape[1]
                out_NTF[..., first:last] = power_NTS[..., low:high] @ filters_SF
                first = last
        mel_NTF.add_(settings.eps).log10_().mul_(10.0)
        sgram_NFT: Tensor = mel_NTF.transpose(1, 2).contiguous()
        return sgram_NFT
