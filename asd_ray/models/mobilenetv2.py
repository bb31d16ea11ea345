"""MobileNetV2, which tells the ids of one machine type apart by patches of the log-mel.

Axes: B clips, F mel bins, T frames, P patches of all clips, E embedding, I ids of the machine type.
Source: the MobileNetV2 baseline of DCASE 2021 Task 2: patches of 64 frames, every 8 frames; the score is the mean
over patches of log((1 - p) / p), where p is the probability of the own id (its code puts the bracket elsewhere;
that score falls with p, too). Published with minibatches of patches; here a minibatch is all patches of its clips.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH, HOP = 64, 8  # frames
HALF = 0.5  # of MobileNetV2's channels, as published


class MobileNetV2(nn.Module):
    """Width 1.0 is the published network: torchvision's at half its width. All three input channels are equal."""

    def __init__(self, *, width: float, num_ids: int) -> None:
        from torchvision.models import mobilenet_v2  # here: it takes seconds, and only this system needs it

        super().__init__()
        self.net = mobilenet_v2(width_mult=HALF * width, num_classes=num_ids, dropout=0.0)

    def forward(self, sgram_BFT: Tensor, id_B: Tensor) -> tuple[Tensor, Tensor]:
        """The mean feature of each clip, as embedding_BE with E = 1280, and readout_BK."""
        clips = len(sgram_BFT)
        patch_PFT = sgram_BFT.unfold(2, PATCH, HOP).transpose(1, 2).flatten(0, 1)
        feature_PE = self.net.features(patch_PFT[:, None].expand(-1, 3, -1, -1)).mean(dim=(2, 3))
        logits_PI = self.net.classifier(feature_PE).float()
        id_P = id_B.repeat_interleave(len(patch_PFT) // clips)
        error_P = F.cross_entropy(logits_PI, id_P, reduction="none")
        own_P1 = logits_PI.gather(1, id_P[:, None])
        others_PI = logits_PI.scatter(1, id_P[:, None], float("-inf"))
        evidence_P = others_PI.logsumexp(dim=1) - own_P1[:, 0]
        readout_BK = torch.stack([error_P, evidence_P], dim=1).reshape(clips, -1, 2).mean(dim=1)
        return feature_PE.reshape(clips, -1, feature_PE.shape[1]).mean(dim=1), readout_BK
