"""The points that are tried before any is sampled: the published one, those that a user named, the space's own."""

from collections.abc import Mapping, Sequence

from asd_ray.search.space import Params, StudySpace
from asd_ray.search.studies.trial_store import TrialStore, is_own

ENQUEUED = "enqueued"  # user attribute of the first study


class FixedPoints:
    """Each point is due until a trial at it is in the storage, so that a kill neither drops nor repeats one."""

    def __init__(
        self,
        book: TrialStore,
        spaces: Mapping[str, StudySpace],
        *,
        joint: bool,
        published: Params,
        early: Sequence[Params],
    ) -> None:
        """`joint`: one trial serves all studies; otherwise each of them tries every point."""
        self._book, self._spaces, self._joint = book, spaces, joint
        self._published, self._early = published, early
        self._first = next(iter(spaces))
        self._due = self._find_due()

    def add(self, points: Sequence[Params]) -> None:
        """Keep points to try right after the published one; a later call tries those that this one does not."""
        kept = self.named()
        new = [point for number, point in enumerate(points) if point not in [*kept, *points[:number]]]
        if new:
            self._book.keep(self._first, ENQUEUED, [*kept, *new])
            self._due = self._find_due()

    def named(self) -> list[Params]:
        """The points that a user has added so far."""
        points: list[Params] = self._book.kept(self._first, ENQUEUED) or []
        return points

    def waits(self, point: Params) -> bool:
        """Whether a point that was added has no trial yet."""
        return any(point in due for due in self._due.values())

    def next(self, turns: Sequence[str]) -> tuple[str, Params] | None:
        """The next point that is due, if any, and its owner: the first study in turn whose ranges hold it."""
        due = self._due[turns[0]]
        while due:
            start = due.pop(0)
            for owner in turns if self._joint else turns[:1]:
                point = self._spaces[owner].active(start)
                if self._spaces[owner].contains(point):
                    return owner, point
        return None

    def _find_due(self) -> dict[str, list[Params]]:
        """The points that are due, by the study whose turn it is; in a joint search all studies share one list."""
        tried = {
            name: [space.active(trial.params) for trial in self._book.trials(name) if is_own(trial)]
            for name, space in self._spaces.items()
        }
        if self._joint:
            return dict.fromkeys(self._spaces, self._untried(tried))
        return {name: self._untried({name: points}) for name, points in tried.items()}

    def _untried(self, tried: Mapping[str, Sequence[Params]]) -> list[Params]:
        found: list[Params] = []
        known: list[list[Params]] = []  # active points: two that are written differently may be equal
        for start in (self._published, *self.named(), *self._early):
            points = [self._spaces[name].active(start) for name in tried]
            was_tried = any(point in trials for point, trials in zip(points, tried.values(), strict=True))
            if points not in known and not was_tried:
                found.append(start)
            known.append(points)
        return found
