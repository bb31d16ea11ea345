"""Networks, and the table of systems: which network, log-mel, loss and score belong to a name.

It may import `losses` and what stands above it; it knows nothing of scores, training or searches. Start with
SYSTEMS below, then read `tastgram`. A new system is one file with its network and one entry in SYSTEMS:
docs/architecture.md shows how. Building a module imports networks, losses and torch; names, numbers and log-mels
are known without them.
"""

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from asd_ray.clip import NUM_FRAMES
from asd_ray.errors import InputError, suggestion
from asd_ray.losses.numbers import CUBE, ONE_STAGE, TWO_STAGES
from asd_ray.models.mel import OF_BASELINES, OF_STGRAM, OF_TASTGRAM, MelSettings

if TYPE_CHECKING:
    from torch import nn

    from asd_ray.losses.system_loss import SystemLoss

CONTRAST = frozenset({"pytorch_metric_learning"})


def _make(name: str, *arguments: Any, **options: Any) -> Any:
    """Import a class or function of this package only now, and call it."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"asd_ray.{module}"), attribute)(*arguments, **options)


def _network(name: str) -> "Callable[..., nn.Module]":
    return partial(_make, f"models.{name}")


def _loss(name: str) -> "Callable[[], SystemLoss]":
    """A getter that always returns the same object: a loss is stateless, and trials share its compiled code."""
    return cache(partial(_make, f"losses.{name}"))


BY_MARGIN = _loss("system_loss.MarginLoss")
WITH_MARGIN_HEAD = _network("classifier.with_margin_head")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A way to detect anomalies, from log-mel to score.

    `network` is called with `width`; `assemble` combines it with the machine type of each class into the module
    that is trained: (wave_BL, sgram_BFT, class_B) -> embedding_BE, readout_BK.
    """

    network: "Callable[..., nn.Module]"
    mel: MelSettings
    loss_of: "Callable[[], SystemLoss]" = BY_MARGIN
    assemble: "Callable[..., nn.Module]" = WITH_MARGIN_HEAD
    score: str | None = None  # the only score that can read it; None: any score of embeddings and logits
    numbers: frozenset[str] = CUBE  # numbers of the loss that act on it
    least_ids: int = 1  # machine ids that a machine type must have for the system to learn anything
    # Where the search starts, if not at the defaults: the published values, if they are known (`is_published`).
    start: Mapping[str, float] = field(default_factory=dict)
    is_published: bool = True
    averages: bool = False  # whether scores read the mean of the weights over the steps
    compiles: bool = True  # whether compiling the training step has proved worth it
    packages: frozenset[str] = frozenset()  # of the extra `systems`, imported late by network or loss

    def __post_init__(self) -> None:
        if self.mel.num_frames != NUM_FRAMES:  # log-mels of all systems are stacked, so their frames must agree
            raise ValueError(f"a log-mel of {self.mel.num_frames} frames a clip; its hop must make {NUM_FRAMES}")

    @property
    def loss(self) -> "SystemLoss":
        return self.loss_of()


def _own_error(network: str, *, least_ids: int = 1, packages: frozenset[str] = frozenset()) -> System:
    """A system with one network per machine type, and its own score."""
    return System(
        network=_network(network),
        mel=OF_BASELINES,
        loss_of=_loss("system_loss.OwnError"),
        assemble=_network("per_type.per_machine_type"),
        score="own_evidence",
        numbers=frozenset(),
        least_ids=least_ids,
        compiles=False,
        packages=packages,
    )


SYSTEMS: dict[str, System] = {
    "tastgram": System(network=_network("tastgram.Tastgram"), mel=OF_TASTGRAM),
    "stgram": System(network=_network("stgram.Stgram"), mel=OF_STGRAM, start={"mix_prob": 0.0}),  # ArcFace
    "stsasgram": System(network=_network("stsasgram.Stsasgram"), mel=OF_TASTGRAM),
    "os_scl": System(
        network=_network("tastgram.Tastgram"),
        mel=OF_TASTGRAM,
        loss_of=_loss("contrast.OneStage"),
        numbers=ONE_STAGE,
        start={"margin": 0.4, "temperature": 0.02},
        averages=True,
        compiles=False,
        packages=CONTRAST,
    ),
    "clp_scf": System(
        network=_network("stgram.Stgram"),
        mel=OF_STGRAM,
        loss_of=_loss("contrast.TwoStages"),
        numbers=TWO_STAGES,
        start={"temperature": 0.07},  # usual
        is_published=False,
        compiles=False,
        packages=CONTRAST,
    ),
    "ae": _own_error("autoencoder.Autoencoder"),
    "idnn": _own_error("autoencoder.Idnn"),
    "mobilenetv2": _own_error("mobilenetv2.MobileNetV2", least_ids=2, packages=frozenset({"torchvision"})),
    "glow_aff": _own_error("glow.GlowAff", packages=frozenset({"normflows"})),
}


def find_system(name: str) -> System:
    """The entry of SYSTEMS. Raises InputError, with the nearest name, for an unknown one."""
    if name not in SYSTEMS:
        raise InputError(f"system {name!r} is unknown{suggestion(name, SYSTEMS)}")
    return SYSTEMS[name]


def mels_of(systems: Sequence[str]) -> tuple[MelSettings, ...]:
    """The log-mels that these systems need, each once."""
    return tuple(dict.fromkeys(find_system(name).mel for name in systems))


def mel_rows(name: str, systems: Sequence[str]) -> slice:
    """The rows of a system's log-mel where those of several are stacked in the order of `mels_of`."""
    mels, wanted = mels_of(systems), find_system(name).mel
    first = sum(mel.num_mels for mel in mels[: mels.index(wanted)])
    return slice(first, first + wanted.num_mels)


def check_class_types(systems: Iterable[str], class_types: Sequence[str]) -> None:
    """Raises InputError for the first system that cannot learn from classes of these machine types."""
    for system in systems:
        least = find_system(system).least_ids
        if few := sorted({name for name in class_types if name and class_types.count(name) < least}):
            raise InputError(
                f"{system}: {', '.join(few)}: one machine id, and this system learns by telling ids of one type "
                f"apart; leave {system} out of the search space, or {' and '.join(few)} out of the corpus"
            )


def check_packages(systems: Iterable[str]) -> None:
    """Raises InputError for the first system that needs a package that is not installed or does not load."""
    for system in systems:
        for package in sorted(find_system(system).packages):
            try:
                importlib.import_module(package)
            except (ImportError, OSError, RuntimeError) as error:
                name = package.replace("_", "-")
                if isinstance(error, ModuleNotFoundError) and error.name == package:
                    why = f"the package {name} is not installed; run: pip install 'asd-ray[systems]'"
                else:  # a package compiled for another torch
                    reason = " ".join(str(error).split())[:200]
                    why = f"{name} cannot be loaded ({reason}); install the {name} that belongs to this torch"
                raise InputError(f"{system}: {why}") from None


def build_module(name: str, *, width: float, class_types: Sequence[str]) -> "nn.Module":
    """The module of a system, freshly initialised from torch's global generator: seed that before the call.

    `class_types`: the machine type of each class. Raises InputError for an unknown name, a width that is not a
    positive number, classes that the system cannot learn from, or a missing package that the system needs.
    """
    system = find_system(name)
    if not (math.isfinite(width) and width > 0):
        raise InputError(f"width {width} of {name}; use a positive number, 1.0 for the published network")
    check_class_types([name], class_types)
    check_packages([name])
    return system.assemble(system.network, width=width, class_types=class_types)
