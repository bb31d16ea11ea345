"""How good one training is for one machine type: its scores and the labels of the clips, put together.

Here, and only here, the labels of the reporting clips are read, and only for trials that were chosen before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from asd_ray.command import InputError
from asd_ray.config import Params, ScoreConfig
from asd_ray.data.manifest import read_shard
from asd_ray.scoring.anomaly import Threshold, fit_threshold
from asd_ray.scoring.intervals import Estimate, estimate
from asd_ray.scoring.metrics import MachineMetrics, machine_metrics, objective_value


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One training, judged for one machine type on the choosing and on the reporting clips."""

    uid: str
    seed: int
    place: str  # its folder, below the trials
    params: Params
    objective: float  # on the choosing clips
    choosing: MachineMetrics
    reporting: MachineMetrics
    reporting_objective: float | None
    threshold: Threshold
    threshold_clips: str  # which clips it was fitted to
    reported: tuple[tuple[str, str, bool, float], ...]  # clip_id, machine_id, is_anomaly, score of reporting clips

    @property
    def optimism(self) -> float | None:
        """The objective on the choosing minus that on the reporting clips."""
        return None if self.reporting_objective is None else self.objective - self.reporting_objective


def read_scores(path: Path, *, mend: str) -> pa.Table:
    """The scores of a training. Raises InputError that says how to mend lost ones."""
    try:
        return read_shard(path)
    except InputError:
        raise InputError(f"{path}: missing or damaged; {mend}") from None


def rows_of(table: pa.Table, machine_type: str) -> list[dict[str, Any]]:
    """The rows of one machine type, as Python objects; the others never become any."""
    rows: list[dict[str, Any]] = table.filter(pc.field("machine_type") == machine_type).to_pylist()
    return rows


def judge(
    uid: str,
    machine_type: str,
    *,
    params: Params,
    clips: pa.Table,
    scores: pa.Table,
    config: ScoreConfig,
    seed: int = 0,
    place: str = "",
) -> Judged:
    """Put the scores of a training and the labels of the clips together, for one machine type."""
    score_of = {row["clip_id"]: row["score"] for row in rows_of(scores, machine_type)}
    rows = rows_of(clips, machine_type)

    def metrics(role: str) -> MachineMetrics:
        chosen = [row for row in rows if row[role]]
        return machine_metrics(
            machine_type,
            [row["machine_id"] for row in chosen],
            is_anomaly=[row["is_anomaly"] for row in chosen],
            score=[score_of[row["clip_id"]] for row in chosen],
            max_fpr=config.max_fpr,
        )

    normal, fitted_to = normal_scores(scores, machine_type)
    choosing, reporting = metrics("chooses"), metrics("reports")
    objective = objective_value(choosing, config.objective)
    assert objective is not None, "a machine type without it has no study"
    reported = [row for row in rows if row["reports"]]
    return Judged(
        uid=uid,
        seed=seed,
        place=place or uid,
        params=params,
        objective=objective,
        choosing=choosing,
        reporting=reporting,
        reporting_objective=objective_value(reporting, config.objective),
        threshold=fit_threshold(normal, quantile=config.threshold_quantile),
        threshold_clips=fitted_to,
        reported=tuple(
            (row["clip_id"], row["machine_id"], row["is_anomaly"], score_of[row["clip_id"]]) for row in reported
        ),
    )


def normal_scores(scores: pa.Table, machine_type: str) -> tuple[list[float], str]:
    """The scores that a threshold is fitted to, and which clips they are of."""
    normal = [row for row in rows_of(scores, machine_type) if row["split"] in ("train", "valid")]
    few = any(row["split"] == "train" for row in normal)
    return [row["score"] for row in normal], "validation and training clips" if few else "validation clips"


def reporting_estimate(
    trainings: tuple[Judged, ...],
    *,
    config: ScoreConfig,
    minus: tuple[Judged, ...] = (),
    contenders: Sequence[tuple[Judged, ...]] = (),
) -> Estimate | None:
    """The objective on the reporting clips over trainings that differ in the seed, with its interval.

    `minus`: the trainings of another config with the same seeds, for the paired difference; `contenders`: those of
    all configs that this one was chosen from by these seeds, both included.
    """
    clip_id, machine_id, is_anomaly = ([row[column] for row in trainings[0].reported] for column in range(3))

    def scores(others: tuple[Judged, ...]) -> list[list[float]]:
        assert [other.seed for other in others] == [one.seed for one in trainings]
        assert all([row[0] for row in other.reported] == clip_id for other in others)
        return [[row[3] for row in other.reported] for other in others]

    return estimate(
        machine_id,
        is_anomaly,
        scores(trainings),
        minus_SB=scores(minus) if minus else None,
        contenders=[scores(contender) for contender in contenders],
        objective=config.objective,
        max_fpr=config.max_fpr,
    )
