"""What a tracker is, and the numbers that it gets."""

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
    """Keeps books of one call of a search. Its methods are called one at a time, from one thread.

    It may raise anything: the search goes on without it.
    """

    name: str

    def begin(self, folder: Path, run: Run) -> None: ...

    def begin_trial(self, trial: Begun) -> int:
        """The last epoch that the books hold already, of an earlier call; 0: none."""

    def epoch(self, name: str, epoch: int, values: Mapping[str, float]) -> None:
        """Epochs of a trial come in their order, each once."""

    def end_trial(self, trial: Ended) -> None: ...

    def end(self) -> None:
        """The call ends; trials that have not are gone on with by another."""


def values_of(report: EpochReport) -> dict[str, float]:
    """The numbers of an epoch by name, `auc/fan` say; only those that are defined."""
    found: dict[str, float | None] = {name: getattr(report, name) for name in CURVES}
    found |= {f"objective/{name}": value for name, value in report.objective.items()}
    for name, metrics in report.choosing.items():
        found |= {f"{metric}/{name}": getattr(metrics, metric) for metric in METRICS}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def key_of(folder: Path, name: str) -> str:
    """What a trial is known by in books that hold many runs: the same in every call.

    >>> len(key_of(Path("runs/first"), "fan-3"))
    16
    """
    return hashlib.sha256(f"{folder.resolve()}\n{name}".encode()).hexdigest()[:16]
