"""What a system is trained by, and how what it says of a clip is read.

A system's module says two things of each clip: an embedding_BE, and a readout_BK whose columns only the system's
loss understands. The training loop and the detector know nothing else of either.

Axes: B clips of a batch, N clips, E embedding, K columns of a readout, C classes.
"""

from typing import NamedTuple, Protocol

from torch import Tensor
from torch.nn import functional as F

from asd_ray.losses.margin import margin_logits
from asd_ray.losses.mixing import LossPoint, LossTensors, cube_loss


class Said(NamedTuple):
    """What a module says of a batch, and the classes of its clips and of those that were mixed in."""

    embedding_BE: Tensor  # noqa: N815
    readout_BK: Tensor  # noqa: N815
    class_B: Tensor  # noqa: N815
    partner_class_B: Tensor  # noqa: N815
    lam_B: Tensor  # noqa: N815 - 1 where nothing was mixed in


class SystemLoss(Protocol):
    """One way to train; stateless, so that trials share what is compiled of it."""

    @property
    def mixes(self) -> bool:
        """Whether clips are mixed in pairs before the module hears them."""
        ...

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        """loss_B; its mean is what the optimizer lessens."""
        ...

    def logits(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> Tensor:
        """What a score reads, one row per clip: of a classifier, logits_NC with the margin on the own class."""
        ...

    def validate(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> tuple[float, float | None]:
        """Mean loss on clips as they are, and the share of right classes; None where none are told apart."""
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
    """The module's own error: it states its loss, and its evidence that a clip is anomalous, K = 2.

    Nothing is mixed, and no number of the loss cube acts. Scores read the evidence.
    """

    mixes = False

    def loss(self, said: Said, numbers: LossTensors) -> Tensor:
        """The first column of the readout."""
        return said.readout_BK[:, 0]

    def logits(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> Tensor:
        """The evidence alone, as the one column (N, 1)."""
        return readout_NK[:, 1:]

    def validate(self, readout_NK: Tensor, class_N: Tensor, point: LossPoint) -> tuple[float, None]:
        return readout_NK[:, 0].mean().item(), None
