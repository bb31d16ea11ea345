"""Confirmation: the best configs of a search, and the one it started from, trained again with fresh seeds.

confirmation.yaml             which configs and seeds; written once no trial of the search is running any more
trials/<uid>/seed-<seed>/     as of any trial, and outcome.json once the training has ended

The files are the only state: what has an outcome is not trained again. No ray.
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
BASELINE = "baseline"  # stands for the starting configuration where no study could hold a trial of it


class Candidate(Strict):
    """A config to train again. It is judged for the machine types that it is among the best of, or the start of.

    Not for all that it is trained on: the more configs a winner is chosen from, the wider its interval must be.
    """

    uid: PlainName
    owner: PlainName
    machine_types: list[PlainName] = Field(description="that it is trained on")
    params: Params
    scores: dict[PlainName, str] = Field(default={}, description="by machine type, where each has its own")


class ConfirmationPlan(Strict):
    """confirmation.yaml."""

    trials: int = Field(description="that had ended when this was decided")
    seeds: list[int]
    candidates: list[Candidate]
    best: dict[PlainName, list[PlainName]] = Field(description="by machine type, as the search has it, best first")
    baseline: dict[PlainName, PlainName] = Field(description="the configuration that the search started from")

    def of(self, machine_type: str) -> list[Candidate]:
        """The candidates of one machine type: the best of the search first, the starting configuration last."""
        by_uid = {candidate.uid: candidate for candidate in self.candidates}
        uids = [*self.best[machine_type], self.baseline[machine_type]] if self.best[machine_type] else []
        return [by_uid[uid] for uid in dict.fromkeys(uids)]


class SeedOutcome(BaseModel):
    """outcome.json: how a training ended, and the objective per machine type on the choosing clips.

    What it did itself (it diverged, it raised) it would do again: it has failed. What befell it (its process died
    or hung, time and again) may not befall it another time: it was lost, and another call goes on with it.
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
        """Its folder, below the trials."""
        return f"{self.candidate.uid}/seed-{self.seed}"

    @property
    def name(self) -> str:
        """Unlike its place no path: as Tune and those who watch have it."""
        return self.folder.replace("/", "-")


class Confirmation:
    """The trainings of a plan: which are left to do, and how the others ended."""

    def __init__(self, folder: Path, plan: ConfirmationPlan, *, epochs: int) -> None:
        """`epochs`: that every training has when it is complete."""
        self.plan, self._epochs = plan, epochs
        self._trials = folder / TRIALS
        self._whole: dict[str, bool] = {}  # by place; reading a state takes a while
        self._lost: set[str] = set()  # candidates that were lost since this began

    def trainings(self) -> Iterator[SeedTraining]:
        """All of them; every candidate gets its first seed before any gets its second."""
        for seed in self.plan.seeds:
            for candidate in self.plan.candidates:
                yield SeedTraining(candidate, seed)

    def waiting(self, *, again: bool = True) -> list[SeedTraining]:
        """Those left to do; with `again`, those too that an earlier call lost."""
        spared = {candidate.uid for candidate in self.plan.candidates if self.spares(candidate, again=again)}
        return [
            training
            for training in self.trainings()
            if training.candidate.uid not in spared and not self._has_ended(training)
        ]

    def spares(self, candidate: Candidate, *, again: bool = True) -> bool:
        """Whether to leave a candidate alone: it failed with one seed, and cannot win, or was lost just now."""
        lost = not again or candidate.uid in self._lost
        ends = [self._read(SeedTraining(candidate, seed)) for seed in self.plan.seeds]
        return any(
            end is not None and (end.outcome == "failed" or (lost and end.outcome == "lost")) for end in ends
        )

    def reason(self, candidate: Candidate) -> str:
        """Why it failed or was lost, and with which seed; empty if neither."""
        for seed in self.plan.seeds:
            found = self._read(SeedTraining(candidate, seed))
            if found is not None and found.outcome != "complete":
                mend = "; call the search with --confirm again, which goes on with it"
                return f"seed {seed}: {found.reason}{mend if found.outcome == 'lost' else ''}"
        return ""

    def winner(self, machine_type: str) -> Candidate | None:
        """The candidate with the best mean on the choosing clips, the first of equals; None until all ended."""
        means: list[tuple[float, Candidate]] = []
        for candidate in self.plan.of(machine_type):
            ends = [self._read(SeedTraining(candidate, seed)) for seed in self.plan.seeds]
            if not self.reason(candidate):
                if None in ends:
                    return None
                means.append((fmean(end.objective[machine_type] for end in ends if end is not None), candidate))
        return max(means, key=lambda pair: pair[0], default=(0.0, None))[1]

    def outcome(self, training: SeedTraining) -> SeedOutcome | None:
        """How it ended; None where it has not, or where its scores or its network are gone."""
        found = self._read(training)
        return found if found is None or found.outcome != "complete" or self._is_whole(training) else None

    def begin(self, training: SeedTraining) -> None:
        """Make its folder fit to train in: what is left of a damaged result would be taken for a result again."""
        folder, found = self._trials / training.folder, self._read(training)
        if found is not None and found.outcome == "lost":
            (folder / OUTCOME).unlink()  # the epochs that it had trained are kept
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
    """Decide what is to be confirmed, now that the search has ended, and write it down."""
    plan = make_plan(run, studies)
    write_whole(folder / PLAN, dump(plan.model_dump()))
    return Confirmation(folder, plan, epochs=run.config.train.epochs)


def read_confirmation(folder: Path, run: Run) -> Confirmation | None:
    """What was decided last; None if nothing ever was. Raises InputError for a file that cannot be read."""
    path = folder / PLAN
    return (
        Confirmation(folder, load(path, ConfirmationPlan), epochs=run.config.train.epochs)
        if path.exists()
        else None
    )


def count_to_confirm(folder: Path, run: Run, studies: Studies) -> int:
    """Trainings that are left to confirm the best with; at least so many where trials are still to come."""
    search = run.config.search
    if not search.confirm:
        return 0
    if studies.num_missing:
        return search.seeds
    plan = make_plan(run, studies)
    return len(Confirmation(folder, plan, epochs=run.config.train.epochs).waiting())


def make_plan(run: Run, studies: Studies) -> ConfirmationPlan:
    """The best of every machine type, as many as the run says, and the starting configuration."""
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
    scores: dict[str, str] = {}
    if uid == _baseline_uid(run, machine_type):
        owner, params = machine_type, params_of(run.config)  # as it is, also where the space holds another value
        if run.config.score.name == AUTO:  # no trial of the search has chosen for it
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
