"""Angular-margin logits: from an embedding to one logit per class, with a margin on one class.

Axes: B batch, E embedding, C classes.
Source: Deng et al., "ArcFace", CVPR 2019, non-easy margin, as the published Noisy-ArcMix code has it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The gradient of sqrt(1 - cos^2) is infinite at |cos| = 1; here it is at most 1/sqrt(2e-7), about 2000.
MAX_COSINE = 1.0 - 1e-7


class MarginHead(nn.Module):
    """One centre per class; the output is the cosine between embedding and centre.

    It never computes in bfloat16, which near cos = 1 has steps of 0.004: too coarse for a scale of 30.
    """

    def __init__(self, num_classes: int, embedding_dim: int = 128) -> None:
        super().__init__()
        self.weight_CE = nn.Parameter(torch.empty(num_classes, embedding_dim))
        nn.init.xavier_uniform_(self.weight_CE)

    def forward(self, embedding_BE: Tensor) -> Tensor:
        """cosine_BC."""
        with torch.autocast(embedding_BE.device.type, enabled=False):
            return F.linear(F.normalize(embedding_BE.float()), F.normalize(self.weight_CE.float()))


def margin_logits(cosine_BC: Tensor, class_B: Tensor, *, margin: float | Tensor, scale: float | Tensor) -> Tensor:
    """logits_BC = scale * (phi for the class of the clip, cos for every other class), where

        phi = cos(theta + margin)          if theta + margin < pi, that is cos > cos(pi - margin)
              cos - margin * sin(margin)   beyond, so that phi keeps falling

    `class_B`: int64 class indices. `margin` (radians) and `scale` may be 0-d tensors on the device of the
    cosines, so that one compiled graph serves every value of them.
    """
    margin = torch.as_tensor(margin, dtype=cosine_BC.dtype, device=cosine_BC.device)
    cosine_B = cosine_BC.gather(1, class_B[:, None]).squeeze(1)
    sine_B = (1.0 - cosine_B.clamp(-MAX_COSINE, MAX_COSINE).square()).sqrt()
    phi_B = cosine_B * margin.cos() - sine_B * margin.sin()
    phi_B = torch.where(cosine_B > -margin.cos(), phi_B, cosine_B - margin * margin.sin())
    return scale * cosine_BC.scatter(1, class_B[:, None], phi_B[:, None])
