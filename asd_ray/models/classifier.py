"""A network with its angular-margin head: the module that a trial of a classifying system trains.

Axes: B batch, L samples, F mel bins, T frames, E embedding, C classes.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from asd_ray.losses.margin import MarginHead
from asd_ray.models.mobilefacenet import EMBEDDING_DIM


class Classifier(nn.Module):
    """Wave and sgram -> embedding and its cosine with the centre of every class.

    The margin is applied outside (`losses.margin.margin_logits`), so one forward pass serves several labels.
    """

    def __init__(self, network: nn.Module, head: MarginHead) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor, class_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """embedding_BE, cosine_BC; neither depends on the classes of the clips."""
        embedding_BE = self.network(wave_BL, sgram_BFT)
        return embedding_BE, self.head(embedding_BE)


def with_margin_head(network: Callable[..., nn.Module], *, width: float, class_types: Sequence[str]) -> Classifier:
    """One network for all machine types, and one centre per class."""
    return Classifier(network(width=width), MarginHead(len(class_types), embedding_dim=EMBEDDING_DIM))
