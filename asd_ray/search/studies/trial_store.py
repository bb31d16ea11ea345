"""Begins, notes, ends, reads back and compares trials in Optuna's storage, which has a study per machine type.

Curves (objective by epoch) are Optuna's intermediate values. In a study of several objectives they are user
attributes instead: if such a study has a pruned trial with intermediate values, Optuna's TPE sampler asks for the
study's one direction and raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Literal, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from asd_ray.clip import is_plain
from asd_ray.errors import InputError
from asd_ray.search.space import Params

# User attributes of trials.
TAUGHT = "warm_start_of"  # of a trial that another search ran: its name there, and when it began
COPY = "copy_of"  # name of the trial that this is a copy of
CURVES, VALUES, REASON = "curves", "values", "reason"  # kept with the owner, for all machine types
SCORES = "scores"  # likewise: by which score, if each machine type has its own
_STOPPED = "stopped_at"  # the rung at which the owner was told to end
_EPOCH = "epoch "  # begins the attributes that hold a curve
Curve = dict[int, float]  # epoch -> objective
Outcome = Literal["complete", "pruned", "failed"]
STATES: dict[Outcome, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class Slot(NamedTuple):
    """Where a study keeps a trial."""

    machine_type: str
    number: int
    trial_id: int


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
    slots: list[Slot]  # the owner's first
    curve: dict[int, dict[str, float]] = field(default_factory=dict)  # epoch -> machine type -> objective
    values: dict[str, list[float]] = field(default_factory=dict)  # machine type -> latest objectives, if several
    scores: dict[str, str] = field(default_factory=dict)  # machine type -> the score it chose last


class TrialStore:
    """Writes one value at a time, whole or not at all; a kill between two writes leaves a readable storage."""

    def __init__(self, storage: BaseStorage, machine_types: Sequence[str], *, num_objectives: int) -> None:
        self.storage, self.num_objectives = storage, num_objectives
        known = {study.study_name for study in storage.get_all_studies()}
        directions = [StudyDirection.MAXIMIZE] * num_objectives
        self.studies = {
            name: optuna.load_study(study_name=name, storage=storage)
            if name in known
            else optuna.create_study(study_name=name, storage=storage, directions=directions)
            for name in machine_types
        }
        self._ids = {name: storage.get_study_id_from_name(name) for name in machine_types}

    def trials(self, machine_type: str) -> list[FrozenTrial]:
        return self.studies[machine_type].get_trials(deepcopy=False)

    def read(self, slot: Slot) -> FrozenTrial:
        return self.storage.get_trial(slot.trial_id)

    def keep(self, machine_type: str, name: str, value: Any) -> None:
        """Keep plain data beside the trials of a study, replacing it in one write."""
        self.studies[machine_type].set_user_attr(name, value)

    def kept(self, machine_type: str, name: str) -> Any:
        return self.studies[machine_type].user_attrs.get(name)

    def slot(self, machine_type: str, number: int) -> Slot:
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(self._ids[machine_type], number)
        return Slot(machine_type, number, trial_id)

    def begin(
        self,
        machine_type: str,
        point: Params,
        *,
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, str] | None = None,
    ) -> Slot:
        """Create a running trial at a fixed point."""
        trial = optuna.create_trial(
            state=TrialState.RUNNING,
            params={name: point[name] for name in distributions},
            distributions=dict(distributions),
            user_attrs=dict(attributes or {}),
        )
        trial_id = self.storage.create_new_trial(self._ids[machine_type], template_trial=trial)
        return Slot(machine_type, self.storage.get_trial(trial_id).number, trial_id)

    def add_finished(
        self,
        machine_type: str,
        trial: FrozenTrial,
        *,
        distributions: Mapping[str, BaseDistribution],
        attributes: Mapping[str, str],
    ) -> None:
        """Add a finished trial of another search, with its values and its curve, in one write."""
        curve = {name: value for name, value in trial.user_attrs.items() if name.startswith(_EPOCH)}
        copy = optuna.create_trial(
            state=trial.state,
            values=trial.values,
            params={name: trial.params[name] for name in distributions},
            distributions=dict(distributions),
            user_attrs={**attributes, **curve},
            intermediate_values=trial.intermediate_values,
        )
        self.storage.create_new_trial(self._ids[machine_type], template_trial=copy)

    def note(self, slot: Slot, epoch: int, value: float) -> None:
        """Note the objective after an epoch."""
        if self.num_objectives == 1:
            self.storage.set_trial_intermediate_value(slot.trial_id, epoch, value)
        else:
            self.storage.set_trial_user_attr(slot.trial_id, f"{_EPOCH}{epoch}", value)

    def keep_told(
        self,
        owner: Slot,
        *,
        curves: Mapping[str, Curve],
        values: Mapping[str, Sequence[float]],
        scores: Mapping[str, str],
        reason: str,
    ) -> Mapping[str, Any]:
        """Keep with the owner what is told of a trial for all studies; return all of the owner's attributes."""
        self.storage.set_trial_user_attr(owner.trial_id, CURVES, curves)
        if values:
            self.storage.set_trial_user_attr(owner.trial_id, VALUES, values)
        if scores:
            self.storage.set_trial_user_attr(owner.trial_id, SCORES, scores)
        self.storage.set_trial_user_attr(owner.trial_id, REASON, reason)
        return self.read(owner).user_attrs

    def stop(self, slot: Slot, epoch: int) -> None:
        """Keep the verdict that a trial ends at a rung."""
        self.storage.set_trial_user_attr(slot.trial_id, _STOPPED, epoch)

    def is_stopped(self, slot: Slot, epoch: int) -> bool:
        return self.read(slot).user_attrs.get(_STOPPED) == epoch

    def finish(
        self, slot: Slot, state: TrialState, *, curve: Mapping[int, float], values: Sequence[float] | None
    ) -> None:
        """End a trial; `values` are those of a complete one. Epochs that the storage lacks are noted first."""
        for epoch in sorted(set(curve) - set(curve_of(self.read(slot)))):
            self.note(slot, epoch, curve[epoch])
        if state is TrialState.PRUNED and self.num_objectives == 1 and curve:
            values = [curve[max(curve)]]  # as Optuna's own tell does
        self.storage.set_trial_state_values(slot.trial_id, state, values)


def is_own(trial: FrozenTrial) -> bool:
    """Whether the study that holds a trial proposed it."""
    return not trial.user_attrs.keys() & {COPY, TAUGHT}


def name_of(machine_type: str, trial: FrozenTrial) -> str:
    """The name that a study's trial has everywhere, also as a folder. Raises InputError if it cannot be one."""
    name = str(trial.user_attrs.get(COPY, f"{machine_type}-{trial.number}"))
    if not is_plain(name):
        raise InputError(
            f"the studies hold a trial named {name!r}, which no search has written; use another --run"
        )
    return name


def owner_of(uid: str) -> tuple[str, int]:
    """The machine type whose study proposed the trial of this name, and the trial's number there.

    >>> owner_of("fan-12")
    ('fan', 12)
    """
    machine_type, _, number = uid.rpartition("-")
    return machine_type, int(number)


def scores_of(trial: FrozenTrial) -> dict[str, str]:
    """The score by which each machine type judged a study's own trial, if they choose theirs; else empty."""
    return dict(trial.user_attrs.get(SCORES, {}))


def curve_of(trial: FrozenTrial) -> Curve:
    """A trial's objective by epoch, wherever it is kept."""
    return {**trial.intermediate_values, **dict(_noted(trial))}


def merged(held: Mapping[str, FrozenTrial], owner: FrozenTrial) -> dict[int, dict[str, float]]:
    """Epoch -> machine type -> objective of a joint trial, from the trial of each study that holds it.

    An epoch counts only if every study has its value.
    """
    curves = {name: curve_of(trial) for name, trial in held.items()}
    for name, told in owner.user_attrs.get(CURVES, {}).items():
        curves[name] = {int(epoch): value for epoch, value in told.items()}
    epochs = set.intersection(*(set(curve) for curve in curves.values()))
    return {epoch: {name: curve[epoch] for name, curve in curves.items()} for epoch in sorted(epochs)}


def _noted(trial: FrozenTrial) -> Iterator[tuple[int, float]]:
    for name, value in trial.user_attrs.items():
        if name.startswith(_EPOCH):
            yield int(name.removeprefix(_EPOCH)), value


def may_win(trial: FrozenTrial) -> bool:
    """Whether a trial is complete and was trained here: a winner needs a model, and other searches keep theirs."""
    return trial.state is TrialState.COMPLETE and TAUGHT not in trial.user_attrs


def worth(trial: FrozenTrial) -> float:
    """The mean of a complete trial's objectives, or its only objective."""
    return fmean(trial.values or [0.0])


def pareto_set(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that may win and that no other beats in one objective without losing in another.

    The best in the first objective comes first. Equal trials are all in the set.
    """
    able = [(tuple(trial.values), trial) for trial in trials if may_win(trial)]
    kept = [
        (mine, trial)
        for mine, trial in able
        if not any(other != mine and all(o >= m for o, m in zip(other, mine, strict=True)) for other, _ in able)
    ]
    return [trial for _, trial in sorted(kept, key=lambda item: ([-value for value in item[0]], item[1].number))]
