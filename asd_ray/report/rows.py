"""Every trial of a search, as trials.csv lists it; and the Pareto set, if there are several objectives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState
from pydantic import BaseModel, TypeAdapter, ValidationError

from asd_ray.config import Params
from asd_ray.errors import InputError
from asd_ray.search.runfolder import TRIALS, Run
from asd_ray.search.studies.studies import Studies
from asd_ray.search.studies.trial_store import CURVES, REASON

STATE_NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """One line of trials.csv."""

    uid: str
    owner: str
    state: str
    reason: str
    epochs: int
    params: Params
    objective: dict[str, float]
    proxy: dict[str, float]  # machine type -> the objective that needs no labels
    seconds: float


def read_rows(folder: Path, run: Run, studies: Studies) -> tuple[tuple[TrialRow, ...], dict[str, list[str]]]:
    """Every trial, by machine type and number, from the study that owns it; and what is lost."""
    rows = []
    problems: dict[str, list[str]] = {name: [] for name in run.machine_types}
    for owner in run.machine_types:
        for trial in studies.own_trials(owner):
            uid = f"{owner}-{trial.number}"
            history: list[_Epoch] = []
            try:
                history = read_history(folder / TRIALS / uid)
            except InputError as error:
                problems[owner].append(str(error))
            curves = trial.user_attrs.get(CURVES, {})
            rows.append(
                TrialRow(
                    uid=uid,
                    owner=owner,
                    state=STATE_NAMES[trial.state],
                    reason=trial.user_attrs.get(REASON, ""),
                    epochs=len(history),
                    params=run.space.of(owner).active(trial.params),
                    objective={name: curve[max(curve, key=int)] for name, curve in curves.items() if curve},
                    proxy=next((epoch.proxy for epoch in reversed(history) if epoch.proxy), {}),
                    seconds=sum(epoch.seconds for epoch in history),
                )
            )
    return tuple(rows), problems


class _Epoch(BaseModel):
    """The part of an epoch's report that a line of trials.csv needs."""

    seconds: float
    proxy: dict[str, float] = {}  # where clips were scored


_HISTORY = TypeAdapter(list[_Epoch])


def read_history(folder: Path) -> list[_Epoch]:
    """The epochs of a trial; empty if it never finished one. Raises InputError for a damaged file."""
    path = folder / "metrics.json"
    if not path.exists():
        return []
    try:
        return _HISTORY.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        raise InputError(
            f"{path}: damaged; its trial has no epochs and no time in trials.csv, and nothing else needs it: "
            "put back a copy, or delete it"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPoint:
    """A trial of the Pareto set, and each objective's value on the choosing clips."""

    uid: str
    params: Params
    values: dict[str, float]

    def plain(self) -> dict[str, Any]:
        return {"trial": self.uid, "params": self.params, "choosing": self.values}


def pareto_points(machine_type: str, run: Run, studies: Studies) -> tuple[ParetoPoint, ...]:
    """The Pareto set, sorted by the first objective, best first; empty if there is only one objective."""
    names = run.config.score.objectives
    if len(names) == 1:
        return ()
    return tuple(
        ParetoPoint(
            uid=uid,
            params=run.space.of(machine_type).active(trial.params),
            values=dict(zip(names, trial.values, strict=True)),
        )
        for uid, trial in studies.pareto(machine_type)
    )
