"""report/summary.json: what a search found, for programs. Its JSON schema is docs/summary.schema.json.

AUCs and objectives are from 0 to 1, chance is 0.5; null stands for undefined. Fields may be added; `format`
changes when one goes or means something else.
"""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from asd_ray.config import Params
from asd_ray.report.confirmed import Retrained
from asd_ray.report.judging import Judged
from asd_ray.report.response import Response
from asd_ray.report.summary import MachineSummary, Summary, baseline_name
from asd_ray.report.winners import confirmed_entry, plain
from asd_ray.scoring.detector import ConfirmedEntry
from asd_ray.training.messages import to_plain
from asd_ray.training.trial import metrics_of


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IdFigures(_Part):
    """Of one machine id."""

    auc: float | None
    pauc: float | None


class Figures(_Part):
    """The metrics of a machine type on some clips."""

    objective: float | None = Field(description="what the search maximises; of several, their mean")
    auc: float | None = Field(description="mean over machine ids, as DCASE ranks")
    pauc: float | None = Field(description="up to the false-positive rate of the config, standardised (McClish)")
    pooled_auc: float | None = Field(description="one ROC curve over the clips of all ids")
    pooled_pauc: float | None
    mauc: float | None = Field(description="the smallest AUC of a machine id")
    per_id: dict[str, IdFigures]
    num_normal: int
    num_anomaly: int


class Trained(_Part):
    """One training, judged."""

    trial: str
    seed: int
    score: str = Field(description="by which its clips are scored")
    params: Params
    choosing: Figures = Field(description="on the clips that chose the config")
    reporting: Figures = Field(description="on clips that chose nothing, unless the protocol is paper")
    threshold: float = Field(description="of the score; a clip above it counts as an anomaly")


class Interval(_Part):
    """A mean over seeds, or one value, with its 95 % interval."""

    mean: float
    sd: float | None = Field(description="over seeds; null for one seed")
    low: float | None
    high: float | None
    method: str
    note: str = Field(description="why there is no interval, or what it leaves out")


class ReportingEstimate(_Part):
    best: Interval | None
    published: Interval | None


class SeedValues(_Part):
    choosing: float
    reporting: float | None


class CandidateFigures(_Part):
    """A config that was trained again: its objective by seed, or why it failed."""

    trial: str
    params: Params
    failed: str
    seeds: dict[str, SeedValues]


class SelectionBias(_Part):
    """How much better a choice looks where it was made than elsewhere, in the objective."""

    chosen_by_search: str | None
    choosing_minus_reporting: float | None
    published_choosing_minus_reporting: float | None
    search_minus_confirmed: float | None
    winner: str | None
    winner_choosing_minus_reporting: float | None


class Pareto(_Part):
    trial: str
    params: Params
    choosing: dict[str, float]


class ImportanceFigures(_Part):
    share: float = Field(description="of what the searched numbers explain")
    low: float = Field(description="end of the middle 90 % of bootstrap resamples")
    high: float


class ResponseFigures(_Part):
    """Which numbers mattered; `not_known` says why there is no importance."""

    trials: int = Field(description="complete ones, of this search, that the machine type's study holds")
    explained: float = Field(description="of the variance over trials, of trials left out of the fit")
    importance: dict[str, ImportanceFigures]
    not_known: str


class Spread(_Part):
    """Over the seeds of a config."""

    mean: float
    sd: float | None = Field(description="null for one seed")


class ScoreFigures(_Part):
    """The objective of the networks that are handed over, or were confirmed, read by one score."""

    score: str
    counts: bool = Field(description="whether the machine type is scored by it")
    choosing: Spread | None
    reporting: Spread | None


class EnsembleFigures(_Part):
    """The winner and those confirmed configs that help it on the choosing clips: the mean of their ranks."""

    members: list[str] = Field(description="trials, the winner first; alone where none helps")
    choosing: Spread
    reporting: Interval | None
    gain: Interval | None = Field(description="against the winner alone, on the reporting clips, paired")
    verdict: str


class CorrelationFigures(_Part):
    """Spearman's rank correlation of objective and proxy over the complete trials, with its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None
    trials: int


class MachineFigures(_Part):
    """One machine type."""

    best: Trained | None = Field(description="what is handed over")
    published: Trained | None = Field(description="the configuration that the search started from")
    at_edge: list[str] = Field(description="numbers of the best config at an end of their range: widen it there")
    standing: str = Field(description="whether the best config is confirmed, in words")
    reporting_estimate: ReportingEstimate
    confirmed: ConfirmedEntry | None
    candidates: list[CandidateFigures]
    selection_bias: SelectionBias
    response: ResponseFigures
    not_reportable: str = Field(description="why there is no figure on the reporting clips; else empty")
    problems: list[str] = Field(description="what is lost, and how to mend it")
    pareto: list[Pareto] = Field(description="where several objectives were searched")
    systems: dict[str, Trained] = Field(description="the best trial of each system, where several were searched")
    scores: list[ScoreFigures] = Field(description="what each score would give")
    ensemble: EnsembleFigures | None = Field(description="of confirmed configs")


class OverallFigures(_Part):
    """Plain means of the objective over machine types; null where one of them has no such figure."""

    choosing: float | None
    reporting: float | None
    published: float | None = Field(description="of the starting configuration, on the reporting clips")


class CorpusEntry(_Part):
    path: str
    fingerprint: str
    notes: dict[str, dict[str, int]] = Field(
        default={}, description="by machine type: what is odd about recordings that are used, and how many"
    )


class SummaryFile(_Part):
    """The whole file."""

    format: Literal[1] = 1
    asd_ray: str
    protocol: Literal["dcase", "split", "paper", "mixed"] = Field(
        description="which labels chose, and which report"
    )
    optimistic: bool = Field(description="whether the same labels chose and report")
    objective: str
    trials: dict[str, int] = Field(description="number of trials by state")
    corpus: CorpusEntry
    machine_types: dict[str, MachineFigures]
    overall: OverallFigures | None = Field(description="none for one machine type, or where one has no winner")
    baseline: str = Field(description="what the configuration that the search started from is")
    label_free: dict[str, CorrelationFigures] = Field(description="by machine type; none where no label chose")
    not_searchable: dict[str, str] = Field(description="machine types without a study, and why")


def summary_file(summary: Summary) -> SummaryFile:
    run = summary.run
    return SummaryFile.model_validate(
        {
            "asd_ray": run.asd_ray,
            "protocol": run.protocol,
            "optimistic": summary.optimistic,
            "objective": run.config.score.objective,
            "trials": summary.counts(),
            "corpus": {
                "path": run.corpus.path,
                "fingerprint": run.corpus.fingerprint,
                "notes": run.corpus.notes,
            },
            "machine_types": {machine.machine_type: _machine(machine) for machine in summary.machines},
            "overall": None if summary.overall is None else asdict(summary.overall),
            "baseline": baseline_name(run),
            "label_free": {name: found._asdict() for name, found in summary.label_free.items()},
            "not_searchable": run.not_searchable,
        }
    )


def _machine(machine: MachineSummary) -> dict[str, Any]:
    confirmed = machine.confirmed
    return {
        "best": _trained(machine.best),
        "published": _trained(machine.published),
        "at_edge": list(machine.at_edge),
        "standing": machine.standing,
        "reporting_estimate": {
            "best": plain(machine.best_estimate),
            "published": plain(machine.published_estimate),
        },
        "confirmed": None if confirmed is None else confirmed_entry(confirmed),
        "candidates": [] if confirmed is None else [_candidate(one) for one in confirmed.candidates],
        "selection_bias": _bias(machine),
        "response": _response(machine.response),
        "not_reportable": machine.not_reportable,
        "problems": list(machine.problems),
        "pareto": [point.plain() for point in machine.pareto],
        "systems": {name: _trained(judged) for name, judged in machine.systems.items()},
        "scores": [row.plain() for row in machine.scores],
        "ensemble": None if machine.ensemble is None else machine.ensemble.plain(),
    }


def _bias(machine: MachineSummary) -> dict[str, Any]:
    observed, published, confirmed = machine.observed, machine.published, machine.confirmed
    winner = None if confirmed is None else confirmed.winner
    return {
        "chosen_by_search": None if observed is None else observed.uid,
        "choosing_minus_reporting": None if observed is None else observed.optimism,
        "published_choosing_minus_reporting": None if published is None else published.optimism,
        "search_minus_confirmed": machine.curse,
        "winner": None if winner is None else winner.uid,
        "winner_choosing_minus_reporting": None if winner is None else winner.optimism,
    }


def _candidate(one: Retrained) -> dict[str, Any]:
    by_seed = {
        str(judged.seed): {"choosing": judged.objective, "reporting": judged.reporting_objective}
        for judged in one.trainings
    }
    return {"trial": one.uid, "params": one.params, "failed": one.failed, "seeds": by_seed}


def _trained(judged: Judged | None) -> dict[str, Any] | None:
    if judged is None:
        return None
    return {
        "trial": judged.uid,
        "seed": judged.seed,
        "score": judged.score,
        "params": judged.params,
        "choosing": {"objective": judged.objective, **to_plain(metrics_of(judged.choosing))},
        "reporting": {"objective": judged.reporting_objective, **to_plain(metrics_of(judged.reporting))},
        "threshold": judged.threshold.value,
    }


def _response(response: Response) -> dict[str, Any]:
    return {
        "trials": response.num_trials,
        "explained": response.explained,
        "importance": {
            one.name: {"share": one.share, "low": one.low, "high": one.high} for one in response.importances
        },
        "not_known": response.why_not,
    }
