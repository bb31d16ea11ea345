"""How many lanes a search should have while machines come and go: plain arithmetic, no ray.

The driver looks every second, and `plan` says what to do about what it sees. The driver asks for room for another
lane by a placement group, which the autoscaler sees while the group waits. Once Ray grants a group, a lane takes
its place. The driver withdraws all other groups until that lane has its workers: one of them could take the room.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from asd_ray.config import LaneConfig
from asd_ray.errors import InputError
from asd_ray.lanes.mailbox import Closing, LaneEnd

Amounts = Mapping[str, float]  # by name of the resource, as Ray counts it
AS_MANY_AS_COME = 1_000_000  # the number of lanes where nothing limits it
MOST_ASKED = 32  # outstanding lane requests at most; topped up as they are granted
PLACE_S = 300.0  # a lane that has no workers after this time has lost its room to somebody else


class Lanes(Protocol):
    """What the searcher knows of the lanes."""

    @property
    def room(self) -> int:
        """How many trials may run now."""

    @property
    def trouble(self) -> str:
        """Why no lane will ever come up; empty if one may."""

    def want(self, trials: int) -> None:
        """Say how many trials are left, running ones included."""


@dataclass(frozen=True, slots=True)
class FixedLanes:
    """The lanes of one machine: their number never changes. None can train if the clips cannot be read."""

    room: int
    clips: "Future[Any] | None" = None

    @property
    def trouble(self) -> str:
        error = self.clips.exception() if self.clips is not None and self.clips.done() else None
        return "" if error is None else str(error)

    def want(self, trials: int) -> None:
        """Do nothing: the lanes stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The nodes that are there, and what an autoscaler may add: node types, and how many of each.

    The resources of a type without amounts, such as a machine of your own, are known once a node of it has come.
    """

    nodes: tuple[Amounts, ...]
    types: tuple[tuple[Amounts, int], ...] = ()

    def has(self, name: str) -> bool:
        added = [amounts for amounts, count in self.types if count]
        return any(amounts.get(name) for amounts in (*self.nodes, *added))

    def could_fit(self, lane: LaneConfig) -> int:
        """How many lanes would fit if the autoscaler added all the nodes that it may."""
        there = sum(workers_on(node, lane) for node in self.nodes)
        more = sum(count * workers_on(amounts, lane) for amounts, count in self.types)
        return (there + more) // lane.workers


def workers_on(node: Amounts, lane: LaneConfig) -> int:
    """How many workers of a lane fit on one node."""
    needs = {"CPU": lane.cpus, "GPU": lane.gpus or 0.0}
    return min(int(node.get(name, 0.0) / need + 1e-9) for name, need in needs.items() if need)


def decide(lanes: LaneConfig, cluster: Cluster) -> LaneConfig | None:
    """The settings of each lane, with no automatic value left; None while no node, there or announced, has a CPU.

    If `gpus` is set, no node is needed to decide, and none may be waited for: some autoscalers bring a node only
    once a lane has been asked for.

    Raises InputError if the known nodes show that not even one lane, or fewer than `count`, could ever fit.
    """
    if not cluster.has("CPU"):
        return lanes if lanes.gpus is not None else None
    gpus = lanes.gpus if lanes.gpus is not None else float(cluster.has("GPU"))
    lane = lanes.model_copy(update={"gpus": gpus})
    could, types = cluster.could_fit(lane), [amounts for amounts, count in cluster.types if count]
    too_few = could < lane.count and types  # without announced types, nodes of unknown size may still come
    if (could < 1 or too_few) and all(types):
        raise InputError(
            f"lanes: {max(lane.count, 1)} of {lane.workers} worker(s) with {lane.cpus:g} CPU and {gpus:g} GPU "
            f"do not fit this cluster, {could} would with all the nodes that it has or may add; set lanes.count, "
            "lanes.cpus or lanes.gpus"
        )
    return lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A lane as the driver sees it."""

    name: str
    placed: bool  # it has workers
    gone: Closing | None = None  # why it has ended, or has to end
    waited: float = 0.0  # seconds without workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to do. `ask` is a total: it includes the groups that are granted or asked for already."""

    end: Mapping[str, Closing]  # lanes to end, and why
    retire: Sequence[str]  # lanes that may go if they run no trial; at most `surplus` of them
    surplus: int
    start: int  # lanes to start in place of granted groups
    ask: int | None  # how many groups to have; None: leave them as they are


def plan(lanes: Sequence[Seen], *, trials: int, most: int, granted: int, settled: bool) -> Changes:
    """What to do. `granted`: how many groups have their place; `settled`: the last look found the same number."""
    end = {lane.name: lane.gone for lane in lanes if lane.gone is not None}
    end |= {lane.name: Closing(LaneEnd.NO_ROOM) for lane in lanes if not lane.placed and lane.waited > PLACE_S}
    living = [lane for lane in lanes if lane.name not in end]
    target = min(trials, most)
    lacking = max(0, target - len(living))
    surplus = max(0, len(living) - target)
    retire = [lane.name for lane in sorted(living, key=lambda lane: lane.placed)] if surplus else []
    start, ask = 0, None
    if granted and settled and lacking:
        start, ask = min(granted, lacking), 0
    elif not granted or not lacking:
        placing = any(not lane.placed for lane in living)
        ask = 0 if placing else min(lacking, MOST_ASKED)
    return Changes(end=end, retire=retire, surplus=surplus, start=start, ask=ask)
