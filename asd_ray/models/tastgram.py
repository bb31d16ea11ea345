"""TASTgram: tgram, sgram and tagram stacked as one picture for MobileFaceNet.

Axes: B batch, L samples, F mel bins, T frames, K channels, E embedding.
Source: Choi and Choi, "Noisy-ArcMix: additive noisy angular margin loss combined with mixup for anomalous
sound detection", ICASSP 2024.
"""

import torch
from torch import Tensor, nn

from asd_ray.models.mel import OF_TASTGRAM as MEL
from asd_ray.models.mobilefacenet import MobileFaceNet, scaled
from asd_ray.models.tgram import Tgram


class Tastgram(nn.Module):
    """Wave and sgram -> 128-d embedding. Width 1.0 is the published network; less is cheaper."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        num_mels, num_frames = MEL.num_mels, MEL.num_frames
        self.tgram = Tgram(num_mels=num_mels, num_frames=num_frames, hop=MEL.hop, hidden=scaled(num_mels, width))
        self.backbone = MobileFaceNet(in_channels=3, num_mels=num_mels, num_frames=num_frames, width=width)

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor) -> Tensor:
        """embedding_BE. A float16 sgram, as caches store it, is widened before the attention."""
        sgram_BFT = sgram_BFT.float()
        tgram_BFT = self.tgram(wave_BL)
        tagram_BFT = attend_time(sgram_BFT)
        picture_BKFT = torch.stack([tgram_BFT, sgram_BFT.to(tgram_BFT), tagram_BFT.to(tgram_BFT)], dim=1)
        embedding_BE: Tensor = self.backbone(picture_BKFT)
        return embedding_BE


def attend_time(sgram_BFT: Tensor) -> Tensor:
    """sigmoid(max over mels + mean over mels) * sgram, as tagram_BFT.

    The weight of a frame is computed from raw dB, so a frame whose maximum and mean sum to -10 dB or less becomes
    almost zero, and one above +10 dB passes unchanged.
    """
    weight_B1T = (sgram_BFT.amax(dim=1, keepdim=True) + sgram_BFT.mean(dim=1, keepdim=True)).sigmoid()
    return weight_B1T * sgram_BFT
