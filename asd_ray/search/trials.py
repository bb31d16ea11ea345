"""What is said about one trial: its proposal, how it ended, and what is known while it runs."""

from dataclasses import dataclass, field
from typing import Literal

from optuna.trial import TrialState

from asd_ray.search.book import Place
from asd_ray.search.space import Params

Outcome = Literal["complete", "pruned", "failed"]
STATES: dict[Outcome, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A trial to run: its name, its owner, the machine types to train on, its point."""

    uid: str
    owner: str
    machine_types: tuple[str, ...]
    params: Params


@dataclass(slots=True, kw_only=True)
class Running:
    """What is known of a running trial."""

    proposal: Proposal
    places: list[Place]  # the owner's first
    curve: dict[int, dict[str, float]] = field(default_factory=dict)  # epoch -> machine type -> objective
    values: dict[str, list[float]] = field(default_factory=dict)  # machine type -> several objectives, the latest
    scores: dict[str, str] = field(default_factory=dict)  # machine type -> the score it chose, the latest
