"""Which log-mels networks need. Without torch, so that a search is defined before networks are imported."""

from dataclasses import dataclass
from typing import Literal

from asd_ray.clip import NUM_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class MelSettings:
    """Which log-mel a network needs; the defaults are TASTgram's.

    `eps` is added to the power before the logarithm, so digital silence gives -156.5 dB.
    """

    n_fft: int = 2048
    hop: int = 512
    num_mels: int = 128
    mel_scale: Literal["slaney", "htk"] = "slaney"
    norm: Literal["slaney"] | None = "slaney"
    eps: float = 2.0**-52  # sys.float_info.epsilon, as published

    @property
    def num_frames(self) -> int:
        """Frames of a clip of `NUM_SAMPLES` samples.

        >>> MelSettings().num_frames
        313
        """
        return NUM_SAMPLES // self.hop + 1


OF_TASTGRAM = MelSettings()
OF_STGRAM = MelSettings(n_fft=1024, mel_scale="htk", norm=None, eps=1e-10)
OF_BASELINES = MelSettings(n_fft=1024)  # for DCASE's autoencoders and MobileNetV2, and for Glow-Aff
