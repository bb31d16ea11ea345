"""The events of a running search, for the terminal and the trackers: see `asd_ray.console` and `asd_ray.tracking`.

A line of text speaks for itself. Every event about a trial, or about a training that confirms one, carries its
name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from asd_ray.search.space import Params
from asd_ray.search.studies.studies import Studies
from asd_ray.search.studies.trial_store import Outcome, Proposal, may_win, name_of, worth
from asd_ray.training.messages import Assignment, EpochReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What this call will run from here on; sent again when it begins to confirm."""

    total: int  # trials, or trainings that confirm
    earlier: int = 0  # trials that earlier calls have ended
    best: Mapping[str, tuple[str, float]]  # machine type -> its best complete trial so far, and the objective
    confirming: bool = False

    @classmethod
    def of(cls, studies: Studies, *, total: int, confirming: bool = False) -> "Planned":
        """`best` has the objective as measured with one seed: it is good to watch, not to choose by."""
        best = {}
        for name in studies.machine_types:
            able = [trial for trial in studies.trials(name) if may_win(trial)]
            if able:
                trial = max(able, key=worth)
                best[name] = (name_of(name, trial), worth(trial))
        earlier = studies.count() - studies.num_adopted
        return cls(total=total, earlier=earlier, best=best, confirming=confirming)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A trial has been handed out. A trial that was lost with its lane is handed out again to go on."""

    name: str
    machine_types: tuple[str, ...]  # those that it trains on
    params: Params
    lanes: int  # how many trials can run on now
    seed: int | None = None  # only of a training that confirms

    @property
    def differs_in(self) -> Params:
        """What sets it apart from other trainings of the search: its point and, if it confirms, its seed."""
        return {**self.params} | ({} if self.seed is None else {"seed": self.seed})

    @classmethod
    def of(cls, assignment: Assignment, *, lanes: int) -> "Begun":
        return cls(
            name=assignment.name,
            machine_types=assignment.machine_types,
            params=assignment.params,
            lanes=lanes,
            seed=assignment.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    """An epoch has been trained or, in a trial that goes on, read back from its history."""

    name: str
    report: EpochReport
    lane: str  # empty where the trial's own process trains it


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A trial has stopped half-way, and will go on later: its lane was lost, or the time limit was reached."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A trial, or a training that confirms one, has ended."""

    name: str
    proposal: Proposal
    outcome: Outcome
    reason: str
    epochs: int
    values: dict[str, float]  # objective per machine type, as last scored
    number: int  # how many trials have ended in this call
    total: int  # how many trials this call will run
    seed: int | None = None  # only of a training that confirms; number and total then count those
    best_of: tuple[str, ...] = ()  # machine types for which it is the best so far


Event = str | Planned | Begun | EpochDone | Left | Ended
OnEvent = Callable[[Event], None]
