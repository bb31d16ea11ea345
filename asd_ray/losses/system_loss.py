"""The loss that trains a system, and the interpretation of its outputs.

A system's module has two outputs for each clip: an embedding_BE, and a readout_BK whose columns only the system's
loss understands. The training loop and the detector know nothing else about either.

Axes: B clips of a batch, N clips, E embedding, K columns of a readout, C classes.
"""

from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional as F

from asd_ray.losses.margin import margin_logits
from asd_ray.losses.mixing import LossPoint, LossTensors, cube_loss


class Said(NamedTuple):
    """A module's outputs for a batch, and the classes of its clips and of the clips that were mixed in."""

    embedding_BE: Tensor  # noqa: N815
    readout_BK: Tensor  # noqa: N815
    class_B: Tensor  # noqa: N815
    partner_class_B: Tensor  # noqa: N815
    lam_B: Tensor  # noqa: N815 - 1 where nothing was mixed in


class SystemLoss(Protocol):
    """One way to train; stateless, so that trials can share its compiled code."""

    @property
    def mixes(self) -> bool:
        """Whether clips are mixed in pairs before the module hears them."""
        ...

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        """loss_B; the optimizer minimises its mean."""
        ...

    def logits(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> Tensor:
        """What a score reads, one row per clip; for a classifier, logits_NC with the margin on the own class."""
        ...

    def validate(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> tuple[float, float | None]:
        """Mean loss on unmixed clips, and the share of correct classes (None if the system does not classify)."""
        ...


class MarginLoss:
    """The loss cube. The readout is the cosine with the centre of every class, K = C."""

    mixes = True

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        return cube_loss(
            said.readout_BK,
            said.class_B,
            partner_class_B=said.partner_class_B,
            lam_B=said.lam_B,
            loss=numbers,
        )

    def logits(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> Tensor:
        return margin_logits(readout_NK, class_N, margin=point.margin, scale=point.scale)

    def validate(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> tuple[float, float]:
        """Cross entropy with margin, accuracy without it."""
        loss = F.cross_entropy(self.logits(readout_NK, class_N, point), class_N)
        return loss.item(), (readout_NK.argmax(dim=1) == class_N).float().mean().item()


class OwnError:
    """The module's own error: its readout holds its loss, and its evidence that a clip is anomalous, K = 2.

    No clips are mixed, and no number of the loss cube acts. Scores read the evidence.
    """

    mixes = False

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        """The first column of the readout."""
        return said.readout_BK[:, 0]

    def logits(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> Tensor:
        """The evidence alone, as a single column (N, 1)."""
        return readout_NK[:, 1:]

    def validate(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> tuple[float, None]:
        return readout_NK[:, 0].mean().item(), None
