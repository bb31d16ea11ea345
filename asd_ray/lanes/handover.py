"""What the driver hands to the workers of a lane: their work, and the clips, which it reads while they start."""

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
    sight: "Sight | None"  # the files that workers on other machines must see, too
    cpus: float
    gpus: float  # share of a GPU


_here: "list[Bank]" = []  # in a worker's process: the clips that the driver handed over


def get_ready() -> None:
    """Import what serving needs, while the clips are still being read."""
    import asd_ray.lanes.serve  # noqa: F401


def hand_over(clips: "Bank") -> None:
    """Keep the clips in this process, for the loop that begins next."""
    _here[:] = [clips]


def handed_over() -> "Bank":
    return _here[0]
