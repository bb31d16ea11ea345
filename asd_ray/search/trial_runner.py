"""Tune's view of a trial: a thin Trainable that hands its epochs to a lane (here) or trains them (`inline`).

It imports no torch, which Tune's processes do not need. Tune's API passes dicts of plain values, so the config of
a trial and the result of a step hold one message each, as text.
"""

from abc import abstractmethod
from typing import Any, Protocol

import ray
from ray import tune

from asd_ray.config import RunConfig, with_params, with_seed
from asd_ray.files.paths import place
from asd_ray.lanes.link import LaneError, LaneStuckError, Link, acquire, listed_lanes
from asd_ray.training.messages import (
    Assignment,
    End,
    Ending,
    EpochReport,
    EpochTrained,
    Started,
    Step,
    TrialOrder,
    from_text,
    to_text,
)

ASSIGNMENT, TRAINED, ENDED = "assignment", "epoch_trained", "ended"  # keys of a config, and of results


def config_of(assignment: Assignment) -> dict[str, str]:
    """The config that Tune hands to a trial."""
    return {ASSIGNMENT: to_text(assignment)}


def result_of(step: Step) -> dict[str, str]:
    """The result of a step for Tune: text, for Tune flattens nested results before its schedulers see them."""
    return {TRAINED if isinstance(step, EpochTrained) else ENDED: to_text(step)}


def step_of(result: dict[str, Any]) -> Step | None:
    """The step that a result holds; None for Tune's own results."""
    if TRAINED in result:
        return from_text(EpochTrained, result[TRAINED])
    return from_text(Ending, result[ENDED]) if ENDED in result else None


class Commander(Protocol):
    """What serves a trial: a link to a lane, or the trial's own process."""

    def start(self, order: TrialOrder) -> Started | Ending: ...
    def epoch(self, to: int) -> EpochReport | Ending: ...
    def release(self) -> None: ...

    @property
    def lane(self) -> str:
        """Name of the lane; empty where there is none."""


class TrialRunner(tune.Trainable):
    """Runs one trial after another, as Tune's `reuse_actors` asks; each step is one epoch."""

    def setup(self, config: dict[str, Any], **fixed: Any) -> None:
        self._base: RunConfig = fixed["base"]
        self._trials: str = fixed["trials"]
        self._score_at: tuple[int, ...] = fixed["score_at"]
        self._corpus: str = fixed["corpus"]
        self._systems: tuple[str, ...] = fixed["systems"]
        self._fixed = fixed
        self._commander: Commander | None = None
        self.reset_config(config)

    @abstractmethod
    def connect(self, **fixed: Any) -> Commander:
        """What serves the next trial. Raises LaneError if nothing does."""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial. A trial that was begun before replays its epochs, so the studies see them all."""
        self._epoch = 0
        order = self._order(from_text(Assignment, new_config[ASSIGNMENT]))
        try:
            self._commander = self.connect(**self._fixed)
            begun = self._commander.start(order)
        except LaneError as error:
            begun = _ending_of(error)
        self._ending = begun if isinstance(begun, Ending) else None
        return True

    def _order(self, assignment: Assignment) -> TrialOrder:
        config = with_params(self._base, assignment.params)
        return TrialOrder(
            config=config if assignment.seed is None else with_seed(config, assignment.seed),
            machine_types=assignment.machine_types,
            score_at=self._score_at if assignment.score_at is None else assignment.score_at,
            folder=str(place(self._trials) / (assignment.folder or assignment.name)),
            corpus=self._corpus,
            systems=self._systems,
            name=assignment.name,
        )

    def step(self) -> dict[str, Any]:
        """Train an epoch. How a trial ends is a result, not an exception.

        After an exception, Tune would throw the warm process away. It would also lose the message about a full
        disk, for it keeps the message on that disk.
        """
        if self._ending is None:
            assert self._commander is not None
            self._epoch += 1
            try:
                report = self._commander.epoch(self._epoch)
            except LaneError as error:
                report = _ending_of(error)
            if isinstance(report, EpochReport):
                done = self._epoch >= self._base.train.epochs
                return {**result_of(EpochTrained(report, self._commander.lane)), "done": done}
            self._ending = report
        return {**result_of(self._ending), "done": True}

    def cleanup(self) -> None:
        if self._commander is not None:
            self._commander.release()


def _ending_of(error: LaneError) -> Ending:
    return Ending(End.LANE_STUCK if isinstance(error, LaneStuckError) else End.LANE_ENDED, str(error))


class LaneTrial(TrialRunner):
    def connect(self, **fixed: Any) -> Link:
        """The lane of the previous trial, or another one if that lane has ended since."""
        if isinstance(self._commander, Link) and self._commander.hold():
            return self._commander
        owner = ray.get_runtime_context().get_actor_id() or ""
        return acquire(listed_lanes, owner, deadline=self._base.lanes.deadline)
