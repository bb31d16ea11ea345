"""What the studies ask at every trial, read from the storage once and then kept: counts, rungs, gains."""

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from asd_ray.search.book import curve_of
from asd_ray.search.budget import Gain, gain_of
from asd_ray.search.choice import TAUGHT
from asd_ray.search.standings import Standings


class Memory:
    """Grows by a row of numbers per trial and rung; the trials themselves stay in the storage."""

    def __init__(self, machine_types: Sequence[str], *, rungs: Sequence[int]) -> None:
        self.own = dict.fromkeys(machine_types, 0)  # trials that each study proposed
        self.gains = {name: Gain() for name in machine_types}
        self.learnt: dict[str, set[str]] = {name: set() for name in machine_types}  # trials of other searches
        self._standings = {rung: Standings(machine_types) for rung in rungs}

    def read(self, machine_type: str, trials: Sequence[FrozenTrial]) -> None:
        """A study's gain, and what it learnt from other searches."""
        self.gains[machine_type] = gain_of(trials)
        for trial in trials:
            if TAUGHT in trial.user_attrs:
                self.learn(machine_type, trial, origin=trial.user_attrs[TAUGHT])

    def learn(self, machine_type: str, trial: FrozenTrial, *, origin: str) -> None:
        """A trial of another search: what arrives at a rung here is compared with it too."""
        self.learnt[machine_type].add(origin)
        for epoch, value in curve_of(trial).items():
            self.arrive(origin, epoch, {machine_type: value})

    def arrive(self, uid: str, epoch: int, values: Mapping[str, float]) -> None:
        """A trial's objective per machine type after an epoch, which may be a rung."""
        if epoch in self._standings:
            self._standings[epoch].arrive(uid, values)

    def survives(self, uid: str, epoch: int, *, eta: int) -> bool:
        """Whether a trial that has arrived goes on; where there is no rung, all do."""
        return epoch not in self._standings or self._standings[epoch].survives(uid, eta=eta)

    def ended(self, machine_type: str, state: TrialState, value: float | None) -> None:
        """A trial has ended in a study; `value` of a complete one: its (mean) objective."""
        self.gains[machine_type].note(state, value)
