"""The log-mel spectrogram (sgram) of a wave, in dB.

Axes: L samples, S spectrum bins, F mel bins, T frames; `...` any leading axes, none included.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torchaudio
from torch import Tensor, nn

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE

NUM_GROUPS = 8  # of neighbouring filters; more groups skip more zeros, fewer make larger products


@dataclass(frozen=True, slots=True, kw_only=True)
class MelSettings:
    """Which log-mel a network wants; the defaults are TASTgram's.

    `eps` is added to the power before the logarithm: digital silence reads -156.5 dB.
    """

    n_fft: int = 2048
    hop: int = 512
    num_mels: int = 128
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney"] | None = "slaney"
    power: float = 2.0
    eps: float = 2.0**-52  # sys.float_info.epsilon, as published

    @property
    def num_frames(self) -> int:
        """Frames of a clip of `NUM_SAMPLES` samples.

        >>> MelSettings().num_frames
        313
        """
        return NUM_SAMPLES // self.hop + 1


class LogMel(nn.Module):
    """(20 / power) * log10(mel filters applied to |STFT|^power, plus eps).

    Periodic Hann window of n_fft samples; frame t is centred on sample t * hop; outside the wave lie zeros.
    """

    def __init__(self, settings: MelSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or MelSettings()
        filters_SF = torchaudio.functional.melscale_fbanks(
            n_freqs=self.settings.n_fft // 2 + 1,
            f_min=0.0,
            f_max=SAMPLE_RATE / 2,
            n_mels=self.settings.num_mels,
            sample_rate=SAMPLE_RATE,
            norm=self.settings.norm,
            mel_scale=self.settings.mel_scale,
        )
        self.bands = []  # each group of filters sees only the spectrum bins from `low` to `high`
        for index, group_SF in enumerate(filters_SF.chunk(NUM_GROUPS, dim=1)):
            used = group_SF.any(dim=1).nonzero().flatten().tolist() or [0]
            low, high = used[0], used[-1] + 1
            self.bands.append((low, high))
            self.register_buffer(f"filters_{index}", group_SF[low:high].T.contiguous(), persistent=False)
        window = torch.hann_window(self.settings.n_fft)
        self.register_buffer("window", window, persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """float32 (..., L) -> float32 (..., F, T)."""
        wave_NL = wave.reshape(-1, wave.shape[-1])
        # On a CPU one clip at a time: its spectrum then stays in the cache, which is 3 times as fast.
        at_once = 1 if wave.device.type == "cpu" else len(wave_NL)
        sgram_NFT = torch.cat([self._sgram(part_NL) for part_NL in torch.split(wave_NL, at_once)])
        return sgram_NFT.reshape(*wave.shape[:-1], *sgram_NFT.shape[1:])

    def _sgram(self, wave_NL: Tensor) -> Tensor:
        settings = self.settings
        spectrum_NST = torch.stft(
            wave_NL,
            settings.n_fft,
            settings.hop,
            window=self.get_buffer("window"),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        if settings.power == 2.0:
            power_NST = spectrum_NST.real.square() + spectrum_NST.imag.square()  # spares the square root
        else:
            power_NST = spectrum_NST.abs().pow(settings.power)
        mel_NFT = torch.cat(
            [
                self.get_buffer(f"filters_{index}") @ power_NST[:, low:high]
                for index, (low, high) in enumerate(self.bands)
            ],
            dim=1,
        )
        return (20.0 / settings.power) * torch.log10(mel_NFT + settings.eps)
