"""Ray's own way to do it: OptunaSearch proposes, ASHA stops, both by one number, the mean over the machine types.

Both are driven directly, without a cluster: they get what Tune would hand them. ASHA's stops reach Optuna as
COMPLETE with the value of the epoch they ended at, as Tune reports them.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.quality.drive import Arm, Lanes, Moment
from benchmarks.quality.worlds import EPOCHS, PUBLISHED, REPORTS, World

logging.getLogger("ray").setLevel(logging.ERROR)
METRIC = "mean"


@dataclass(slots=True)
class Record:
    """What a user of Tune finds in the result grid: the last values of every trial, stopped or not."""

    held: dict[str, list[FrozenTrial]] = field(default_factory=dict)

    def trials(self, machine_type: str) -> list[FrozenTrial]:
        return self.held.get(machine_type, [])

    def add(self, params: dict[str, Any], values: dict[str, float]) -> None:
        for name, value in values.items():
            trials = self.held.setdefault(name, [])
            trial = optuna.create_trial(state=TrialState.COMPLETE, value=value)
            trial.number, trial.params = len(trials), params
            trials.append(trial)


def search_stock(arm: Arm, seed: int) -> Iterator[Moment]:
    """The counterpart of `search`."""
    world = arm.world(seed)
    space = world.space.of("")
    published = {name: PUBLISHED[name] for name in space.searched()}
    searcher = OptunaSearch(
        {name: space.spec(name).distribution() for name in space.searched()},
        metric=METRIC,
        mode="max",
        points_to_evaluate=[published],
        seed=seed,
    )
    # The same rungs and the same share of survivors as the design's.
    scheduler = AsyncHyperBandScheduler(
        metric=METRIC, mode="max", max_t=EPOCHS, grace_period=1, reduction_factor=3, stop_last_trials=False
    )
    yield from _run(arm, world, searcher, scheduler)


def _run(arm: Arm, world: World, searcher: OptunaSearch, scheduler: AsyncHyperBandScheduler) -> Iterator[Moment]:
    lanes, record = Lanes(count=arm.lanes, seed=world.seed), Record()
    points: dict[str, dict[str, Any]] = {}
    curves: dict[str, dict[int, dict[str, float]]] = {}
    epochs = finished = 0
    costs = list(arm.costs)
    while costs:
        while lanes.free:
            uid = str(len(curves))
            points[uid] = searcher.suggest(uid)
            scheduler.on_trial_add(None, SimpleNamespace(trial_id=uid))
            curves[uid] = world.curves({"mix_prob": 1.0, **points[uid]}, draw=len(curves))
            lanes.start(uid)
        uid, index = lanes.next()
        epoch, values = REPORTS[index], curves[uid][REPORTS[index]]
        epochs += epoch - (REPORTS[index - 1] if index else 0)
        result = {METRIC: sum(values.values()) / len(values), "training_iteration": epoch}
        trial = SimpleNamespace(trial_id=uid)
        if epoch < EPOCHS and scheduler.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE:
            searcher.on_trial_result(uid, result)
            lanes.go_on(uid, index + 1)
        else:
            scheduler.on_trial_complete(None, trial, result)
            searcher.on_trial_complete(uid, result)
            record.add(points[uid], values)
            lanes.end()
            finished += 1
        while costs and epochs >= costs[0] * EPOCHS:
            yield Moment(costs.pop(0), epochs, finished, record)  # type: ignore[arg-type]
