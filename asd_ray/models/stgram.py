"""STgram: sgram and tgram stacked as one picture for MobileFaceNet.

Axes: B batch, L samples, F mel bins, T frames, K channels, E embedding.
Source: Liu et al., "Anomalous sound detection using spectral-temporal information fusion", ICASSP 2022, and its
code: bottlenecks and log-mel are those of the code's configuration (torchaudio's defaults: HTK mels, no norm); the
paper may have used others. Two details of the log-mel are not torchaudio's: we pad a clip with zeros, where
torchaudio reflects the wave, and add 1e-10 before the logarithm, where torchaudio clamps to it.
"""

import torch
from torch import Tensor, nn

from asd_ray.models.mel import OF_STGRAM as MEL
from asd_ray.models.mobilefacenet import MobileFaceNet, scaled
from asd_ray.models.tgram import Tgram


class Stgram(nn.Module):
    """Wave and sgram -> 128-d embedding. Width 1.0 is the published network; less is cheaper."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        num_mels, num_frames = MEL.num_mels, MEL.num_frames
        self.tgram = Tgram(num_mels=num_mels, num_frames=num_frames, hop=MEL.hop, hidden=scaled(num_mels, width))
        self.backbone = MobileFaceNet(in_channels=2, num_mels=num_mels, num_frames=num_frames, width=width)

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor) -> Tensor:
        """embedding_BE."""
        tgram_BFT = self.tgram(wave_BL)
        picture_BKFT = torch.stack([sgram_BFT.to(tgram_BFT), tgram_BFT], dim=1)
        embedding_BE: Tensor = self.backbone(picture_BKFT)
        return embedding_BE
