"""Of several objectives: the trials of a machine type that no other beats in one without losing in another."""

from dataclasses import dataclass
from typing import Any

from asd_ray.config import Params
from asd_ray.search.runfolder import Run
from asd_ray.search.studies.studies import Studies


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPoint:
    """A trial of the Pareto set, and each objective's value on the choosing clips."""

    uid: str
    params: Params
    values: dict[str, float]

    def plain(self) -> dict[str, Any]:
        return {"trial": self.uid, "params": self.params, "choosing": self.values}


def pareto_points(machine_type: str, run: Run, studies: Studies) -> tuple[ParetoPoint, ...]:
    """The Pareto set, best in the first objective first; empty where there is one objective only."""
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
