"""Drives the real studies over a scripted world, with several lanes that end at different times."""

import heapq
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import optuna
from optuna.samplers import BaseSampler

import asd_ray.search.studies.studies as studies_module
from asd_ray.config import SearchConfig
from asd_ray.search.space import Params
from asd_ray.search.studies.studies import Studies
from benchmarks.quality.worlds import EPOCHS, PUBLISHED, REPORTS, World

MakeSampler = Callable[..., BaseSampler]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to search one kind of world."""

    name: str
    kind: str = "smooth"
    corr: float = 0.5
    noise: float = 1.0
    scope: str = "joint"
    sampler: str = "auto"
    prune: bool = False
    lanes: int = 4
    costs: tuple[int, ...] = (6, 12, 18, 24, 36, 48, 72, 96, 144)  # when to look, in full trainings spent
    rules: tuple[str, ...] = ("observed", "confirmed")
    seeds: int = 50
    maker: MakeSampler | None = field(default=None, compare=False)  # another maker of samplers
    rungs: tuple[int, ...] | None = None  # other epochs at which to judge
    stock: bool = False  # Ray's OptunaSearch and ASHA instead of the studies

    def world(self, seed: int) -> World:
        return World(self.kind, seed=seed, corr=self.corr, noise=self.noise)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a search knows when it has spent `epochs`."""

    cost: int
    epochs: int
    finished: int
    studies: Studies


@contextmanager
def replaced(arm: Arm) -> Iterator[None]:
    """Let the studies take samplers and rungs from the arm for a while, where it has its own."""
    maker, rungs_of = studies_module.make_sampler, studies_module.rungs_of
    studies_module.make_sampler = arm.maker or maker
    studies_module.rungs_of = rungs_of if arm.rungs is None else lambda search, epochs: arm.rungs
    try:
        yield
    finally:
        studies_module.make_sampler, studies_module.rungs_of = maker, rungs_of


class Lanes:
    """Lanes on a scripted clock: an epoch takes about one unit, a tenth more or less from trial to trial."""

    def __init__(self, *, count: int, seed: int) -> None:
        self._free = count
        self._queue: list[tuple[float, int, str, int]] = []  # when, tie-break, trial, index of the report
        self._now = 0.0
        self._rng = np.random.default_rng([seed, 3])
        self._pace: dict[str, float] = {}
        self._entries = 0

    @property
    def idle(self) -> bool:
        return not self._queue

    @property
    def free(self) -> bool:
        return self._free > 0

    def start(self, uid: str) -> None:
        self._free -= 1
        self._pace[uid] = float(self._rng.lognormal(sigma=0.1))
        self.go_on(uid, 0)

    def go_on(self, uid: str, index: int) -> None:
        epochs = REPORTS[index] - (REPORTS[index - 1] if index else 0)
        self._entries += 1
        heapq.heappush(self._queue, (self._now + epochs * self._pace[uid], self._entries, uid, index))

    def next(self) -> tuple[str, int]:
        """The trial that reports next, and the index of its report."""
        self._now, _, uid, index = heapq.heappop(self._queue)
        return uid, index

    def end(self) -> None:
        self._free += 1


def search(arm: Arm, seed: int) -> Iterator[Moment]:
    """Run one search; yields at each cost of the arm."""
    world = arm.world(seed)
    config = SearchConfig.model_validate(
        {"trials": 100_000, "scope": arm.scope, "sampler": arm.sampler, "prune": arm.prune, "seed": seed}
    )
    with replaced(arm):
        studies = Studies(
            optuna.storages.InMemoryStorage(),
            machine_types=tuple(world.optimum),
            space=world.space,
            search=config,
            epochs=EPOCHS,
            published=PUBLISHED,
        )
        yield from _run(arm, studies, world, Lanes(count=arm.lanes, seed=seed))


def _run(arm: Arm, studies: Studies, world: World, lanes: Lanes) -> Iterator[Moment]:
    curves: dict[str, dict[int, dict[str, float]]] = {}
    epochs = finished = 0
    costs = list(arm.costs)
    while costs:
        while lanes.free:
            proposal = studies.ask()
            assert proposal is not None
            curves[proposal.uid] = world.curves(_whole(proposal.params), draw=len(curves))
            lanes.start(proposal.uid)
        uid, index = lanes.next()
        epoch = REPORTS[index]
        epochs += epoch - (REPORTS[index - 1] if index else 0)
        stop = studies.report(uid, epoch, curves[uid][epoch])
        if stop or epoch == EPOCHS:
            studies.tell(uid, "pruned" if stop else "complete")
            lanes.end()
            finished += 1
        else:
            lanes.go_on(uid, index + 1)
        while costs and epochs >= costs[0] * EPOCHS:
            yield Moment(costs.pop(0), epochs, finished, studies)


def _whole(params: Params) -> Params:
    return {"mix_prob": 1.0, **params}


def variant(arm: Arm, name: str, **changes: object) -> Arm:
    return replace(arm, name=name, **changes)  # type: ignore[arg-type]
