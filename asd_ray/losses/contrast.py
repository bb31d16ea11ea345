"""Supervised contrast: embeddings of one class are drawn together and away from all others.

Axes: B batch, E embedding.
Source of the loss: Khosla et al., "Supervised contrastive learning", 2020, as pytorch-metric-learning has it: of
each clip, minus the mean log softmax (cosines over the temperature) of the others of its class; then the mean over
clips that have one. A batch without a pair of one class, or of one class alone, gives 0.
"""

import torch
from torch import Tensor

from asd_ray.losses.mixing import LossTensors
from asd_ray.losses.system_loss import MarginLoss, Said


# torch.compiler.disable without what that imports at once: two seconds, in every process that knows the systems.
@torch._disable_dynamo  # type: ignore[attr-defined]
def contrast(embedding_BE: Tensor, class_B: Tensor, temperature: Tensor) -> Tensor:
    """The loss of a batch, 0-d, in float32."""
    from pytorch_metric_learning.losses import SupConLoss  # here: few systems need it, and it takes seconds

    with torch.autocast(embedding_BE.device.type, enabled=False):
        loss: Tensor = SupConLoss(temperature=temperature)(embedding_BE.float(), class_B)
    return loss


class OneStage(MarginLoss):
    """The loss cube plus contrast by the class of the clip, not of what was mixed in, each with weight 1.

    Source: OS-SCL, ICASSP 2025, and its code (huangswt/OS-SCL). Here it trains the network of TASTgram, without
    the TFgram of that code, and the last epoch counts, not that of the least validation loss. Each worker of a
    lane contrasts its own clips.
    """

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        contrast_0: Tensor = contrast(said.embedding_BE, said.class_B, numbers.temperature)
        return super().loss(said, numbers) + contrast_0


class TwoStages(MarginLoss):
    """First contrast by class alone, then the classifier with margin (ArcFace); nothing is mixed.

    Source: Guan et al., "Anomalous sound detection using audio representation with machine ID based contrastive
    learning pretraining" (CLP-SCF), ICASSP 2023. Only its abstract could be read: that the second stage goes on
    with the optimizer of the first, and that nothing lies between embedding and contrast, are assumptions.
    """

    mixes = False

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        """Both are always computed, so that one compiled step serves both stages."""
        contrast_0: Tensor = contrast(said.embedding_BE, said.class_B, numbers.temperature)
        return numbers.pretrains * contrast_0 + (1.0 - numbers.pretrains) * super().loss(said, numbers)
