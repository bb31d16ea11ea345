"""When a search ends before its trials are used up: the hours of a call are over, or nothing gets better."""

import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from asd_ray.search.choice import TAUGHT, worth


class Deadline:
    """The end of a call's hours, on the clock that no one sets; without hours it never comes."""

    def __init__(self, hours: float | None = None, *, began: float | None = None) -> None:
        """`began`: when the call began, as time.monotonic() has it (default: now)."""
        self.hours = hours
        self._began = time.monotonic() if began is None else began

    @property
    def left(self) -> float | None:
        """Seconds until then; None where it never comes."""
        if self.hours is None:
            return None
        return max(0.0, self._began + 3600 * self.hours - time.monotonic())

    @property
    def over(self) -> bool:
        return self.left == 0.0


class Gain:
    """How many trials of a study have finished since its best one rose.

    Complete and pruned ones count, in the order in which they finished; failed ones say nothing about the space,
    and those of another search (`--warm-start`) gained nothing here.
    """

    def __init__(self) -> None:
        self.best: float | None = None
        self.since = 0

    def note(self, state: TrialState, value: float | None) -> None:
        """A trial has finished; `value` of a complete one: its objective, or the mean of several."""
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
