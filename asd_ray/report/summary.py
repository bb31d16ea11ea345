"""What a search found, read from its run folder alone: per machine type the best config and how good it is.

The studies chose on the choosing clips; where there was a confirmation, the mean over fresh seeds chose, on the
same clips.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from asd_ray.config import LossConfig
from asd_ray.models import SYSTEMS
from asd_ray.report.confirmed import Confirmed, Ensemble
from asd_ray.report.judging import Judged, ScoreRow
from asd_ray.report.response import Response
from asd_ray.report.rows import ParetoPoint, TrialRow
from asd_ray.scoring.intervals import Estimate
from asd_ray.scoring.metrics import PROXY
from asd_ray.scoring.proxy import Correlation, rank_correlation
from asd_ray.search.runfolder import Run

NOT_CONFIRMED = "one seed, not confirmed"
UNFINISHED = ("running", "waiting")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSummary:
    """One machine type: the winner, the configuration that the search started from, and what to make of them.

    `best` is what is handed over: the confirmed winner's best training, or else `observed`, the trial that the
    search chose. `published` is the trial of the starting configuration. `standing` says in words whether the
    winner is confirmed, `problems` what is lost and how to mend it, `not_reportable` why there is no figure on
    the reporting clips.
    """

    machine_type: str
    best: Judged | None
    observed: Judged | None
    published: Judged | None
    at_edge: tuple[str, ...]
    confirmed: Confirmed | None
    best_estimate: Estimate | None
    published_estimate: Estimate | None
    standing: str
    not_reportable: str
    problems: tuple[str, ...]
    pareto: tuple[ParetoPoint, ...]  # if there are several objectives
    response: Response
    systems: Mapping[str, Judged] = field(default_factory=dict)  # the best trial of each of several
    scores: tuple[ScoreRow, ...] = ()  # all scores that can read its networks
    ensemble: Ensemble | None = None  # of confirmed configs
    angles: tuple[float, ...] = ()  # of the reporting clips to the centre of their id, in degrees, where known
    weights_lost: bool = False

    @property
    def handed_over(self) -> bool:
        """Whether best/ and models/ hold the winner."""
        return self.best is not None and not self.weights_lost

    @property
    def choosing(self) -> tuple[float, float | None] | None:
        """The winner's objective on the choosing clips: mean and standard deviation over seeds, or of one seed."""
        if self.confirmed is not None and self.confirmed.winner is not None:
            return self.confirmed.winner.choosing
        return None if self.best is None else (self.best.objective, None)

    @property
    def best_system(self) -> str | None:
        """The winner's system, if the search covered several."""
        return str(self.best.params["system"]) if self.best and self.systems else None

    @property
    def curse(self) -> float | None:
        """How much its seed flattered the trial that the search chose: its value minus its confirmed mean."""
        if self.confirmed is None or self.observed is None:
            return None
        mean = self.confirmed.mean_of(self.observed.uid)
        return None if mean is None else self.observed.objective - mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """Plain means of the objective over machine types; None if one of them has no such figure."""

    choosing: float | None
    reporting: float | None
    published: float | None  # of the starting configuration, on the reporting clips


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a search found: its machine types in their order, and every trial."""

    run: Run
    machines: tuple[MachineSummary, ...]
    trials: tuple[TrialRow, ...]
    confirming_seconds: float = 0.0  # training time of all trainings of the confirmation
    dcase_2020: bool = False  # whether these are the test clips that publications report on
    missing: int = 0  # requested trials that have not ended, because the search was stopped

    def counts(self) -> dict[str, int]:
        return dict(Counter(trial.state for trial in self.trials))

    @property
    def counted(self) -> str:
        """`3 trials (2 complete, 1 pruned)`; if the search was stopped early, also the number requested."""
        counts = self.counts()
        if not self.missing:
            found = ", ".join(f"{count} {state}" for state, count in counts.items())
            return f"{len(self.trials)} trials ({found or 'none yet'})"
        ended = sum(count for state, count in counts.items() if state not in UNFINISHED)
        found = ", ".join(
            f"{count} {'unfinished' if state in UNFINISHED else state}" for state, count in counts.items()
        )
        return f"{ended} of {ended + self.missing} trials ({found or 'none yet'}; stopped: the same call goes on)"

    @property
    def overall(self) -> Overall | None:
        """Means over machine types; None unless there are several, all with a winner."""
        chosen = [one.choosing[0] if one.choosing else None for one in self.machines]
        if len(self.machines) < 2 or None in chosen:
            return None
        best, published = (
            [estimate.mean if estimate else None for estimate in found]
            for found in (
                [one.best_estimate for one in self.machines],
                [one.published_estimate for one in self.machines],
            )
        )
        return Overall(choosing=_mean(chosen), reporting=_mean(best), published=_mean(published))

    def searched(self, uid: str, machine_type: str) -> float | None:
        """A trial's objective on the choosing clips, as the search saw it."""
        values = [row.objective.get(machine_type) for row in self.trials if row.uid == uid]
        return values[0] if values else None

    def with_lost_weights(self, problems: Mapping[str, str]) -> "Summary":
        """A copy that also lists what is missing for the winners of some machine types."""
        machines = (
            replace(machine, problems=(*machine.problems, problems[machine.machine_type]), weights_lost=True)
            if machine.machine_type in problems
            else machine
            for machine in self.machines
        )
        return replace(self, machines=tuple(machines))

    @property
    def optimistic(self) -> bool:
        """Whether the same labels chose and report."""
        return self.run.protocol == "paper" and self.run.config.score.objective != PROXY

    @property
    def label_free(self) -> dict[str, Correlation]:
        """How similarly objective and proxy order a machine type's complete trials; empty if no label chose."""
        if self.run.config.score.objective == PROXY:
            return {}
        found = {}
        for name in self.run.machine_types:
            rows = [
                row
                for row in self.trials
                if row.state == "complete" and name in row.objective and name in row.proxy
            ]
            found[name] = rank_correlation(
                [row.proxy[name] for row in rows], [row.objective[name] for row in rows]
            )
        return found


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of all values; None if one of them is None."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def baseline_name(run: Run) -> str:
    """The name for the configuration that the search started from: a system's published loss, if that is known.

    With several systems, or a system whose loss has no numbers, it is not called published.
    """
    system = SYSTEMS.get(run.systems[0]) if len(run.systems) == 1 else None
    if system is None or not system.is_published or not system.numbers:
        return "starting point"
    published, mine = LossConfig().model_dump() | dict(system.start), run.config.loss.model_dump()
    return "published loss" if all(mine[name] == published[name] for name in system.numbers) else "starting point"
