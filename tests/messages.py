"""Messages between the processes of a search, as tests make and read them."""

from collections.abc import Mapping
from typing import Any

from asd_ray.search.trial_runner import ASSIGNMENT, result_of
from asd_ray.training.messages import (
    Assignment,
    End,
    Ending,
    EpochReport,
    EpochTrained,
    TypeMetrics,
    from_text,
)


def report_of(epoch: int, **more: Any) -> EpochReport:
    """The report of an epoch in which nothing was validated or scored."""
    values: dict[str, Any] = {
        "learning_rate": 0.001,
        "train_loss": 1.0,
        "valid_loss": None,
        "valid_accuracy": None,
    }
    return EpochReport(epoch=epoch, **(values | more))


def metrics_of(value: float, **more: Any) -> TypeMetrics:
    """All the same."""
    names = ("auc", "pauc", "pooled_auc", "pooled_pauc", "mauc")
    values: dict[str, Any] = {**dict.fromkeys(names, value), "per_id": {}, "num_normal": 4, "num_anomaly": 4}
    return TypeMetrics(**(values | more))


def trained(epoch: int, objective: Mapping[str, float] | None = None, *, done: bool = False) -> dict[str, Any]:
    """What Tune is told of an epoch."""
    objective = objective or {}
    choosing = {name: metrics_of(value) for name, value in objective.items()}
    return {**result_of(EpochTrained(report_of(epoch, objective=objective, choosing=choosing))), "done": done}


def ended(end: End, reason: str) -> dict[str, Any]:
    """What Tune is told of a trial that cannot go on."""
    return {**result_of(Ending(end, reason)), "done": True}


def assigned(suggestion: Any) -> Assignment:
    """What the searcher has suggested to Tune."""
    return from_text(Assignment, suggestion[ASSIGNMENT])
