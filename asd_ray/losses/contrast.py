"""Supervised contrast pulls embeddings of one class together and pushes them away from all others.

Axes: B batch, E embedding.
Source of the loss: Khosla et al., "Supervised contrastive learning", 2020, as pytorch-metric-learning has it: for
each clip, minus the mean log softmax (cosines over the temperature) of the other clips of its class; then the mean
over clips that have such others. A batch gives 0 if no two clips share a class, or all of them do.
"""

import torch
from torch import Tensor

from asd_ray.losses.mixing import LossTensors
from asd_ray.losses.system_loss import MarginLoss, Said


# This is torch.compiler.disable, without its imports: two seconds in every process that knows the systems.
@torch._disable_dynamo  # type: ignore[attr-defined]
def contrast(embedding_BE: Tensor, class_B: Tensor, temperature: Tensor) -> Tensor:
    """The loss of a batch, 0-d, in float32."""
    from pytorch_metric_learning.losses import SupConLoss  # here: few systems need it, and it takes seconds

    with torch.autocast(embedding_BE.device.type, enabled=False):
        loss: Tensor = SupConLoss(temperature=temperature)(embedding_BE.float(), class_B)
    return loss


class OneStage(MarginLoss):
    """The loss cube plus contrast, each with weight 1; contrast uses a clip's own class, not its partner's.

    Source: OS-SCL, ICASSP 2025, and its code (huangswt/OS-SCL). Here it trains the network of TASTgram, without
    the TFgram of that code, and the last epoch counts, not the one with the lowest validation loss. Each worker of
    a lane contrasts its own clips.
    """

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        contrast_0: Tensor = contrast(said.embedding_BE, said.class_B, numbers.temperature)
        return super().loss(said, numbers) + contrast_0


class TwoStages(MarginLoss):
    """First contrast by class alone, then the classifier with margin (ArcFace); no clips are mixed.

    Source: Guan et al., "Anomalous sound detection using audio representation with machine ID based contrastive
    learning pretraining" (CLP-SCF), ICASSP 2023. Only its abstract could be read. We assume that the second stage
    continues with the optimizer of the first, and that there is no layer between embedding and contrast.
    """

    mixes = False

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        """Always compute both losses, so that one compiled step serves both stages."""
        contrast_0: Tensor = contrast(said.embedding_BE, said.class_B, numbers.temperature)
        return numbers.pretrains * contrast_0 + (1.0 - numbers.pretrains) * super().loss(said, numbers)
