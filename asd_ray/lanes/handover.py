"""Clips on their way from the driver to the workers of a lane, whose processes start while the clips are read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asd_ray.data.bank import Bank

_here: "list[Bank]" = []  # in the process of a worker: what it was handed


def get_ready() -> None:
    """Import what serving needs, while the clips are still being read."""
    import asd_ray.lanes.serve  # noqa: F401


def hand_over(clips: "Bank") -> None:
    """Leave the clips here, for the loop that begins next."""
    _here[:] = [clips]


def handed_over() -> "Bank":
    return _here[0]
