"""Confirmation: train the best configs of a search, and the baseline, again with fresh seeds.

confirmation.yaml             which configs and seeds; written once no trial of the search is running any more
trials/<uid>/seed-<seed>/     the files of any trial, and outcome.json once the training has ended

The files are the only state: a training that has an outcome is not repeated, unless it was lost. No ray.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asd_ray.config import Params, PlainName, params_of
from asd_ray.data.manifest import read_shard
from asd_ray.errors import InputError
from asd_ray.files.paths import remove_folder
from asd_ray.files.strict_yaml import Strict, dump, load
from asd_ray.files.writing import write_whole
from asd_ray.scoring.scores import AUTO, PUBLISHED
from asd_ray.search.runfolder import TRIALS, Run
from asd_ray.search.studies.studies import Studies
from asd_ray.search.studies.trial_store import scores_of
from asd_ray.training import checkpoint

PLAN, OUTCOME = "confirmation.yaml", "outcome.json"
BASELINE = "baseline"  # uid of the starting configuration where no study could hold a trial of it


class Candidate(Strict):
    """A config to train again.

    It is judged only for the machine types where it is among the best or is the baseline, not for all that it is
    trained on: the more configs a winner is chosen from, the wider its interval must be.
    """

    uid: PlainName
    owner: PlainName
    machine_types: list[PlainName] = Field(description="that it is trained on")
    params: Params
    scores: dict[PlainName, str] = Field(default={}, description="by machine type, where each has its own")


class ConfirmationPlan(Strict):
    """The contents of confirmation.yaml."""

    trials: int = Field(description="that had ended when this was decided")
    seeds: list[int]
    candidates: list[Candidate]
    best: dict[PlainName, list[PlainName]] = Field(description="by machine type, as the search has it, best first")
    baseline: dict[PlainName, PlainName] = Field(description="the configuration that the search started from")

    def of(self, machine_type: str) -> list[Candidate]:
        """The candidates of one machine type: the best of the search first, the baseline last."""
        by_uid = {candidate.uid: candidate for candidate in self.candidates}
        uids = [*self.best[machine_type], self.baseline[machine_type]] if self.best[machine_type] else []
        return [by_uid[uid] for uid in dict.fromkeys(uids)]


class SeedOutcome(BaseModel):
    """outcome.json: how a training ended, and the objective per machine type on the choosing clips.

    A training that diverged or raised an error has failed: it would do so again. A training whose process died or
    hung time and again is lost: that may not happen another time, so another call goes on with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    outcome: Literal["complete", "failed", "lost"]
    reason: str = ""
    objective: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class SeedTraining:
    """One candidate with one seed."""

    candidate: Candidate
    seed: int

    @property
    def folder(self) -> str:
        """The folder of this training, below `trials/`."""
        return f"{self.candidate.uid}/seed-{self.seed}"

    @property
    def name(self) -> str:
        """The name of this training in Tune and in events; unlike `folder`, it is not a path."""
        return self.folder.replace("/", "-")


class Confirmation:
    """The trainings of a plan: which are left to do, and how the others ended."""

    def __init__(self, folder: Path, plan: ConfirmationPlan, *, epochs: int) -> None:
        """`epochs`: how many a complete training has."""
        self.plan, self._epochs = plan, epochs
        self._trials = folder / TRIALS
        self._whole: dict[str, bool] = {}  # by folder; kept, for reading a state takes a while
        self._lost: set[str] = set()  # uids of candidates that were lost in this call

    def trainings(self) -> Iterator[SeedTraining]:
        """All trainings; every candidate gets its first seed before any gets its second."""
        for seed in self.plan.seeds:
            for candidate in self.plan.candidates:
                yield SeedTraining(candidate, seed)

    def waiting(self, *, again: bool = True) -> list[SeedTraining]:
        """The trainings that are left to do; with `again`, also those that an earlier call lost."""
        spared = {candidate.uid for candidate in self.plan.candidates if self.spares(candidate, again=again)}
        return [
            training
            for training in self.trainings()
            if training.candidate.uid not in spared and not self._has_ended(training)
        ]

    def spares(self, candidate: Candidate, *, again: bool = True) -> bool:
        """Whether to skip a candidate: it failed with one seed, so it cannot win, or it was lost in this call.

        Without `again`, a candidate that an earlier call lost is skipped as well.
        """
        lost = not again or candidate.uid in self._lost
        ends = [self._read(SeedTraining(candidate, seed)) for seed in self.plan.seeds]
        return any(
            end is not None and (end.outcome == "failed" or (lost and end.outcome == "lost")) for end in ends
        )

    def reason(self, candidate: Candidate) -> str:
        """Why a candidate failed or was lost, and with which seed; empty if it did neither."""
        for seed in self.plan.seeds:
            found = self._read(SeedTraining(candidate, seed))
            if found is not None and found.outcome != "complete":
                mend = "; call the search with --confirm again, which goes on with it"
                return f"seed {seed}: {found.reason}{mend if found.outcome == 'lost' else ''}"
        return ""

    def winner(self, machine_type: str) -> Candidate | None:
        """The candidate with the best mean on the choosing clips (first of equals); None until all have ended."""
        means: list[tuple[float, Candidate]] = []
        for candidate in self.plan.of(machine_type):
            ends = [self._read(SeedTraining(candidate, seed)) for seed in self.plan.seeds]
            if not self.reason(candidate):
                if None in ends:
                    return None
                means.append((fmean(end.objective[machine_type] for end in ends if end is not None), candidate))
        return max(means, key=lambda pair: pair[0], default=(0.0, None))[1]

    def outcome(self, training: SeedTraining) -> SeedOutcome | None:
        """How a training ended; None if it has not, or if its scores or its network are gone."""
        found = self._read(training)
        return found if found is None or found.outcome != "complete" or self._is_whole(training) else None

    def begin(self, training: SeedTraining) -> None:
        """Make the folder fit to train in: the rest of a damaged result would be taken for a result again."""
        folder, found = self._trials / training.folder, self._read(training)
        if found is not None and found.outcome == "lost":
            (folder / OUTCOME).unlink()  # keep the epochs that it had trained
        elif (folder / OUTCOME).exists():
            remove_folder(folder)

    def end(self, training: SeedTraining, outcome: SeedOutcome) -> None:
        if outcome.outcome == "lost":
            self._lost.add(training.candidate.uid)
        self._whole.pop(training.folder, None)
        write_whole(self._trials / training.folder / OUTCOME, outcome.model_dump_json(indent=1) + "\n")

    def _has_ended(self, training: SeedTraining) -> bool:
        found = self.outcome(training)
        return found is not None and found.outcome != "lost"

    def _read(self, training: SeedTraining) -> SeedOutcome | None:
        try:
            text = (self._trials / training.folder / OUTCOME).read_text(encoding="utf-8")
            return SeedOutcome.model_validate_json(text)
        except (OSError, UnicodeDecodeError, ValidationError):
            return None

    def _is_whole(self, training: SeedTraining) -> bool:
        """Whether the scores of a complete training are there, and the very network that gave them."""
        if training.folder not in self._whole:
            folder = self._trials / training.folder
            self._whole[training.folder] = _is_readable(folder / "scores.parquet") and (
                checkpoint.load_final(folder / "state.pt", epochs=self._epochs) is not None
            )
        return self._whole[training.folder]


def _is_readable(path: Path) -> bool:
    try:
        read_shard(path)
    except InputError:
        return False
    return True


def open_confirmation(folder: Path, run: Run, studies: Studies) -> Confirmation:
    """Decide what to confirm, now that the search has ended, and write the plan to confirmation.yaml."""
    plan = make_plan(run, studies)
    write_whole(folder / PLAN, dump(plan.model_dump()))
    return Confirmation(folder, plan, epochs=run.config.train.epochs)


def read_confirmation(folder: Path, run: Run) -> Confirmation | None:
    """The confirmation that was planned last; None if there is none. Raises InputError for an unreadable file."""
    path = folder / PLAN
    return (
        Confirmation(folder, load(path, ConfirmationPlan), epochs=run.config.train.epochs)
        if path.exists()
        else None
    )


def count_to_confirm(folder: Path, run: Run, studies: Studies) -> int:
    """How many trainings are left to confirm the best; a lower bound while trials are still to come."""
    search = run.config.search
    if not search.confirm:
        return 0
    if studies.num_missing:
        return search.seeds
    plan = make_plan(run, studies)
    return len(Confirmation(folder, plan, epochs=run.config.train.epochs).waiting())


def make_plan(run: Run, studies: Studies) -> ConfirmationPlan:
    """Plan to confirm the best of every machine type, as many as the run says, and the baseline."""
    top = run.config.search.confirm
    best = {name: [uid for uid, _ in studies.ranking(name)[:top]] for name in run.machine_types}
    published = {name: studies.published(name) for name in run.machine_types}
    baseline = {name: _baseline_uid(run, name) if found is None else found[0] for name, found in published.items()}
    by_uid: dict[str, Candidate] = {}
    for name in run.machine_types:
        for uid in [*best[name], baseline[name]] if best[name] else []:
            by_uid.setdefault(uid, _candidate(uid, name, run=run, studies=studies))
    return ConfirmationPlan(
        trials=count_ended(studies),
        seeds=fresh_seeds(run.config.train.seed, run.config.search.seeds),
        candidates=list(by_uid.values()),
        best=best,
        baseline=baseline,
    )


def count_ended(studies: Studies) -> int:
    """How many trials of this search have ended, over all studies, with whatever outcome."""
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
    scores: dict[str, str] = {}
    if uid == _baseline_uid(run, machine_type):
        owner, params = machine_type, params_of(run.config)  # even where the space holds another value
        if run.config.score.name == AUTO:  # no trial has chosen a score for it
            scores = dict.fromkeys(run.machine_types, PUBLISHED)
    else:
        trial = studies.trials(owner)[int(number)]
        params, scores = run.space.of(owner).active(trial.params), scores_of(trial)
    joint = run.config.search.scope == "joint"
    return Candidate(
        uid=uid,
        owner=owner,
        machine_types=list(run.trained_types) if joint else [owner],
        params=params,
        scores=scores,
    )
