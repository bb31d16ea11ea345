"""Confirmation: the best configs of a search, and the one it started from, trained again with fresh seeds.

confirmation.yaml             which configs and seeds; written once no trial of the search is running any more
trials/<uid>/seed-<seed>/     as of any trial, and outcome.json once the training has ended

The files are the only state: what has an outcome is not trained again. No ray.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asd_ray.command import InputError
from asd_ray.config import params_of
from asd_ray.data.manifest import read_shard
from asd_ray.files import write_whole
from asd_ray.search.runfolder import TRIALS, Run
from asd_ray.search.studies import Studies
from asd_ray.strict_yaml import Strict, dump, load

PLAN, OUTCOME = "confirmation.yaml", "outcome.json"
BASELINE = "baseline"  # stands for the starting configuration where no study could hold a trial of it


class Candidate(Strict):
    """A config to train again. One that was trained on several machine types is judged for each of them."""

    uid: str
    owner: str
    machine_types: list[str] = Field(description="that it is trained on")
    params: dict[str, float]


class Plan(Strict):
    """confirmation.yaml."""

    trials: int = Field(description="that had ended when this was decided")
    seeds: list[int]
    candidates: list[Candidate]
    best: dict[str, list[str]] = Field(description="by machine type, as the search has it, best first")
    baseline: dict[str, str] = Field(description="the configuration that the search started from")

    def of(self, machine_type: str) -> list[Candidate]:
        """The candidates of one machine type: the best of the search first, the starting configuration last."""
        by_uid = {candidate.uid: candidate for candidate in self.candidates}
        uids = [*self.best[machine_type], self.baseline[machine_type]] if self.best[machine_type] else []
        return [by_uid[uid] for uid in dict.fromkeys(uids)]


class Outcome(BaseModel):
    """outcome.json: how a training ended, and the objective per machine type on the choosing clips."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    outcome: Literal["complete", "failed"]
    reason: str = ""
    objective: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Training:
    """One candidate with one seed."""

    candidate: Candidate
    seed: int

    @property
    def place(self) -> str:
        """Its folder, below the trials."""
        return f"{self.candidate.uid}/seed-{self.seed}"


class Confirmation:
    """The trainings of a plan: which are left to do, and how the others ended."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self._trials = folder / TRIALS

    def trainings(self) -> Iterator[Training]:
        """All of them; every candidate gets its first seed before any gets its second."""
        for seed in self.plan.seeds:
            for candidate in self.plan.candidates:
                yield Training(candidate, seed)

    def waiting(self) -> list[Training]:
        """Those left to do. A candidate that failed with one seed cannot win, so its others are spared."""
        failed = {candidate.uid for candidate in self.plan.candidates if self.has_failed(candidate)}
        return [
            training
            for training in self.trainings()
            if training.candidate.uid not in failed and self.outcome(training) is None
        ]

    def has_failed(self, candidate: Candidate) -> bool:
        return bool(self.reason(candidate))

    def reason(self, candidate: Candidate) -> str:
        """Why it failed, and with which seed; empty if it did not."""
        for seed in self.plan.seeds:
            found = self.outcome(Training(candidate, seed))
            if found is not None and found.outcome == "failed":
                return f"seed {seed}: {found.reason}"
        return ""

    def outcome(self, training: Training) -> Outcome | None:
        """How it ended; None where it has not, or where its scores or its network are gone."""
        folder = self._trials / training.place
        try:
            found = Outcome.model_validate_json((folder / OUTCOME).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError):
            return None
        return found if found.outcome == "failed" or _is_whole(folder) else None

    def begin(self, training: Training) -> None:
        """Make its folder fit to train in: what is left of a damaged result would be taken for a result again."""
        folder = self._trials / training.place
        if (folder / OUTCOME).exists():
            shutil.rmtree(folder)

    def end(self, training: Training, outcome: Outcome) -> None:
        write_whole(self._trials / training.place / OUTCOME, outcome.model_dump_json(indent=1) + "\n")


def _is_whole(folder: Path) -> bool:
    try:
        read_shard(folder / "scores.parquet")
    except InputError:
        return False
    return (folder / "state.pt").exists()


def open_confirmation(folder: Path, run: Run, studies: Studies) -> Confirmation:
    """Decide what is to be confirmed, now that the search has ended, and write it down."""
    plan = make_plan(run, studies)
    write_whole(folder / PLAN, dump(plan.model_dump()))
    return Confirmation(folder, plan)


def read_confirmation(folder: Path) -> Confirmation | None:
    """What was decided last; None if nothing ever was. Raises InputError for a file that cannot be read."""
    path = folder / PLAN
    return Confirmation(folder, load(path, Plan)) if path.exists() else None


def make_plan(run: Run, studies: Studies) -> Plan:
    """The best of every machine type, as many as the run says, and the starting configuration."""
    top = run.config.search.confirm
    best = {name: [uid for uid, _ in studies.ranking(name)[:top]] for name in run.machine_types}
    published = {name: studies.published(name) for name in run.machine_types}
    baseline = {name: _baseline_uid(run, name) if found is None else found[0] for name, found in published.items()}
    by_uid: dict[str, Candidate] = {}
    for name in run.machine_types:
        for uid in [*best[name], baseline[name]] if best[name] else []:
            by_uid.setdefault(uid, _candidate(uid, name, run=run, studies=studies))
    return Plan(
        trials=count_ended(studies),
        seeds=fresh_seeds(run.config.train.seed, run.config.search.seeds),
        candidates=list(by_uid.values()),
        best=best,
        baseline=baseline,
    )


def count_ended(studies: Studies) -> int:
    """Trials of this search that have ended, over all studies, however they did."""
    return sum(trial.state.is_finished() for name in studies.machine_types for trial in studies.own_trials(name))


def fresh_seeds(seed: int, count: int) -> list[int]:
    """Seeds that the search has not used: those after its own.

    >>> fresh_seeds(2023, 3)
    [2024, 2025, 2026]
    """
    return [(seed + step) % 2**31 for step in range(1, count + 1)]


def _baseline_uid(run: Run, machine_type: str) -> str:
    return BASELINE if run.config.search.scope == "joint" else f"{BASELINE}-{machine_type}"


def _candidate(uid: str, machine_type: str, *, run: Run, studies: Studies) -> Candidate:
    owner, _, number = uid.rpartition("-")
    if uid == _baseline_uid(run, machine_type):
        owner = machine_type
        point: dict[str, Any] = params_of(run.config)
    else:
        point = studies.trials(owner)[int(number)].params
    joint = run.config.search.scope == "joint"
    return Candidate(
        uid=uid,
        owner=owner,
        machine_types=list(run.trained_types) if joint else [owner],
        params=run.space.of(owner).active(point),
    )
