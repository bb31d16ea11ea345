"""A network with its angular-margin head: what a trial trains.

Axes: B batch, L samples, F mel bins, T frames, E embedding, C classes.
"""

from torch import Tensor, nn

from asd_ray.losses.margin import MarginHead
from asd_ray.models import build_network
from asd_ray.models.mobilefacenet import EMBEDDING_DIM


class Classifier(nn.Module):
    """Wave and sgram -> embedding and its cosine with the centre of every class.

    The margin is applied outside (`losses.margin.margin_logits`), so one forward pass serves several labels.
    """

    def __init__(self, network: nn.Module, head: MarginHead) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor) -> tuple[Tensor, Tensor]:
        """embedding_BE, cosine_BC."""
        embedding_BE = self.network(wave_BL, sgram_BFT)
        return embedding_BE, self.head(embedding_BE)


def build_classifier(name: str, *, width: float, num_classes: int) -> Classifier:
    """A fresh classifier, initialised from torch's global generator: seed it before the call.

    Raises InputError for an unknown network or a width that is not positive.
    """
    return Classifier(build_network(name, width=width), MarginHead(num_classes, embedding_dim=EMBEDDING_DIM))
