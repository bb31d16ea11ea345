"""What each of Tune's trials is working on, by its id in Tune, and which work was lost on the way."""

from collections import Counter
from dataclasses import dataclass

from asd_ray.search.confirmation import SeedTraining
from asd_ray.search.studies.trial_store import Proposal
from asd_ray.training.messages import Assignment, End, EpochReport

Work = Proposal | SeedTraining  # a trial of the search, or a training that confirms one


@dataclass(slots=True, kw_only=True)
class Assigned:
    """The work of one trial of Tune."""

    assignment: Assignment
    work: Work
    last: EpochReport | None = None  # the latest report
    pruned: bool = False
    stopping: bool = False  # because of the deadline
    died_of: str = "its process died"

    @property
    def epoch(self) -> int:
        """The last epoch that was trained; 0 before the first."""
        return self.last.epoch if self.last else 0


class Assignments:
    """All work that has begun and has not ended."""

    def __init__(self) -> None:
        self._at_work: dict[str, Assigned] = {}
        self._again: list[Assigned] = []  # lost with a process or a lane; will begin again
        self._losses: Counter[tuple[str, int, End]] = Counter()  # by name, last epoch before the loss, and kind

    def __len__(self) -> int:
        """How many are at work."""
        return len(self._at_work)

    def __getitem__(self, trial_id: str) -> Assigned:
        return self._at_work[trial_id]

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._at_work

    @property
    def begun(self) -> int:
        """How many are at work or wait to begin again."""
        return len(self._at_work) + len(self._again)

    def count(self, kind: type[Work]) -> int:
        """How many of a kind are at work."""
        return sum(isinstance(one.work, kind) for one in self._at_work.values())

    def begin(self, trial_id: str, assigned: Assigned) -> None:
        self._at_work[trial_id] = assigned

    def next_again(self) -> Assigned | None:
        """The next lost work, if any; it goes on from its last epoch."""
        if not self._again:
            return None
        lost = self._again.pop(0)
        return Assigned(assignment=lost.assignment, work=lost.work)

    def end(self, trial_id: str) -> Assigned | None:
        """Remove and return the work of a trial of Tune; None if it has none."""
        return self._at_work.pop(trial_id, None)

    def count_loss(self, lost: Assigned, end: End) -> int:
        """Count a loss; return how often this work was lost in this way after the same epoch, this time included.

        Losses after different epochs do not add up: where machines come and go, a long trial may be lost often
        and still make progress.
        """
        after = (lost.assignment.name, lost.epoch, end)
        self._losses[after] += 1
        return self._losses[after]

    def begin_again(self, lost: Assigned) -> None:
        self._again.append(lost)
