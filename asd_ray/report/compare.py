"""Several searches side by side: what each found for every machine type, compared with the first search."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asd_ray.report.confirmed import Retrained
from asd_ray.report.judging import Judged, reporting_estimate
from asd_ray.report.summary import MachineSummary, Summary
from asd_ray.scoring.intervals import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What one search found for a machine type: its winner, and the paired difference to the first search's.

    `machine` is None if the search did not cover the machine type; `why_not` says why there is no difference.
    """

    run: str
    machine: MachineSummary | None
    difference: Estimate | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`warnings`: what makes figures incomparable, in words; `optimistic`: by name, if a run's figures are."""

    runs: tuple[str, ...]
    warnings: tuple[str, ...]
    optimistic: dict[str, bool]
    machine_types: dict[str, tuple[Compared, ...]]


def compare(found: Sequence[tuple[str, Summary]]) -> Comparison:
    """Compare searches, each given with the name to show; the first is the yardstick."""
    types = dict.fromkeys(name for _, summary in found for name in summary.run.machine_types)
    return Comparison(
        runs=tuple(name for name, _ in found),
        warnings=_warnings(found),
        optimistic={name: summary.optimistic for name, summary in found},
        machine_types={machine_type: _compared(machine_type, found) for machine_type in types},
    )


def _warnings(found: Sequence[tuple[str, Summary]]) -> tuple[str, ...]:
    (first_name, first), *others = found
    ways: dict[str, Callable[[Summary], object]] = {
        "corpus": lambda summary: summary.run.corpus.fingerprint[:12],
        "protocol": lambda summary: summary.run.protocol,
        "objective": lambda summary: summary.run.config.score.objective,
        "largest false-positive rate of the pAUC": lambda summary: summary.run.config.score.max_fpr,
    }
    return tuple(
        f"{name} has another {what} than {first_name}: {of(summary)}, not {of(first)}"
        for name, summary in others
        for what, of in ways.items()
        if of(summary) != of(first)
    )


def _compared(machine_type: str, found: Sequence[tuple[str, Summary]]) -> tuple[Compared, ...]:
    (first_name, first), *others = found
    yardstick = _of(machine_type, first)
    row = [Compared(run=first_name, machine=yardstick)]
    for name, summary in others:
        machine = _of(machine_type, summary)
        difference, why_not = _difference(machine, yardstick, summary, first)
        row.append(Compared(run=name, machine=machine, difference=difference, why_not=why_not))
    return tuple(row)


def _of(machine_type: str, summary: Summary) -> MachineSummary | None:
    return next((one for one in summary.machines if one.machine_type == machine_type), None)


def _difference(
    machine: MachineSummary | None, yardstick: MachineSummary | None, summary: Summary, first: Summary
) -> tuple[Estimate | None, str]:
    """The winner's objective minus the yardstick's on the reporting clips, or why there is no difference."""
    if machine is None or yardstick is None or machine.best is None or yardstick.best is None:
        return None, "nothing to compare"
    config = summary.run.config.score
    if (config.objective, config.max_fpr) != (first.run.config.score.objective, first.run.config.score.max_fpr):
        return None, "another objective"
    mine, theirs = _trainings(machine), _trainings(yardstick)
    if [row[:3] for row in mine[0].reported] != [row[:3] for row in theirs[0].reported]:
        return None, "other reporting clips"
    if [one.seed for one in mine] != [one.seed for one in theirs]:
        return None, "other seeds"
    # These seeds chose both winners, each among its own candidates.
    contenders = [one.trainings for one in (*_candidates(machine), *_candidates(yardstick)) if one.trainings]
    estimate = reporting_estimate(mine, config=config, minus=theirs, contenders=contenders)
    return estimate, "" if estimate else "undefined on the reporting clips"


def _trainings(machine: MachineSummary) -> tuple[Judged, ...]:
    """The winner's trainings: one per fresh seed, or the single training of the search."""
    assert machine.best is not None
    confirmed = machine.confirmed
    return (machine.best,) if confirmed is None or confirmed.winner is None else confirmed.winner.trainings


def _candidates(machine: MachineSummary) -> tuple[Retrained, ...]:
    return () if machine.confirmed is None else machine.confirmed.candidates
