"""STSASgram: tgram, sgram and sasgram stacked as one picture for MobileFaceNet.

Axes: B batch, L samples, F mel bins, T frames, K channels, E embedding.
Source: as `spectral`; everything but the third channel is TASTgram's.
"""

import torch
from torch import Tensor, nn

from asd_ray.models.mel import OF_TASTGRAM as MEL
from asd_ray.models.mobilefacenet import MobileFaceNet, scaled
from asd_ray.models.spectral import SpectralAttention
from asd_ray.models.tgram import Tgram


class Stsasgram(nn.Module):
    """Wave and sgram -> 128-d embedding. Width 1.0 is the published network; less is cheaper."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        num_mels, num_frames = MEL.num_mels, MEL.num_frames
        self.tgram = Tgram(num_mels=num_mels, num_frames=num_frames, hop=MEL.hop, hidden=scaled(num_mels, width))
        self.attend = SpectralAttention(num_mels=num_mels, num_frames=num_frames, width=width)
        self.backbone = MobileFaceNet(in_channels=3, num_mels=num_mels, num_frames=num_frames, width=width)

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor) -> Tensor:
        """embedding_BE."""
        sgram_BFT = sgram_BFT.float()
        tgram_BFT, sasgram_BFT = self.tgram(wave_BL), self.attend(sgram_BFT)
        picture_BKFT = torch.stack([tgram_BFT, sgram_BFT.to(tgram_BFT), sasgram_BFT.to(tgram_BFT)], dim=1)
        embedding_BE: Tensor = self.backbone(picture_BKFT)
        return embedding_BE
