"""What a search found, read from its run folder alone: per machine type the best config and how good it is.

The choice was made on the choosing clips, by the studies. Here, and only here, the labels of the reporting clips
are read, and only for trials that were chosen before.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from optuna.trial import FrozenTrial, TrialState

from asd_ray.command import InputError
from asd_ray.config import LossConfig, ScoreConfig
from asd_ray.data.manifest import read_shard
from asd_ray.scoring.anomaly import Threshold, fit_threshold
from asd_ray.scoring.metrics import MachineMetrics, machine_metrics, objective_value
from asd_ray.search.runfolder import TRIALS, Run
from asd_ray.search.space import Range, StudySpace
from asd_ray.search.studies import Studies

STATE_NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
NATURAL_LIMITS = {"noise_prob": (0.0, 1.0), "mix_prob": (0.0, 1.0), "margin": (0.0, 1.57)}
EDGE = 0.02  # of a range, in the scale it is sampled in: nearer than this counts as at its edge


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One trial, judged for one machine type on the choosing and on the reporting clips."""

    uid: str
    params: dict[str, float]
    objective: float  # on the choosing clips
    choosing: MachineMetrics
    reporting: MachineMetrics
    reporting_objective: float | None
    threshold: Threshold
    threshold_clips: str  # which clips it was fitted to


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSummary:
    """One machine type: the winner, the published configuration, and whether the space was wide enough."""

    machine_type: str
    best: Judged | None
    published: Judged | None
    at_edge: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One line of trials.csv."""

    uid: str
    owner: str
    state: str
    reason: str
    epochs: int
    params: dict[str, float]
    objective: dict[str, float]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    run: Run
    machines: tuple[MachineSummary, ...]
    trials: tuple[TrialRow, ...]

    def counts(self) -> dict[str, int]:
        return dict(Counter(trial.state for trial in self.trials))


def baseline_name(run: Run) -> str:
    """What the configuration that the search started from is: the published loss, unless settings changed it."""
    return "published loss" if run.config.loss == LossConfig() else "starting loss"


def summarise(folder: Path, run: Run, *, clips: pa.Table, studies: Studies) -> Summary:
    machines = tuple(
        _summarise_machine(folder, run, name, clips=clips, studies=studies) for name in run.machine_types
    )
    return Summary(run=run, machines=machines, trials=_rows(folder, run, studies))


def _summarise_machine(
    folder: Path, run: Run, machine_type: str, *, clips: pa.Table, studies: Studies
) -> MachineSummary:
    best = studies.best(machine_type)
    judged = None if best is None else _judge(folder, run, machine_type, clips=clips, found=best)
    published = studies.published(machine_type)
    return MachineSummary(
        machine_type=machine_type,
        best=judged,
        published=None if published is None else _judge(folder, run, machine_type, clips=clips, found=published),
        at_edge=() if judged is None else edges(run.space.of(machine_type), judged.params),
    )


def _judge(
    folder: Path, run: Run, machine_type: str, *, clips: pa.Table, found: tuple[str, FrozenTrial]
) -> Judged:
    uid, trial = found
    return judge(
        uid,
        machine_type,
        params=run.space.of(machine_type).active(trial.params),
        clips=clips,
        scores=_read_scores(folder / TRIALS / uid / "scores.parquet"),
        config=run.config.score,
    )


def _read_scores(path: Path) -> pa.Table:
    try:
        return read_shard(path)
    except InputError:
        raise InputError(f"{path}: missing or damaged; delete its trial's folder and search again") from None


def judge(
    uid: str,
    machine_type: str,
    *,
    params: dict[str, float],
    clips: pa.Table,
    scores: pa.Table,
    config: ScoreConfig,
) -> Judged:
    """Put the scores of a trial and the labels of the clips together, for one machine type."""
    score_of = dict(zip(scores.column("clip_id").to_pylist(), scores.column("score").to_pylist(), strict=True))
    rows = [row for row in clips.to_pylist() if row["machine_type"] == machine_type]

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
    return Judged(
        uid=uid,
        params=params,
        objective=objective,
        choosing=choosing,
        reporting=reporting,
        reporting_objective=objective_value(reporting, config.objective),
        threshold=fit_threshold(normal, quantile=config.threshold_quantile),
        threshold_clips=fitted_to,
    )


def normal_scores(scores: pa.Table, machine_type: str) -> tuple[list[float], str]:
    """The scores that a threshold is fitted to, and which clips they are of."""
    rows = [row for row in scores.to_pylist() if row["machine_type"] == machine_type]
    normal = [row for row in rows if row["split"] in ("train", "valid")]
    few = any(row["split"] == "train" for row in normal)
    return [row["score"] for row in normal], "validation and training clips" if few else "validation clips"


def edges(space: StudySpace, params: Mapping[str, float]) -> tuple[str, ...]:
    """`margin at its low end`, ... for numbers so near the end of their range that the best may lie outside.

    A limit that is the end of what the number can be (0 or 1 for a probability) is no edge to widen.
    """
    found = []
    for name in space.searched():
        spec = space.spec(name)
        if not isinstance(spec, Range) or name not in params:
            continue
        low, high, value = spec.low, spec.high, params[name]
        if spec.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        place = (value - low) / (high - low)
        if place < EDGE and not (name in NATURAL_LIMITS and spec.low == NATURAL_LIMITS[name][0]):
            found.append(f"{name} at its low end {spec.low:g}")
        if place > 1 - EDGE and not (name in NATURAL_LIMITS and spec.high == NATURAL_LIMITS[name][1]):
            found.append(f"{name} at its high end {spec.high:g}")
    return tuple(found)


def _rows(folder: Path, run: Run, studies: Studies) -> tuple[TrialRow, ...]:
    """Every trial, in the order of machine types and numbers, from the studies that own them."""
    rows = []
    for owner in run.machine_types:
        for trial in studies.own_trials(owner):
            uid = f"{owner}-{trial.number}"
            history = read_history(folder / TRIALS / uid)
            curves = trial.user_attrs.get("curves", {})
            rows.append(
                TrialRow(
                    uid=uid,
                    owner=owner,
                    state=STATE_NAMES[trial.state],
                    reason=trial.user_attrs.get("reason", ""),
                    epochs=len(history),
                    params=run.space.of(owner).active(trial.params),
                    objective={name: curve[max(curve, key=int)] for name, curve in curves.items() if curve},
                    seconds=sum(report["seconds"] for report in history),
                )
            )
    return tuple(rows)


def read_history(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a trial; none if it never finished one."""
    path = folder / "metrics.json"
    history: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return history
