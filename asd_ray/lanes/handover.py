"""What the driver hands to the workers of a lane: their work, and the clips, which are read while they start."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asd_ray.cluster.shared_disk import Sight
    from asd_ray.data.bank import Bank


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneWork:
    """What the Train loop of a lane's workers is to do."""

    mailbox: Any  # where commands come from
    num_classes: int
    resident: str  # where the clips are kept: see LaneConfig
    sight: "Sight | None"  # of files that workers on other machines must see, too
    cpus: float
    gpus: float  # share of a GPU


_here: "list[Bank]" = []  # in the process of a worker: what it was handed


def get_ready() -> None:
    """Import what serving needs, while the clips are still being read."""
    import asd_ray.lanes.serve  # noqa: F401


def hand_over(clips: "Bank") -> None:
    """Leave the clips here, for the loop that begins next."""
    _here[:] = [clips]


def handed_over() -> "Bank":
    return _here[0]
