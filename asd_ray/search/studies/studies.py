"""One Optuna study per machine type; a joint trial teaches them all. This module knows nothing of Ray.

A trial has one owner, the study that proposed it; its name everywhere is `<machine_type>-<number there>`.
In a joint search every other study holds a copy of it (user attribute `copy_of`) from the moment it is
proposed, so that the samplers also see running trials. The storage is the only truth: a `Studies` over an
old storage adopts the trials that a dead driver left running, and finishes the copies that the driver did not
get to write. `Bookkeeping` reads what every trial needs (counts, rungs, gains) once and keeps it in memory.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from asd_ray.config import SearchConfig, patience_of
from asd_ray.search.space import Params, SearchSpace, StudySpace
from asd_ray.search.studies.bookkeeping import Bookkeeping
from asd_ray.search.studies.fixed_points import FixedPoints
from asd_ray.search.studies.samplers import make_sampler
from asd_ray.search.studies.surface import ranked
from asd_ray.search.studies.trial_store import (
    COPY,
    CURVES,
    STATES,
    TAUGHT,
    VALUES,
    Outcome,
    Proposal,
    Running,
    Slot,
    TrialStore,
    is_own,
    may_win,
    merged,
    name_of,
    owner_of,
    pareto_set,
)
from asd_ray.training.rungs import rungs_of

__all__ = ["Outcome", "Proposal", "Studies"]


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
        objectives: Sequence[str] = ("mean",),
        take_over: bool = True,
    ) -> None:
        """`published` is the yardstick: the point that every study tries first and never prunes.

        Without `take_over` nothing is written, and the trials of an earlier driver are read but not adopted.
        """
        self.storage, self.search = storage, search
        self.machine_types, self.objectives = tuple(machine_types), tuple(objectives)
        self.rungs = rungs_of(search, epochs)
        self.spaces: dict[str, StudySpace] = {name: space.of(name) for name in self.machine_types}
        self._published = published
        self._store = TrialStore(storage, self.machine_types, num_objectives=len(self.objectives))
        self._books = Bookkeeping(self.machine_types, rungs=self.rungs)
        self._running: dict[str, Running] = {}
        self._waiting: list[str] = []
        self._patience = patience_of(search.stop_when) if search.stop_when else None
        self._read_all(take_over=take_over)
        self._fixed = FixedPoints(
            self._store, self.spaces, joint=search.scope == "joint", published=published, early=space.start
        )

    # -- what is known

    def own_trials(self, machine_type: str) -> list[FrozenTrial]:
        """The trials that this study proposed, in order."""
        return [trial for trial in self.trials(machine_type) if is_own(trial)]

    def trials(self, machine_type: str) -> list[FrozenTrial]:
        """All trials that a study knows: its own, copies, and those of other searches that it learnt from."""
        return self._store.trials(machine_type)

    def count(self) -> int:
        """How many trials all studies have proposed so far, in any state."""
        return sum(self._books.own.values())

    @property
    def num_adopted(self) -> int:
        """How many trials of an earlier driver wait to go on."""
        return len(self._waiting)

    def done(self, machine_type: str) -> bool:
        """Whether a machine type's best value has not risen for as many trials as the stopping rule says."""
        return self._patience is not None and self._books.gains[machine_type].since >= self._patience

    @property
    def num_missing(self) -> int:
        """How many trials this call may still run."""
        wanted = 0 if self.resting else self.search.trials - self.count()
        return len(self._waiting) + max(0, wanted)

    @property
    def resting(self) -> bool:
        """Whether the stopping rule ends the search, unless a running trial still improves a best value."""
        return all(map(self.done, self.machine_types))

    def best(self, machine_type: str) -> tuple[str, FrozenTrial] | None:
        """The trial to choose for a machine type, and its name: see `ranking`."""
        return next(iter(self.ranking(machine_type)), None)

    def ranking(self, machine_type: str) -> list[tuple[str, FrozenTrial]]:
        """The trials of a machine type that may win, best first, with their names.

        With one objective and eight trials or more, the smoothed value decides: see `surface.ranked`.
        """
        found = ranked(self.trials(machine_type), self.spaces[machine_type])
        return [(name_of(machine_type, trial), trial) for trial in found]

    def pareto(self, machine_type: str) -> list[tuple[str, FrozenTrial]]:
        """The complete trials that no other beats in one objective without losing in another, and their names."""
        return [(name_of(machine_type, trial), trial) for trial in pareto_set(self.trials(machine_type))]

    def published(self, machine_type: str) -> tuple[str, FrozenTrial] | None:
        """The trial of the published configuration in a machine type's study; None until it is complete."""
        held = ((name_of(machine_type, trial), trial) for trial in self.trials(machine_type) if may_win(trial))
        return next((pair for pair in held if self.is_published(pair[0])), None)

    def is_published(self, uid: str) -> bool:
        owner, number = owner_of(uid)
        return self._is_published_point(owner, self._store.read(self._store.slot(owner, number)).params)

    def _is_published_point(self, owner: str, params: Params) -> bool:
        """Whether a point of a study is the published one.

        It is not if the study holds a number at another value: then it does not train the published config.
        """
        space = self.spaces[owner]
        return space.contains(self._published) and space.active(params) == space.active(self._published)

    # -- ask, report, tell

    def ask(self) -> Proposal | None:
        """The next trial to run, adopted ones first; None when the budget is used up or the search is resting."""
        if self._waiting:
            return self._running[self._waiting.pop(0)].proposal
        if self.num_missing == 0:
            return None
        eager = [name for name in self.machine_types if not self.done(name)]
        turns = sorted(eager, key=lambda name: self._books.own[name])
        running = self._begin_fixed(turns) or self._sample(turns[0])
        self._place_copies(running)
        return running.proposal

    def report(
        self,
        uid: str,
        epoch: int,
        values: Mapping[str, float],
        *,
        metrics: Mapping[str, Mapping[str, float]] | None = None,
        scores: Mapping[str, str] | None = None,
    ) -> bool:
        """Note the objective of each machine type after an epoch; True when the trial should stop.

        `metrics` has each machine type's objectives by name, if there are several; `scores` has the score behind
        each machine type's values, if machine types choose theirs. A replayed epoch of an adopted trial is not
        judged again: its earlier verdict stands.
        """
        running = self._running[uid]
        replayed = epoch in running.curve
        # A replay also brings the values for studies without a copy, which the storage lacks.
        running.curve[epoch] = {name: values[name] for name in running.proposal.machine_types}
        if len(self.objectives) > 1:
            assert metrics is not None
            running.values = {name: [metrics[name][which] for which in self.objectives] for name in values}
        running.scores = dict(scores or {})
        self._books.arrive(uid, epoch, running.curve[epoch])
        stop = self._stops(running, epoch, replayed=replayed)
        for slot in () if replayed else running.slots:
            self._store.note(slot, epoch, values[slot.machine_type])
        return stop

    def tell(self, uid: str, outcome: Outcome, *, reason: str = "") -> tuple[str, ...]:
        """End a trial in all studies that hold it; return the machine types whose best it is.

        A complete trial must have reported at least one epoch.
        """
        running = self._running[uid]
        types = running.proposal.machine_types
        curves = {name: {epoch: values[name] for epoch, values in running.curve.items()} for name in types}
        owner, values, scores = running.slots[0], running.values, running.scores
        told = self._store.keep_told(owner, curves=curves, values=values, scores=scores, reason=reason)
        for slot in running.slots:
            self._finish(slot, STATES[outcome], told)
        del self._running[uid]
        held = [slot.machine_type for slot in running.slots] if outcome == "complete" else []
        return tuple(name for name in held if self._books.gains[name].since == 0)

    # -- points that are tried before any is sampled, and what other searches have learnt

    def enqueue(self, points: Sequence[Params]) -> None:
        """Keep points to try right after the published one; giving the same points again adds nothing."""
        self._fixed.add(points)

    def is_due(self, point: Params) -> bool:
        """Whether a point that was enqueued still waits for its trial."""
        return self._fixed.waits(point)

    def learn(self, machine_type: str, trial: FrozenTrial, *, origin: str) -> None:
        """Let a finished trial of another search teach a study, once for each `origin`, which names the trial.

        It counts towards no budget and never wins.
        """
        space = self.spaces[machine_type]
        point = space.active(trial.params)
        if space.contains(point) and origin not in self._books.learnt[machine_type]:
            distributions = space.distributions(point)
            self._store.add_finished(machine_type, trial, distributions=distributions, attributes={TAUGHT: origin})
            self._books.learn(machine_type, trial, origin=origin)

    # -- inside: judging, beginning and ending

    def _stops(self, running: Running, epoch: int, *, replayed: bool) -> bool:
        """The verdict at a rung. It is stored before the values are, so that no kill in between can lose it."""
        proposal, owner = running.proposal, running.slots[0]
        if epoch not in self.rungs or self._is_published_point(proposal.owner, proposal.params):
            return False
        if self._store.is_stopped(owner, epoch):
            return True
        if replayed or self._books.survives(proposal.uid, epoch, eta=self.search.eta):
            return False
        self._store.stop(owner, epoch)
        return True

    def _begin_fixed(self, turns: Sequence[str]) -> Running | None:
        found = self._fixed.next(turns)
        if found is None:
            return None
        owner, point = found
        return self._begin(self._store.begin(owner, point, distributions=self._of(owner, point)))

    def _sample(self, owner: str) -> Running:
        study = self._store.studies[owner]
        study.sampler = self._sampler(owner)
        trial = study.ask()
        self.spaces[owner].suggest(trial)
        return self._begin(self._store.slot(owner, trial.number))

    def _begin(self, slot: Slot) -> Running:
        self._books.own[slot.machine_type] += 1
        return self._run(slot, [], {})

    def _run(self, owner: Slot, copies: Sequence[Slot], curve: dict[int, dict[str, float]]) -> Running:
        name = owner.machine_type
        proposal = Proposal(
            uid=f"{name}-{owner.number}",
            owner=name,
            machine_types=self.machine_types if self.search.scope == "joint" else (name,),
            params=self.spaces[name].active(self._store.read(owner).params),
        )
        running = Running(proposal=proposal, slots=[owner, *copies], curve=curve)
        self._running[proposal.uid] = running
        return running

    def _place_copies(self, running: Running) -> None:
        """Add a running copy to every other study whose ranges hold the point and that lacks one."""
        point, uid = running.proposal.params, running.proposal.uid
        held = {slot.machine_type for slot in running.slots}
        for name in running.proposal.machine_types:
            if name not in held and self.spaces[name].contains(point):
                distributions, attributes = self._of(name, point), {COPY: uid}
                copy = self._store.begin(name, point, distributions=distributions, attributes=attributes)
                running.slots.append(copy)

    def _finish(self, slot: Slot, state: TrialState, told: Mapping[str, Any]) -> None:
        """End a trial in one study, as its owner's user attributes say."""
        curve = {int(epoch): value for epoch, value in told[CURVES][slot.machine_type].items()}
        values: list[float] | None = None
        if state is TrialState.COMPLETE:
            values = told[VALUES][slot.machine_type] if VALUES in told else [curve[max(curve)]]
        self._store.finish(slot, state, curve=curve, values=values)
        self._books.ended(slot.machine_type, state, fmean(values) if values else None)

    def _sampler(self, machine_type: str) -> BaseSampler:
        study, stream = self._store.studies[machine_type], self.machine_types.index(machine_type)
        return make_sampler(self.search, study, self.spaces[machine_type], stream=stream)

    def _of(self, machine_type: str, point: Params) -> dict[str, BaseDistribution]:
        return self.spaces[machine_type].distributions(point)

    # -- inside: going on with an old storage

    def _read_all(self, *, take_over: bool) -> None:
        held: dict[str, dict[str, FrozenTrial]] = {}  # trial -> study -> the trial there
        owners: dict[str, FrozenTrial] = {}
        for name in self.machine_types:
            trials = self.trials(name)
            self._books.read(name, trials)
            for trial in trials:
                if TAUGHT not in trial.user_attrs:
                    held.setdefault(name_of(name, trial), {})[name] = trial
                if is_own(trial):
                    owners[name_of(name, trial)] = trial
                    self._books.own[name] += 1
        for uid, owner in owners.items():
            curve = merged(held[uid], owner)
            for epoch, values in curve.items():
                self._books.arrive(uid, epoch, values)
            if take_over and owner.state is TrialState.RUNNING:
                self._adopt(uid, held[uid], curve)
            elif take_over:
                self._finish_copies(held[uid], owner)

    def _adopt(self, uid: str, held: Mapping[str, FrozenTrial], curve: dict[int, dict[str, float]]) -> None:
        """Take over a running trial of an earlier driver, and write what that driver did not get to write."""
        slots = {name: self._store.slot(name, trial.number) for name, trial in held.items()}
        owner = slots.pop(owner_of(uid)[0])
        self._complete_point(owner)
        self._place_copies(self._run(owner, list(slots.values()), curve))
        self._waiting.append(uid)

    def _complete_point(self, slot: Slot) -> None:
        """A driver killed while sampling leaves a point without some of its parameters: sample the rest."""
        space, study = self.spaces[slot.machine_type], self._store.studies[slot.machine_type]
        if not space.contains(space.active(self._store.read(slot).params)):
            study.sampler = self._sampler(slot.machine_type)
            space.suggest(optuna.Trial(study, slot.trial_id))

    def _finish_copies(self, held: Mapping[str, FrozenTrial], owner: FrozenTrial) -> None:
        for name, trial in held.items():
            if trial.state is TrialState.RUNNING:
                self._finish(self._store.slot(name, trial.number), owner.state, owner.user_attrs)
