"""What a search of two machine types tells, to be shown."""

from asd_ray.search.events import Begun, Ended, EpochDone, Planned
from asd_ray.search.studies.trial_store import Outcome, Proposal
from tests.messages import report_of

TYPES = ("fan", "[red]valve")  # names come from folders, and are no markup


def planned(*, total: int = 6, earlier: int = 0, confirming: bool = False) -> Planned:
    return Planned(total=total, earlier=earlier, best={"fan": ("fan-0", 0.75)}, confirming=confirming)


def begun(name: str, *, lanes: int = 2, seed: int | None = None) -> Begun:
    return Begun(name=name, machine_types=TYPES, params={"margin": 0.5}, lanes=lanes, seed=seed)


def epoch_done(name: str, epoch: int, *, seconds: float = 2.0, lane: str = "lane-0-0f1e2d3c") -> EpochDone:
    report = report_of(epoch, seconds=seconds, train_loss=1.23456)
    return EpochDone(name=name, report=report, lane=lane)


def ended(
    name: str,
    number: int,
    *,
    outcome: Outcome = "complete",
    best_of: tuple[str, ...] = (),
    total: int = 6,
    seed: int | None = None,
) -> Ended:
    return Ended(
        name=name,
        proposal=Proposal(uid="fan-1", owner="fan", machine_types=TYPES, params={"margin": 0.5}),
        outcome=outcome,
        reason="it diverged" if outcome == "failed" else "",
        epochs=4,
        values={"fan": 0.875, "[red]valve": 0.5},
        number=number,
        total=total,
        seed=seed,
        best_of=best_of,
    )
