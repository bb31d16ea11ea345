"""How far a search has come, counted from its events: plain arithmetic; the caller hands in the time."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from asd_ray.search.events import Begun, Ended, EpochDone, Event, Left, Planned
from asd_ray.search.studies.trial_store import Outcome


@dataclass(slots=True, kw_only=True)
class AtWork:
    """A trial that runs now."""

    name: str
    clips: int  # how many it trains on in an epoch
    began: float
    lane: str = ""
    epoch: int = 0  # the last one that ended; 0: none yet
    epoch_seconds: float = 0.0
    train_loss: float | None = None


class Progress:
    """The present state of one call of a search. Times are seconds on any clock that only goes forward."""

    def __init__(self, *, epochs: int, train_clips: Mapping[str, int]) -> None:
        """`epochs` of a trial that is not pruned; `train_clips`: the number of training clips per machine type."""
        self.epochs, self._train_clips = epochs, train_clips
        self.stage = "starting"  # later the latest line of the search
        self.planned = False
        self.confirming = False
        self.earlier = 0
        self.total = 0
        self.lanes = 0
        self.counts: Counter[Outcome] = Counter()
        self.best: dict[str, tuple[str, float]] = {}
        self.at_work: dict[str, AtWork] = {}
        self._durations: list[float] = []

    def take(self, event: Event, *, now: float) -> None:
        match event:
            case str():
                self.stage = event
            case Planned():
                self._plan(event)
            case Begun():
                clips = sum(self._train_clips.get(name, 0) for name in event.machine_types)
                self.at_work[event.name] = AtWork(name=event.name, clips=clips, began=now)
                self.lanes = event.lanes
            case EpochDone():
                self._note_epoch(event, now=now)
            case Left():
                self.at_work.pop(event.name, None)
            case Ended():
                self._end(event, now=now)

    def _plan(self, event: Planned) -> None:
        self.planned, self.confirming = True, event.confirming
        self.total, self.earlier = event.total, event.earlier
        self.best = dict(event.best)
        self.counts.clear()
        self._durations.clear()  # those of trials say little: no training that confirms is pruned

    def _note_epoch(self, event: EpochDone, *, now: float) -> None:
        trial, report = self.at_work[event.name], event.report
        seconds: float = report.seconds
        if not trial.epoch:
            trial.began = max(trial.began, now - seconds)  # it may have waited before for its lane to come up
        trial.epoch, trial.epoch_seconds = report.epoch, seconds
        trial.train_loss, trial.lane = report.train_loss, event.lane

    def _end(self, event: Ended, *, now: float) -> None:
        trial = self.at_work.pop(event.name, None)
        if trial is not None and event.outcome != "failed":
            self._durations.append(now - trial.began)
        self.counts[event.outcome] += 1
        self.total = event.total
        for name in event.best_of:
            self.best[name] = (event.name, event.values[name])

    @property
    def ended(self) -> int:
        return self.counts.total()

    @property
    def left(self) -> int:
        """How many trials have not ended yet, running ones included."""
        return max(0, self.total - self.ended)

    @property
    def idle_lanes(self) -> int:
        return max(0, self.lanes - len(self.at_work))

    @property
    def epochs_per_second(self) -> float:
        """The speed of all lanes together, each as fast as in its last epoch."""
        return sum(1 / trial.epoch_seconds for trial in self.at_work.values() if trial.epoch_seconds)

    @property
    def clips_per_second(self) -> float:
        """Training clips per second of all lanes together."""
        return sum(trial.clips / trial.epoch_seconds for trial in self.at_work.values() if trial.epoch_seconds)

    def seconds_left(self, *, now: float) -> float | None:
        """The time until all trials have ended, if they take as long as earlier ones; None before any estimate.

        Before the first trial has ended, the running trials give the estimate, as if none would be pruned.
        """
        measured = [trial.epoch_seconds for trial in self.at_work.values() if trial.epoch_seconds]
        if not self._durations and not measured:
            return None
        each = fmean(self._durations) if self._durations else self.epochs * fmean(measured)
        spent = sum(min(each, now - trial.began) for trial in self.at_work.values() if trial.epoch)
        side_by_side = max(1, min(self.lanes, self.left))
        return max(0.0, self.left * each - spent) / side_by_side
