"""Systems by name. A new one is one file with its network, and one line in SYSTEMS."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from asd_ray.command import InputError
from asd_ray.data.blocks import NUM_FRAMES
from asd_ray.losses.contrast import ONE_STAGE, TWO_STAGES, OneStage, TwoStages
from asd_ray.losses.mixing import CUBE
from asd_ray.losses.system_loss import MarginLoss, OwnError, SystemLoss
from asd_ray.models import autoencoder, glow, mobilenetv2, stgram, stsasgram, tastgram
from asd_ray.models.classifier import with_margin_head
from asd_ray.models.per_type import per_machine_type, several_ids
from asd_ray.models.sgram import MelSettings
from asd_ray.spelling import suggestion

Assemble = Callable[..., nn.Module]
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
    assemble: Assemble = with_margin_head
    score: str | None = None  # the only one that can read it; none: any that reads embeddings and logits
    numbers: frozenset[str] = CUBE  # of the loss that act on it
    averages: bool = False  # whether the mean of the weights over the steps is what is read
    compiles: bool = True  # whether a compiled training step was found to be worth it

    def __post_init__(self) -> None:
        if self.mel.num_frames != NUM_FRAMES:  # log-mels of all systems are kept one above the other
            raise ValueError(f"a log-mel of {self.mel.num_frames} frames a clip; its hop must make {NUM_FRAMES}")


def _own_error(network: Callable[..., nn.Module], *, mel: MelSettings, assemble: Assemble) -> System:
    """A system with a network per machine type, and a score of its own."""
    return System(
        network=network,
        mel=mel,
        loss=OwnError(),
        assemble=assemble,
        score="own_evidence",
        numbers=frozenset(),
        compiles=False,
    )


SYSTEMS: dict[str, System] = {
    "tastgram": System(network=tastgram.Tastgram, mel=tastgram.MEL),
    "stgram": System(network=stgram.Stgram, mel=stgram.MEL),
    "stsasgram": System(network=stsasgram.Stsasgram, mel=tastgram.MEL),
    "os_scl": System(
        network=tastgram.Tastgram,
        mel=tastgram.MEL,
        loss=OneStage(),
        numbers=ONE_STAGE,
        averages=True,
        compiles=False,
    ),
    "clp_scf": System(network=stgram.Stgram, mel=stgram.MEL, loss=TwoStages(), numbers=TWO_STAGES, compiles=False),
    "ae": _own_error(autoencoder.Autoencoder, mel=autoencoder.MEL, assemble=per_machine_type),
    "idnn": _own_error(autoencoder.Idnn, mel=autoencoder.MEL, assemble=per_machine_type),
    "mobilenetv2": _own_error(mobilenetv2.MobileNetV2, mel=mobilenetv2.MEL, assemble=several_ids),
    "glow_aff": _own_error(glow.GlowAff, mel=glow.MEL, assemble=per_machine_type),
}


def find_system(name: str) -> System:
    """The entry of SYSTEMS. Raises InputError, with the nearest name, for an unknown one."""
    if name not in SYSTEMS:
        raise InputError(f"system {name!r} is unknown{suggestion(name, SYSTEMS)}")
    return SYSTEMS[name]


def mels_of(systems: Sequence[str]) -> tuple[MelSettings, ...]:
    """The log-mels that these systems want, each once."""
    return tuple(dict.fromkeys(find_system(name).mel for name in systems))


def mel_rows(name: str, systems: Sequence[str]) -> slice:
    """Where the log-mel of a system lies among those of several, stacked in the order of `mels_of`."""
    mels, wanted = mels_of(systems), find_system(name).mel
    first = sum(mel.num_mels for mel in mels[: mels.index(wanted)])
    return slice(first, first + wanted.num_mels)


def build_module(name: str, *, width: float, class_types: Sequence[str]) -> nn.Module:
    """The module of a system, freshly initialised from torch's global generator: seed it before the call.

    `class_types`: the machine type of each class. Raises InputError for an unknown name or a width that is not a
    positive number.
    """
    system = find_system(name)
    if not (math.isfinite(width) and width > 0):
        raise InputError(f"width {width} of {name}; use a positive number, 1.0 for the published network")
    return system.assemble(system.network, width=width, class_types=class_types)
