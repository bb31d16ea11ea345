"""The results of confirming a machine type's best configs: means over fresh seeds, the winner, and the ensemble.

The ensemble joins confirmed configs into one detector. The choosing clips alone choose its members; its gain is
measured on the reporting clips.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from asd_ray.config import Params, ScoreConfig
from asd_ray.report.judging import ClipRow, Judged, metrics_of, reporting_estimate
from asd_ray.scoring.ensemble import Doubles, choose_members, combined
from asd_ray.scoring.intervals import Estimate, estimate, mean_and_sd
from asd_ray.scoring.metrics import objective_value
from asd_ray.scoring.proxy import agreement
from asd_ray.search.confirmation import Candidate, Confirmation, SeedTraining

NO_EVIDENCE = "no evidence of improvement"
ONE_SEED = "one seed: no verdict"  # its interval covers other clips only, and seeds differ just as much
JudgeTraining = Callable[[SeedTraining], Judged]
ClipRows = Callable[[Judged], tuple[ClipRow, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """One config, trained again with every fresh seed; if a training failed, it has a reason and no trainings."""

    uid: str
    params: Params
    trainings: tuple[Judged, ...]
    failed: str

    @property
    def choosing(self) -> tuple[float, float | None]:
        """Mean and standard deviation over seeds of the objective on the choosing clips."""
        return mean_and_sd([judged.objective for judged in self.trainings])

    @property
    def reporting(self) -> tuple[float, float | None] | None:
        """The same on the reporting clips; None where it is undefined."""
        values = [judged.reporting_objective for judged in self.trainings]
        defined = [value for value in values if value is not None]
        return mean_and_sd(defined) if defined else None

    @property
    def agreement(self) -> float | None:
        """How similarly its seeds order all judged clips; needs no labels, and is None for one seed."""
        rows = [(*judged.chose, *judged.reported) for judged in self.trainings]
        return agreement([[row[3] for row in found] for found in rows]) if rows and rows[0] else None

    @property
    def optimism(self) -> float | None:
        """The mean on the choosing clips minus the mean on the reporting clips."""
        return None if self.reporting is None else self.choosing[0] - self.reporting[0]

    @property
    def handed_over(self) -> Judged:
        """The training that becomes the detector: the best one on the choosing clips."""
        return max(self.trainings, key=lambda judged: (judged.objective, -judged.seed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The confirmed configs of one machine type.

    `candidates`: first the one that the search chose, last the configuration that it started from. `winner`: the
    candidate with the best mean on the choosing clips; None if all failed. `difference`: winner minus starting
    configuration on the reporting clips, paired; None where either is missing or both are the same. The winner's
    means include the luck of the seeds that chose it; its intervals allow for that (`scoring.seeds`).
    """

    candidates: tuple[Retrained, ...]
    winner: Retrained | None
    baseline: Retrained
    winner_estimate: Estimate | None
    baseline_estimate: Estimate | None
    difference: Estimate | None
    seeds: tuple[int, ...]

    @property
    def verdict(self) -> str:
        """What the difference to the starting configuration says, in words."""
        if self.winner is None:
            return "every config failed"
        if self.winner.uid == self.baseline.uid:
            return f"{NO_EVIDENCE}: the starting configuration itself came out best"
        if self.baseline.failed:
            return "nothing to compare with: the starting configuration failed"
        return verdict_of(self.difference)

    def mean_of(self, uid: str) -> float | None:
        """The mean of a config on the choosing clips; None if it failed or was not confirmed."""
        for candidate in self.candidates:
            if candidate.uid == uid and candidate.trainings:
                return candidate.choosing[0]
        return None


def verdict_of(difference: Estimate | None) -> str:
    """What a paired difference says; with one seed, it says nothing.

    >>> verdict_of(Estimate(mean=0.02, sd=0.01, low=-0.01, high=0.04, method="BCa", note=""))
    'no evidence of improvement'
    """
    if difference is None:
        return "undefined on the reporting clips"
    if difference.sd is None:
        return ONE_SEED
    if difference.interval is None:
        return NO_EVIDENCE  # its note says why there is no interval
    low, high = difference.interval
    return "better" if low > 0 else f"{NO_EVIDENCE}: worse" if high < 0 else NO_EVIDENCE


def confirmed_of(
    machine_type: str, confirmation: Confirmation, *, judge_training: JudgeTraining, config: ScoreConfig
) -> Confirmed:
    """The results of a machine type whose trainings have all ended. Raises InputError where one is lost."""
    candidates = tuple(
        _retrained(candidate, confirmation, judge_training) for candidate in confirmation.plan.of(machine_type)
    )
    complete = [candidate for candidate in candidates if candidate.trainings]
    winner = max(complete, key=lambda candidate: candidate.choosing[0], default=None)  # the first of equals
    uid = confirmation.plan.baseline[machine_type]
    (baseline,) = (candidate for candidate in candidates if candidate.uid == uid)

    contenders = tuple(one.trainings for one in complete)

    def over_seeds(one: Retrained | None, minus: Retrained | None = None) -> Estimate | None:
        if one is None or not one.trainings:
            return None
        return reporting_estimate(
            one.trainings,
            config=config,
            minus=minus.trainings if minus else (),
            contenders=contenders if one is winner else (),
        )

    comparable = winner is not None and winner.uid != uid and bool(baseline.trainings)
    return Confirmed(
        candidates=candidates,
        winner=winner,
        baseline=baseline,
        winner_estimate=over_seeds(winner),
        baseline_estimate=over_seeds(baseline),
        difference=over_seeds(winner, baseline) if comparable else None,
        seeds=tuple(confirmation.plan.seeds),
    )


def left_to_do(machine_type: str, confirmation: Confirmation) -> int:
    """Trainings of a machine type's candidates that have no outcome yet."""
    uids = {candidate.uid for candidate in confirmation.plan.of(machine_type)}
    return sum(training.candidate.uid in uids for training in confirmation.waiting(again=False))


def _retrained(candidate: Candidate, confirmation: Confirmation, judge_training: JudgeTraining) -> Retrained:
    failed = confirmation.reason(candidate)
    seeds = [] if failed else confirmation.plan.seeds
    return Retrained(
        uid=candidate.uid,
        params=candidate.params,
        trainings=tuple(judge_training(SeedTraining(candidate, seed)) for seed in seeds),
        failed=failed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The winner and the configs that help it most, combined as the mean of their ranks, seed by seed.

    A single member means that no other config helps. `gain`: ensemble minus winner alone on the reporting clips,
    paired.
    """

    members: tuple[str, ...]
    choosing: tuple[float, float | None]  # mean and standard deviation over seeds
    reporting: Estimate | None
    gain: Estimate | None

    @property
    def verdict(self) -> str:
        if len(self.members) == 1:
            return "no other config helps on the choosing clips"
        return verdict_of(self.gain)

    def plain(self) -> dict[str, Any]:
        return {
            "members": list(self.members),
            "choosing": {"mean": self.choosing[0], "sd": self.choosing[1]},
            "reporting": None if self.reporting is None else asdict(self.reporting),
            "gain": None if self.gain is None else asdict(self.gain),
            "verdict": self.verdict,
        }


def ensemble_of(machine_type: str, confirmed: Confirmed, *, config: ScoreConfig) -> Ensemble | None:
    """The ensemble; None without a winner, or where the winner is the only confirmed config."""
    configs = [one for one in confirmed.candidates if one.trainings]
    if confirmed.winner is None or len(configs) < 2:
        return None
    first = [one.uid for one in configs].index(confirmed.winner.uid)
    chose = confirmed.winner.trainings[0].chose

    def objectives(score_SB: Doubles) -> list[float]:
        values = []
        for score_B in score_SB.tolist():
            rows = [(*row[:3], score) for row, score in zip(chose, score_B, strict=True)]
            values.append(objective_value(metrics_of(machine_type, rows, config=config), config.objective))
        return [value for value in values if value is not None]

    by_config = [_scores(one, lambda judged: judged.chose) for one in configs]
    members = choose_members(by_config, lambda score_SB: mean_and_sd(objectives(score_SB))[0], first=first)
    together = combined([by_config[member] for member in members])
    return Ensemble(
        members=tuple(configs[member].uid for member in members),
        choosing=mean_and_sd(objectives(together)),
        reporting=_reporting([configs[member] for member in members], configs, config=config),
        gain=None
        if len(members) == 1
        else _reporting([configs[member] for member in members], configs, minus=confirmed.winner, config=config),
    )


def _reporting(
    members: Sequence[Retrained],
    configs: Sequence[Retrained],
    *,
    config: ScoreConfig,
    minus: Retrained | None = None,
) -> Estimate | None:
    """The members' objective on the reporting clips; all configs contend, as the seeds that chose also report."""
    by_config = {one.uid: combined([_scores(one, lambda judged: judged.reported)]) for one in configs}
    together = combined([by_config[one.uid] for one in members])
    reported = members[0].trainings[0].reported
    if not reported:
        return None
    return estimate(
        [row[1] for row in reported],
        [row[2] for row in reported],
        together,
        minus_SB=None if minus is None else by_config[minus.uid],
        contenders=[together, *by_config.values()],
        objective=config.objective,
        max_fpr=config.max_fpr,
    )


def _scores(one: Retrained, rows: ClipRows) -> list[list[float]]:
    """score_SB of a config's trainings, with the clips in the same order."""
    first = [row[0] for row in rows(one.trainings[0])]
    assert all([row[0] for row in rows(judged)] == first for judged in one.trainings)
    return [[row[3] for row in rows(judged)] for judged in one.trainings]
