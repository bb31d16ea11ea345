"""Networks from wave and log-mel to embedding. A new network is one file and one line in NETWORKS."""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from asd_ray.command import InputError
from asd_ray.models import tastgram
from asd_ray.models.sgram import MelSettings


@dataclass(frozen=True, slots=True)
class System:
    """A network, called with `width`, and the log-mel that it wants."""

    network: Callable[..., nn.Module]
    mel: MelSettings


NETWORKS: dict[str, System] = {
    "tastgram": System(tastgram.Tastgram, tastgram.MEL),
}


def find_system(name: str) -> System:
    """The entry of NETWORKS. Raises InputError, with the nearest name, for an unknown one."""
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=1)
        mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(NETWORKS))}"
        raise InputError(f"network {name!r} is unknown; {mend}")
    return NETWORKS[name]


def build_network(name: str, *, width: float) -> nn.Module:
    """The network of this name, freshly initialised from torch's global generator.

    It maps (wave_BL, sgram_BFT) to embedding_BE. Raises InputError for an unknown name or a width that is
    not a positive number.
    """
    system = find_system(name)
    if not (math.isfinite(width) and width > 0):
        raise InputError(f"width {width} of {name}; use a positive number, 1.0 for the published network")
    return system.network(width=width)
