"""What a lane is asked to train, and what it reports.

Without torch: the processes that only pass orders on would import it for nothing.
"""

from dataclasses import dataclass
from typing import Any

from asd_ray.config import RunConfig

Report = dict[str, Any]  # of one epoch: plain values, as JSON has them


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a lane is asked to train."""

    config: RunConfig
    machine_types: tuple[str, ...]
    score_at: tuple[int, ...]  # epochs after which test clips are scored
    folder: str
    name: str = ""  # of the trial, for those who watch
    corpus: str = ""  # identity of the clips and of the labels that may be seen
    systems: tuple[str, ...] = ()  # whose log-mels the clips have, in this order; none: the config's alone
