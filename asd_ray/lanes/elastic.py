"""How many lanes a search should have while machines come and go: plain arithmetic, no ray.

The driver looks every second: `plan` says what to do about what it sees. Room for a further lane is asked for by a
placement group, which the autoscaler sees for as long as it waits. Once one is granted a lane takes its place, and
all others are withdrawn until the lane has its workers, or one of them would take the room first.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from asd_ray.config import LaneConfig
from asd_ray.errors import InputError
from asd_ray.lanes.mailbox import Closing, LaneEnd

Amounts = Mapping[str, float]  # by name of the resource, as Ray counts it
AS_MANY_AS_COME = 1_000_000  # lanes, where nothing limits them
MOST_ASKED = 32  # outstanding lane requests at most; topped up as they are granted
PLACE_S = 300.0  # a lane that has no worker after so long lost its room to somebody else


class Lanes(Protocol):
    """What the searcher knows of the lanes."""

    @property
    def room(self) -> int:
        """Trials that may run now."""

    @property
    def trouble(self) -> str:
        """Why no lane will ever come up, if so."""

    def want(self, trials: int) -> None:
        """So many trials are left, running ones included."""


@dataclass(frozen=True, slots=True)
class FixedLanes:
    """As many as there were at the start: one machine's. None will ever train where the clips cannot be read."""

    room: int
    clips: "Future[Any] | None" = None

    @property
    def trouble(self) -> str:
        error = self.clips.exception() if self.clips is not None and self.clips.done() else None
        return "" if error is None else str(error)

    def want(self, trials: int) -> None:
        """They stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What nodes there are, and what an autoscaler may add: node types, and how many of each.

    A type without amounts, a machine of one's own say, tells what it has once it has come.
    """

    nodes: tuple[Amounts, ...]
    types: tuple[tuple[Amounts, int], ...] = ()

    def has(self, name: str) -> bool:
        added = [amounts for amounts, count in self.types if count]
        return any(amounts.get(name) for amounts in (*self.nodes, *added))

    def could_fit(self, lane: LaneConfig) -> int:
        """Lanes that would fit if the autoscaler added all that it may."""
        there = sum(workers_on(node, lane) for node in self.nodes)
        more = sum(count * workers_on(amounts, lane) for amounts, count in self.types)
        return (there + more) // lane.workers


def workers_on(node: Amounts, lane: LaneConfig) -> int:
    """Workers of a lane that fit one node."""
    needs = {"CPU": lane.cpus, "GPU": lane.gpus or 0.0}
    return min(int(node.get(name, 0.0) / need + 1e-9) for name, need in needs.items() if need)


def decide(lanes: LaneConfig, cluster: Cluster) -> LaneConfig | None:
    """What each lane is, nothing left automatic; None while no node is there, and none announced, to tell by.

    Where `gpus` is set nothing has to tell, and must not be waited for: some autoscalers bring a node only once a
    lane is asked for.

    Raises InputError when not one lane, or not so many as are set, could ever fit, as far as that can be told.
    """
    if not cluster.has("CPU"):
        return lanes if lanes.gpus is not None else None
    gpus = lanes.gpus if lanes.gpus is not None else float(cluster.has("GPU"))
    lane = lanes.model_copy(update={"gpus": gpus})
    could, types = cluster.could_fit(lane), [amounts for amounts, count in cluster.types if count]
    too_few = could < lane.count and types  # without them, nodes may come that nobody speaks of
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
    gone: Closing | None = None  # why it has ended, or has to
    waited: float = 0.0  # seconds without workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What to do. Groups to ask for are those to be had then, granted ones among them."""

    end: Mapping[str, Closing]  # lanes to end, and why
    retire: Sequence[str]  # lanes that may go, as many as `surplus`, if no trial is at work there
    surplus: int
    start: int  # lanes to start in place of granted groups
    ask: int | None  # groups to have; None: leave them as they are


def plan(lanes: Sequence[Seen], *, trials: int, most: int, granted: int, settled: bool) -> Changes:
    """`granted`: groups that have their place; `settled`: they were as many when last seen."""
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
