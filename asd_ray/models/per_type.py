"""One network per machine type, side by side, for systems whose network handles a single machine type.

Axes: B batch, L samples, F mel bins, T frames, E embedding, C classes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class PerMachineType(nn.Module):
    """Passes each clip to the network of its own machine type, which numbers the ids within that type.

    A network maps (sgram_BFT, id_B) to embedding_BE and a readout of two columns: its loss and its evidence. A
    joint trial trains all networks side by side; in a trial of scope `own`, only the owner's network hears clips.
    """

    def __init__(self, networks: Sequence[nn.Module], *, type_C: Sequence[int], id_C: Sequence[int]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.register_buffer("type_C", torch.tensor(type_C), persistent=False)
        self.register_buffer("id_C", torch.tensor(id_C), persistent=False)

    def forward(self, wave_BL: Tensor, sgram_BFT: Tensor, class_B: Tensor) -> tuple[Tensor, Tensor]:
        """embedding_BE, readout_BK with K = 2."""
        sgram_BFT = sgram_BFT.float()
        type_B, id_B = self.get_buffer("type_C")[class_B], self.get_buffer("id_C")[class_B]
        heard, said = [], []
        for number, network in enumerate(self.networks):
            place = (type_B == number).nonzero().flatten()
            if len(place):
                heard.append(place)
                said.append(network(sgram_BFT[place], id_B[place]))
        order = torch.cat(heard).argsort()
        embedding_BE, readout_BK = (torch.cat(parts)[order] for parts in zip(*said, strict=True))
        if self.training:
            # Data-parallel training needs a gradient for every weight, even of types without a clip in this batch.
            readout_BK = readout_BK + 0.0 * sum(weight.sum() for weight in self.parameters())
        return embedding_BE, readout_BK


def per_machine_type(
    network: Callable[..., nn.Module], *, width: float, class_types: Sequence[str]
) -> PerMachineType:
    """`network` is called with width and the number of ids, once per machine type."""
    types = sorted(set(class_types))
    ids = [class_types[:number].count(name) for number, name in enumerate(class_types)]
    networks = [network(width=width, num_ids=class_types.count(name)) for name in types]
    return PerMachineType(networks, type_C=[types.index(name) for name in class_types], id_C=ids)
