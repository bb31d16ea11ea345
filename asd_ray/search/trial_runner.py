"""Tune's view of a trial: a thin Trainable that hands its epochs to a lane (here) or trains them (`inline`).

Without torch, which Tune's processes would import for nothing.
"""

import json
from abc import abstractmethod
from typing import Any, Protocol

import ray
from ray import tune

from asd_ray.config import RunConfig, with_params, with_seed
from asd_ray.files.paths import place
from asd_ray.lanes.link import Link, acquire, listed_lanes
from asd_ray.training.messages import Order, Report


class Commander(Protocol):
    """What serves a trial: a link to a lane, or the trial's own process."""

    def start(self, order: Order) -> Report: ...
    def epoch(self, to: int) -> Report: ...
    def release(self) -> None: ...

    @property
    def lane(self) -> str:
        """Name of the lane; empty where there is none."""


class TrialRunner(tune.Trainable):
    """One trial after another, as Tune's `reuse_actors` has it; each step is one epoch.

    The result of a step is plain text, because Tune flattens nested results before its schedulers see them.
    """

    def setup(self, config: dict[str, Any], **fixed: Any) -> None:
        self._base: RunConfig = fixed["base"]
        self._trials: str = fixed["trials"]
        self._score_at: tuple[int, ...] = fixed["score_at"]
        self._corpus: str = fixed["corpus"]
        self._systems: tuple[str, ...] = fixed["systems"]
        self._commander = self.connect(**fixed)
        self.reset_config(config)

    @abstractmethod
    def connect(self, **fixed: Any) -> Commander: ...

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial. One that was begun before replays its epochs, so that the studies see them all.

        A training that confirms a trial has a folder, a seed and epochs to score at of its own.
        """
        self._epoch = 0
        config = with_params(self._base, new_config["params"])
        order = Order(
            config=with_seed(config, new_config.get("seed", config.train.seed)),
            machine_types=tuple(new_config["machine_types"]),
            score_at=tuple(new_config.get("score_at", self._score_at)),
            folder=str(place(self._trials) / new_config.get("folder", new_config["uid"])),
            corpus=self._corpus,
            systems=self._systems,
            name=new_config["uid"],
        )
        self._ending = ending_of(self._commander.start(order))
        return True

    def step(self) -> dict[str, Any]:
        """A trial that fails is a result, not an exception: Tune would throw the warm process away.

        So is a full disk: Tune would try again, and lose what was wrong, for it keeps that on the same disk.
        """
        if not self._ending:
            self._epoch += 1
            report = self._commander.epoch(self._epoch)
            self._ending = ending_of(report)
        if self._ending:
            return {**self._ending, "done": True}
        lane = self._commander.lane
        return {"report": json.dumps(report), "lane": lane, "done": self._epoch >= self._base.train.epochs}

    def cleanup(self) -> None:
        self._commander.release()


def ending_of(report: Report) -> dict[str, Any]:
    """Why a trial cannot go on, if so: it `failed`, or what it runs on is `broken`.

    `lost`: it failed by what befell its workers, not by what it did.
    """
    return {name: report[name] for name in ("failed", "lost", "broken") if name in report}


class LaneTrial(TrialRunner):
    def connect(self, **fixed: Any) -> Link:
        owner = ray.get_runtime_context().get_actor_id() or ""
        return acquire(listed_lanes, owner, deadline=self._base.lanes.deadline)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The lane of the trial before may have ended since."""
        if not (isinstance(self._commander, Link) and self._commander.hold()):
            self._commander = self.connect()
        return super().reset_config(new_config)
