"""How good one training is for one machine type: this module joins its scores with the labels of the clips.

Only this module reads the labels of the reporting clips, and only for trials that are already chosen. Every
training was read by all scores, so this module also knows what another score would give.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from asd_ray.config import Params, ScoreConfig
from asd_ray.data.manifest import read_shard
from asd_ray.errors import InputError
from asd_ray.scoring.intervals import Estimate, estimate, mean_and_sd
from asd_ray.scoring.metrics import PROXY, MachineMetrics, machine_metrics, objective_value
from asd_ray.scoring.scores import SCORES
from asd_ray.scoring.threshold import Threshold, fit_threshold

ClipRow = tuple[str, str, bool, float]  # clip_id, machine_id, is_anomaly, score
Tables = tuple[pa.Table, pa.Table | None]  # scores of a training, and its stand-ins if they choose
Spread = tuple[float, float | None]  # mean, and standard deviation over seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One training, judged for one machine type on its choosing and on its reporting clips."""

    uid: str
    seed: int
    place: str  # its folder, below the trials
    params: Params
    score: str  # the score by which its clips are scored
    objective: float  # on the choosing clips
    choosing: MachineMetrics
    reporting: MachineMetrics
    reporting_objective: float | None
    threshold: Threshold
    threshold_clips: str  # which clips it was fitted to
    reported: tuple[ClipRow, ...]  # the reporting clips
    chose: tuple[ClipRow, ...]  # the choosing clips

    @property
    def optimism(self) -> float | None:
        """The objective on the choosing clips minus the objective on the reporting clips."""
        return None if self.reporting_objective is None else self.objective - self.reporting_objective


def read_scores(path: Path, *, mend: str) -> pa.Table:
    """The scores of a training. If they are lost, raises InputError that says how to mend that."""
    try:
        return read_shard(path)
    except InputError:
        raise InputError(f"{path}: missing or damaged; {mend}") from None


def read_stand_ins(folder: Path, *, config: ScoreConfig, mend: str) -> pa.Table | None:
    """The stand-ins of a training in a folder; None if labelled clips choose. Raises InputError if lost."""
    return read_scores(folder / "stand_ins.parquet", mend=mend) if config.objective == PROXY else None


def rows_of(table: pa.Table, machine_type: str) -> list[dict[str, Any]]:
    """The rows of one machine type, as Python objects; the other rows are never converted.

    We cut them out run by run, because to compare a column with a text, pyarrow imports pandas, which takes a
    quarter of a second.
    """
    runs = pc.run_end_encode(table.column("machine_type").combine_chunks())
    rows: list[dict[str, Any]] = []
    start = 0
    for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        if name == machine_type:
            rows += table.slice(start, end - start).to_pylist()
        start = end
    return rows


def judge(
    uid: str,
    machine_type: str,
    *,
    params: Params,
    clips: pa.Table,
    scores: pa.Table,
    config: ScoreConfig,
    stand_ins: pa.Table | None = None,
    score: str = "",
    seed: int = 0,
    place: str = "",
) -> Judged:
    """Join the scores of a training with the labels of the clips, for one machine type.

    `stand_ins`: those of the same training, if they choose instead of labelled clips. `score` names one of the
    scores that every training has; by default, it is the score that counted in that training.
    """
    column = score or "score"
    read = [name for name in SCORES if name in scores.column_names]
    chose = choosing_rows(machine_type, clips=clips, scores=scores, stand_ins=stand_ins, column=column)
    reported = labelled_rows(machine_type, "reports", clips=clips, scores=scores, column=column)
    normal, fitted_to = normal_scores(scores, machine_type, column=column)
    choosing, reporting = (metrics_of(machine_type, rows, config=config) for rows in (chose, reported))
    objective = objective_value(choosing, config.objective)
    assert objective is not None, "a machine type without it has no study"
    return Judged(
        uid=uid,
        seed=seed,
        place=place or uid,
        params=params,
        score=score or (read[0] if len(read) == 1 else config.name),
        objective=objective,
        choosing=choosing,
        reporting=reporting,
        reporting_objective=objective_value(reporting, config.objective),
        threshold=fit_threshold(normal, quantile=config.threshold_quantile),
        threshold_clips=fitted_to,
        reported=reported,
        chose=chose,
    )


def choosing_rows(
    machine_type: str, *, clips: pa.Table, scores: pa.Table, stand_ins: pa.Table | None, column: str
) -> tuple[ClipRow, ...]:
    """The rows that choose: labelled clips, or, if there are any, stand-ins, which count as anomalies."""
    if stand_ins is None:
        return labelled_rows(machine_type, "chooses", clips=clips, scores=scores, column=column)
    return tuple(
        (row["clip_id"], row["machine_id"], row["is_stand_in"], row[column])
        for row in rows_of(stand_ins, machine_type)
    )


def labelled_rows(
    machine_type: str, role: str, *, clips: pa.Table, scores: pa.Table, column: str
) -> tuple[ClipRow, ...]:
    """The clips that have a role, with their labels and one of their scores."""
    score_of = {row["clip_id"]: row[column] for row in rows_of(scores, machine_type)}
    return tuple(
        (row["clip_id"], row["machine_id"], row["is_anomaly"], score_of[row["clip_id"]])
        for row in rows_of(clips, machine_type)
        if row[role]
    )


def metrics_of(machine_type: str, rows: Sequence[ClipRow], *, config: ScoreConfig) -> MachineMetrics:
    _, machine_id, is_anomaly, score = zip(*rows, strict=True) if rows else ((), (), (), ())
    return machine_metrics(machine_type, machine_id, is_anomaly=is_anomaly, score=score, max_fpr=config.max_fpr)


def normal_scores(scores: pa.Table, machine_type: str, *, column: str = "score") -> tuple[list[float], str]:
    """The scores that a threshold is fitted to, and which clips they belong to."""
    normal = [row for row in rows_of(scores, machine_type) if row["split"] in ("train", "valid")]
    few = any(row["split"] == "train" for row in normal)
    return [row[column] for row in normal], "validation and training clips" if few else "validation clips"


def reporting_estimate(
    trainings: tuple[Judged, ...],
    *,
    config: ScoreConfig,
    minus: tuple[Judged, ...] = (),
    contenders: Sequence[tuple[Judged, ...]] = (),
) -> Estimate | None:
    """The objective on the reporting clips over trainings that differ in the seed, with its interval.

    `minus`: the trainings of another config with the same seeds, for the paired difference; `contenders`: the
    trainings of all configs from which these seeds chose this one, including both.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """The objective under one score, over the seeds of a winner; None where it is undefined."""

    name: str
    choosing: Spread | None
    reporting: Spread | None
    counts: bool  # whether this is the winner's score

    def plain(self) -> dict[str, Any]:
        spreads = {"choosing": self.choosing, "reporting": self.reporting}
        return {
            "score": self.name,
            "counts": self.counts,
            **{
                role: None if found is None else {"mean": found[0], "sd": found[1]}
                for role, found in spreads.items()
            },
        }


def score_rows(
    machine_type: str, *, clips: pa.Table, trainings: Sequence[Tables], config: ScoreConfig, counts: str
) -> tuple[ScoreRow, ...]:
    """One row per score that all trainings have, in the order of the table of scores.

    `trainings` differ in the seed; `counts`: the winner's score.
    """

    def spread(all_rows: Iterable[tuple[ClipRow, ...]]) -> Spread | None:
        values = [
            objective_value(metrics_of(machine_type, rows, config=config), config.objective) for rows in all_rows
        ]
        defined = [value for value in values if value is not None]
        return mean_and_sd(defined) if defined else None

    def row(name: str) -> ScoreRow:
        choosing = (
            choosing_rows(machine_type, clips=clips, scores=scores, stand_ins=stand_ins, column=name)
            for scores, stand_ins in trainings
        )
        reporting = (
            labelled_rows(machine_type, "reports", clips=clips, scores=scores, column=name)
            for scores, _ in trainings
        )
        return ScoreRow(name=name, choosing=spread(choosing), reporting=spread(reporting), counts=name == counts)

    return tuple(row(name) for name in SCORES if all(name in scores.column_names for scores, _ in trainings))
