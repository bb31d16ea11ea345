"""Systems by name. A new one is one file with its network, and one line in SYSTEMS."""

import difflib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from asd_ray.command import InputError
from asd_ray.losses.mixing import CUBE
from asd_ray.losses.system_loss import MarginLoss, SystemLoss
from asd_ray.models import stgram, tastgram
from asd_ray.models.classifier import with_margin_head
from asd_ray.models.sgram import MelSettings

BY_MARGIN = MarginLoss()


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A way to detect anomalies, from log-mel to score.

    `network` is called with `width`; `assemble` makes of it, and of the machine type of each class, the module
    that is trained: (wave_BL, sgram_BFT, class_B) -> embedding_BE, readout_BK.
    """

    network: Callable[..., nn.Module]
    mel: MelSettings
    loss: SystemLoss = BY_MARGIN
    assemble: Callable[..., nn.Module] = with_margin_head
    score: str | None = None  # the only one that can read it; none: any that reads embeddings and logits
    numbers: frozenset[str] = CUBE  # of the loss that act on it
    compiles: bool = True  # whether a compiled training step was found to be worth it


SYSTEMS: dict[str, System] = {
    "tastgram": System(network=tastgram.Tastgram, mel=tastgram.MEL),
    "stgram": System(network=stgram.Stgram, mel=stgram.MEL),
}


def find_system(name: str) -> System:
    """The entry of SYSTEMS. Raises InputError, with the nearest name, for an unknown one."""
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, SYSTEMS, n=1)
        mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(SYSTEMS))}"
        raise InputError(f"system {name!r} is unknown; {mend}")
    return SYSTEMS[name]


def build_module(name: str, *, width: float, class_types: Sequence[str]) -> nn.Module:
    """The module of a system, freshly initialised from torch's global generator: seed it before the call.

    `class_types`: the machine type of each class. Raises InputError for an unknown name or a width that is not a
    positive number.
    """
    system = find_system(name)
    if not (math.isfinite(width) and width > 0):
        raise InputError(f"width {width} of {name}; use a positive number, 1.0 for the published network")
    return system.assemble(system.network, width=width, class_types=class_types)
