"""What the studies need at every trial (counts, rungs, gains): read from the storage once, then kept."""

from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

from asd_ray.search.studies.standings import Standings
from asd_ray.search.studies.trial_store import TAUGHT, curve_of, worth


class Gain:
    """How many trials of a study have finished since its best value last rose.

    Complete and pruned trials count, in the order in which they finished. Failed ones say nothing about the space,
    and those of another search (`--warm-start`) gained nothing here.
    """

    def __init__(self) -> None:
        self.best: float | None = None
        self.since = 0

    def note(self, state: TrialState, value: float | None) -> None:
        """Count a finished trial. `value` is the objective of a complete one, or the mean of several."""
        if state is TrialState.COMPLETE and value is not None and (self.best is None or value > self.best):
            self.best, self.since = value, 0
        elif state in (TrialState.COMPLETE, TrialState.PRUNED):
            self.since += 1


def gain_of(trials: Sequence[FrozenTrial]) -> Gain:
    """A study's gain, read back from its trials."""
    gain = Gain()
    finished = [trial for trial in trials if trial.datetime_complete and TAUGHT not in trial.user_attrs]
    for trial in sorted(finished, key=lambda trial: (trial.datetime_complete, trial.number)):
        gain.note(trial.state, worth(trial) if trial.state is TrialState.COMPLETE else None)
    return gain


class Bookkeeping:
    """Counts, rungs and gains. It grows by a row of numbers per trial and rung; the trials stay in the storage."""

    def __init__(self, machine_types: Sequence[str], *, rungs: Sequence[int]) -> None:
        self.own = dict.fromkeys(machine_types, 0)  # trials that each study proposed
        self.gains = {name: Gain() for name in machine_types}
        self.learnt: dict[str, set[str]] = {name: set() for name in machine_types}  # trials of other searches
        self._standings = {rung: Standings(machine_types) for rung in rungs}

    def read(self, machine_type: str, trials: Sequence[FrozenTrial]) -> None:
        """Read a study's gain back, and what it learnt from other searches."""
        self.gains[machine_type] = gain_of(trials)
        for trial in trials:
            if TAUGHT in trial.user_attrs:
                self.learn(machine_type, trial, origin=trial.user_attrs[TAUGHT])

    def learn(self, machine_type: str, trial: FrozenTrial, *, origin: str) -> None:
        """Add a trial of another search: trials that arrive at a rung here are compared with it too."""
        self.learnt[machine_type].add(origin)
        for epoch, value in curve_of(trial).items():
            self.arrive(origin, epoch, {machine_type: value})

    def arrive(self, uid: str, epoch: int, values: Mapping[str, float]) -> None:
        """Note a trial's objective per machine type after an epoch, which may be a rung."""
        if epoch in self._standings:
            self._standings[epoch].arrive(uid, values)

    def survives(self, uid: str, epoch: int, *, eta: int) -> bool:
        """Whether a trial goes on after an epoch; all do where there is no rung."""
        return epoch not in self._standings or self._standings[epoch].survives(uid, eta=eta)

    def ended(self, machine_type: str, state: TrialState, value: float | None) -> None:
        """Count a trial that has ended in a study. `value` is the (mean) objective of a complete one."""
        self.gains[machine_type].note(state, value)
