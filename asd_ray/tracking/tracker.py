"""The interface of a tracker, and the numbers that it gets."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from asd_ray.config import METRICS
from asd_ray.search.events import Begun, Ended
from asd_ray.search.runfolder import Run
from asd_ray.training.messages import EpochReport

CURVES = ("train_loss", "valid_loss", "valid_accuracy", "learning_rate", "seconds")


class Tracker(Protocol):
    """Records one call of a search. A desk calls its methods one at a time, from one thread.

    It may raise anything: the search then goes on without it.
    """

    name: str

    def begin(self, folder: Path, run: Run) -> None: ...

    def begin_trial(self, trial: Begun) -> int:
        """Begin a trial, and return its last epoch that the tracker has from an earlier call; 0 if none."""

    def epoch(self, name: str, epoch: int, values: Mapping[str, float]) -> None:
        """Record an epoch. The epochs of a trial come in order, each once."""

    def end_trial(self, trial: Ended) -> None: ...

    def end(self) -> None:
        """End the call; a later call goes on with the trials that have not ended."""


def values_of(report: EpochReport) -> dict[str, float]:
    """The numbers of an epoch by name, for example `auc/fan`; only those that are defined."""
    found: dict[str, float | None] = {name: getattr(report, name) for name in CURVES}
    found |= {f"objective/{name}": value for name, value in report.objective.items()}
    for name, metrics in report.choosing.items():
        found |= {f"{metric}/{name}": getattr(metrics, metric) for metric in METRICS}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def key_of(folder: Path, name: str) -> str:
    """A key for a trial in a tracker that holds many runs; it is the same in every call.

    >>> len(key_of(Path("runs/first"), "fan-3"))
    16
    """
    return hashlib.sha256(f"{folder.resolve()}\n{name}".encode()).hexdigest()[:16]
