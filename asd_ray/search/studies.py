"""One Optuna study per machine type; a joint trial teaches them all. Knows nothing of Ray.

A trial has one owner, the study that proposed it; its name everywhere is `<machine_type>-<number there>`.
In a joint search every other study holds a copy of it (user attribute `copy_of`) from the moment it is
proposed, so that the samplers also see what is running. The storage is the only truth: a `Studies` over an
old storage adopts the trials that a dead driver left running, and finishes the copies that it did not get to
write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.pruning import rungs, survives
from asd_ray.search.samplers import make_sampler
from asd_ray.search.space import Params, SearchSpace, StudySpace

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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a study keeps a trial."""

    machine_type: str
    number: int
    trial_id: int


class Studies:
    def __init__(
        self,
        storage: BaseStorage,
        *,
        machine_types: Sequence[str],
        space: SearchSpace,
        search: SearchConfig,
        epochs: int,
        published: Params,
        take_over: bool = True,
    ) -> None:
        """`published` is the point that every study tries first, and that is never pruned: the yardstick.

        Without `take_over` nothing is written: the trials of an earlier driver are read, not adopted.
        """
        self.storage = storage
        self.machine_types = tuple(machine_types)
        self.search = search
        self.rungs = rungs(epochs, search.eta) if search.prune else ()
        self.spaces: dict[str, StudySpace] = {name: space.of(name) for name in self.machine_types}
        any_space = space.of(self.machine_types[0])
        first = any_space.active(published)
        self._start = [published, *(point for point in space.start if any_space.active(point) != first)]
        known = {summary.study_name for summary in optuna.get_all_study_summaries(storage)}
        self._studies = {
            name: optuna.load_study(study_name=name, storage=storage)
            if name in known
            else optuna.create_study(study_name=name, storage=storage, direction="maximize")
            for name in self.machine_types
        }
        self._places: dict[str, list[_Place]] = {}
        self._waiting: list[str] = []
        self._values: dict[str, dict[int, dict[str, float]]] = {}  # uid -> epoch -> machine type -> objective
        self._read_all()
        if take_over:
            self._take_over()

    # -- what is known

    def own_trials(self, machine_type: str) -> list[FrozenTrial]:
        """The trials that this study proposed, in their order."""
        return [trial for trial in self.trials(machine_type) if "copy_of" not in trial.user_attrs]

    def trials(self, machine_type: str) -> list[FrozenTrial]:
        return self._studies[machine_type].get_trials(deepcopy=False)

    def count(self) -> int:
        """Trials proposed so far, over all studies, in any state."""
        return sum(len(self.own_trials(name)) for name in self.machine_types)

    @property
    def num_adopted(self) -> int:
        """Trials of an earlier driver that wait to go on."""
        return len(self._waiting)

    def best(self, machine_type: str) -> tuple[str, FrozenTrial] | None:
        """The complete trial with the highest objective for a machine type, and its name."""
        complete = [trial for trial in self.trials(machine_type) if trial.state is TrialState.COMPLETE]
        if not complete:
            return None
        best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number))
        return str(best.user_attrs.get("copy_of", _uid(machine_type, best.number))), best

    def published(self, machine_type: str) -> tuple[str, FrozenTrial] | None:
        """The trial of the published configuration as a machine type's study has it, once it is complete."""
        for uid in self._places:
            for place in self._places[uid] if self.is_published(uid) else ():
                trial = self.trials(machine_type)[place.number]
                if place.machine_type == machine_type and trial.state is TrialState.COMPLETE:
                    return uid, trial
        return None

    # -- ask, report, tell

    def ask(self) -> Proposal | None:
        """The next trial to run, adopted ones first; None when the budget is used up."""
        if self._waiting:
            return self._proposal(self._waiting.pop(0))
        if self.count() >= self.search.trials:
            return None
        turns = sorted(self.machine_types, key=lambda name: len(self.own_trials(name)))
        uid = self._place_start_point(turns) or self._sample(turns[0])
        self._place_copies(uid)
        return self._proposal(uid)

    def report(self, uid: str, epoch: int, values: Mapping[str, float]) -> bool:
        """Note the objective of each machine type after an epoch; True when the trial should stop.

        A replayed epoch of an adopted trial is not judged again.
        """
        curve = self._values.setdefault(uid, {})
        replayed = epoch in curve
        # A replay also brings the values for studies that hold no copy, which the storage does not have.
        curve[epoch] = {name: values[name] for name in self._types_of(uid)}
        if replayed:
            return False
        for place in self._places[uid]:
            self.storage.set_trial_intermediate_value(place.trial_id, epoch, values[place.machine_type])
        if epoch not in self.rungs or self.is_published(uid):
            return False
        arrived = {other: curve[epoch] for other, curve in self._values.items() if epoch in curve}
        return not survives(uid, arrived, eta=self.search.eta)

    def tell(self, uid: str, outcome: Outcome, *, reason: str = "") -> None:
        """End a trial in every study that holds it. A complete trial needs at least one report."""
        curve = self._values.get(uid, {})
        owner, *copies = self._places[uid]
        text = {name: {epoch: values[name] for epoch, values in curve.items()} for name in self._types_of(uid)}
        self.storage.set_trial_user_attr(owner.trial_id, "curves", text)
        self.storage.set_trial_user_attr(owner.trial_id, "reason", reason)
        for place in (owner, *copies):
            self._finish(place, STATES[outcome], text[place.machine_type])

    def is_published(self, uid: str) -> bool:
        proposal = self._proposal(uid)
        return proposal.params == self.spaces[proposal.owner].active(self._start[0])

    # -- inside

    def _types_of(self, uid: str) -> tuple[str, ...]:
        return self.machine_types if self.search.scope == "joint" else (_split(uid)[0],)

    def _proposal(self, uid: str) -> Proposal:
        owner, _ = _split(uid)
        frozen = self.storage.get_trial(self._places[uid][0].trial_id)
        params = self.spaces[owner].active(frozen.params)
        return Proposal(uid=uid, owner=owner, machine_types=self._types_of(uid), params=params)

    def _place_start_point(self, turns: Sequence[str]) -> str | None:
        """Begin the fixed point that is due, if any: in the first study in turn whose ranges hold it."""
        own = self.search.scope == "own"
        tried = len(self.own_trials(turns[0])) if own else self.count()
        if tried >= len(self._start):
            return None
        for owner in turns[:1] if own else turns:
            point = self.spaces[owner].active(self._start[tried])
            if self.spaces[owner].contains(point):
                return self._place_point(owner, point)
        return None

    def _sample(self, owner: str) -> str:
        study = self._studies[owner]
        index = self.machine_types.index(owner)
        study.sampler = make_sampler(self.search, study, self.spaces[owner], stream=index)
        trial = study.ask()
        self.spaces[owner].suggest(trial)
        return self._add_place(_uid(owner, trial.number), owner, trial.number)

    def _place_point(self, owner: str, point: Params) -> str:
        number = self._add_running(owner, point, {})
        return self._add_place(_uid(owner, number), owner, number)

    def _place_copies(self, uid: str) -> None:
        """A running copy in every other study whose ranges hold the point and that lacks one."""
        point = self._proposal(uid).params
        held = {place.machine_type for place in self._places[uid]}
        for name in self._types_of(uid):
            if name not in held and self.spaces[name].contains(point):
                self._add_place(uid, name, self._add_running(name, point, {"copy_of": uid}))

    def _add_running(self, machine_type: str, point: Params, attributes: dict[str, str]) -> int:
        space, study = self.spaces[machine_type], self._studies[machine_type]
        distributions = space.distributions(point)
        study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params={name: point[name] for name in distributions},
                distributions=distributions,
                user_attrs=attributes,
            )
        )
        return self.trials(machine_type)[-1].number

    def _add_place(self, uid: str, machine_type: str, number: int) -> str:
        study_id = self.storage.get_study_id_from_name(machine_type)
        trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, number)
        self._places.setdefault(uid, []).append(_Place(machine_type, number, trial_id))
        return uid

    def _finish(self, place: _Place, state: TrialState, curve: Mapping[int, float]) -> None:
        study = self._studies[place.machine_type]
        known = self.trials(place.machine_type)[place.number].intermediate_values
        for epoch in sorted(set(curve) - set(known)):
            self.storage.set_trial_intermediate_value(place.trial_id, epoch, curve[epoch])
        last = curve[max(curve)] if state is TrialState.COMPLETE else None
        study.tell(place.number, last, state=state)

    def _read_all(self) -> None:
        """Where every trial of the storage is kept, and its values; owners come first in their places."""
        for name in self.machine_types:
            for trial in self.own_trials(name):
                self._add_place(_uid(name, trial.number), name, trial.number)
        for name in self.machine_types:
            for trial in self.trials(name):
                if "copy_of" in trial.user_attrs:
                    self._add_place(trial.user_attrs["copy_of"], name, trial.number)
        for uid in self._places:
            self._read_values(uid)

    def _take_over(self) -> None:
        """Adopt the running trials of earlier drivers, and put right what the last one did not get to write."""
        for uid, places in self._places.items():
            owner = self.trials(places[0].machine_type)[places[0].number]
            if owner.state is TrialState.RUNNING:
                self._complete_point(places[0], owner)
                self._waiting.append(uid)
            self._place_copies(uid)
            if owner.state is not TrialState.RUNNING:
                self._finish_copies(places[1:], owner)

    def _complete_point(self, place: _Place, trial: FrozenTrial) -> None:
        """A driver killed while sampling leaves a point without some of its parameters: sample the rest."""
        space, study = self.spaces[place.machine_type], self._studies[place.machine_type]
        if not space.contains(space.active(trial.params)):
            stream = self.machine_types.index(place.machine_type)
            study.sampler = make_sampler(self.search, study, space, stream=stream)
            space.suggest(optuna.Trial(study, place.trial_id))

    def _finish_copies(self, copies: Sequence[_Place], owner: FrozenTrial) -> None:
        for place in copies:
            if self.trials(place.machine_type)[place.number].state is TrialState.RUNNING:
                told = owner.user_attrs["curves"][place.machine_type]
                self._finish(place, owner.state, {int(epoch): value for epoch, value in told.items()})

    def _read_values(self, uid: str) -> None:
        """The curves as the storage has them; an epoch counts when every study got its value."""
        curves = {
            place.machine_type: self.trials(place.machine_type)[place.number].intermediate_values
            for place in self._places[uid]
        }
        owner = self._places[uid][0]
        told = self.trials(owner.machine_type)[owner.number].user_attrs.get("curves", {})
        for name, curve in told.items():
            curves[name] = {int(epoch): value for epoch, value in curve.items()}
        epochs = set.intersection(*(set(curve) for curve in curves.values()))
        self._values[uid] = {
            epoch: {name: curve[epoch] for name, curve in curves.items()} for epoch in sorted(epochs)
        }


def _uid(machine_type: str, number: int) -> str:
    return f"{machine_type}-{number}"


def _split(uid: str) -> tuple[str, int]:
    machine_type, _, number = uid.rpartition("-")
    return machine_type, int(number)
