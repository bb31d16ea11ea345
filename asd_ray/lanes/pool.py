"""The lanes of a search on a cluster: they come with machines, and go with them or with the last trials.

The pool asks for room by placement groups: they vanish with the driver, however it ends, and the autoscaler grants
them one by one. (A request by `request_resources` outlives its driver, and is granted as a whole or not at all.)
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from asd_ray.cluster.placement import living_nodes
from asd_ray.cluster.ray_internals import get_or_create_autoscaling_coordinator
from asd_ray.deadline import Deadline
from asd_ray.lanes.elastic import Changes, Seen, plan
from asd_ray.lanes.lane import Lane, name_lane
from asd_ray.lanes.link import list_lanes
from asd_ray.lanes.mailbox import Closing, LaneEnd, LaneState
from asd_ray.lanes.sizes import Share

LOOK_S = 1.0
PATIENCE = 5  # consecutive looks that find no room for a first lane before the pool says so
ANSWER_S = 10.0
KEPT_S = 120.0  # the pool keeps a lane this long after its end, so that its trial can ask why it ended
STUMBLES = 3  # once this many lanes in a row have failed, the pool stops adding lanes
QUIT_S = 30.0
NOT_AT_FAULT = (LaneEnd.RETIRED, LaneEnd.MACHINE_GONE, LaneEnd.NO_ROOM)


@dataclass(slots=True)
class _Member:
    lane: Lane
    node: str = ""  # the node of its workers, or the last one
    lives: int = 0  # how often its group has come up
    unplaced_since: float = 0.0


class LanePool:
    """Keeps as many lanes as machines and trials allow, from a thread of its own."""

    def __init__(self, share: Share, *, trials: int, on_event: Callable[[str], None]) -> None:
        """`share.count` is the largest number of lanes."""
        self._share, self._on_event = share, on_event
        self._start: Callable[[str], Lane] | None = None
        self._most = share.count
        self._trials = trials
        self._members: dict[str, _Member] = {}
        self._asked: list[PlacementGroup] = []
        self._granted = 0
        self._kept: dict[str, PlacementGroup] = {}  # lane -> the group that keeps its room until it asks for it
        self._ended: list[tuple[float, Lane]] = []
        self._count = 0  # lanes started so far
        self._stumbled = 0
        self._waiting = 0  # consecutive looks that found no room for a first lane
        self._room = 0
        self._trouble = ""
        self._closing = threading.Event()
        # Ray Data keeps a detached actor on the node where it first runs. Make it here: a lane's node that held it
        # could not be given back for as long as the cluster lives.
        get_or_create_autoscaling_coordinator()  # type: ignore[no-untyped-call]
        self._thread = threading.Thread(target=self._run, daemon=True, name="lane-pool")
        self._thread.start()

    def serve(self, start: Callable[[str], Lane]) -> None:
        """Let the pool start lanes from now on; `start` makes the lane of a given name."""
        self._start = start

    @property
    def room(self) -> int:
        return self._room

    @property
    def trouble(self) -> str:
        return self._trouble

    def want(self, trials: int) -> None:
        self._trials = trials

    def wait(self, deadline: Deadline) -> None:
        """Wait until the first lane has its workers, no lane can get any, or the deadline is over."""
        while not (self._room or self._trouble or deadline.over):
            time.sleep(0.2)

    def _run(self) -> None:
        try:
            while not self._closing.wait(LOOK_S):
                # Ray's own store may be slow to answer, or a node may go during the look: look again then.
                with contextlib.suppress(ray.exceptions.RayError):
                    self._look()
        except Exception as error:  # without this the search would wait for lanes that nobody starts
            self._trouble = f"lanes cannot be looked after: {type(error).__name__}: {error}"

    def _look(self) -> None:
        lanes = self._see()
        granted = self._granted_groups()
        settled = len(granted) == self._granted and self._start is not None
        self._granted = len(granted)
        todo = plan(lanes, trials=self._trials, most=self._most, granted=len(granted), settled=settled)
        self._act(todo, lanes, granted)

    def _see(self) -> list[Seen]:
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in living_nodes()}
        members = list(self._members.items())
        asked = [member.lane.mailbox.state.remote() for _, member in members]
        states: list[LaneState] = ray.get(asked, timeout=ANSWER_S)
        seen = []
        for (name, member), state in zip(members, states, strict=True):
            if state.lives and not member.lives:
                self._stumbled = 0
            seen.append(_seen(name, member, state, nodes))
        return seen

    def _act(self, todo: Changes, lanes: list[Seen], granted: list[PlacementGroup]) -> None:
        for name, closing in todo.end.items():
            self._end(name, closing)
        self._retire(todo)
        for group in granted[: todo.start]:
            self._kept[self._add()] = group
            self._asked.remove(group)
        if todo.ask is not None:
            self._ask(todo.ask)
        self._make_way()
        if todo.end or todo.start:
            list_lanes(list(self._members))
        self._note_room(lanes)
        self._ended = [(when, lane) for when, lane in self._ended if time.monotonic() - when < KEPT_S]

    def _note_room(self, lanes: list[Seen]) -> None:
        placed = {lane.name for lane in lanes if lane.placed} & set(self._members)
        if len(placed) > self._room:
            where = sorted({self._members[name].node for name in placed})
            self._on_event(f"{_lanes(len(placed))} on {', '.join(where)}")
        self._room = len(placed)
        if self._members or self._granted or not self._asked:
            self._waiting = 0
            return
        self._waiting += 1
        if self._waiting == PATIENCE:
            self._on_event(f"no machine has room for a lane: asked for {len(self._asked)}, waiting")

    def _make_way(self) -> None:
        """Free the room of a lane once the lane asks for it. Until then the group keeps others from taking the
        room, and keeps its node from being given back as idle."""
        for name in list(self._kept):
            if name not in self._members or self._members[name].lane.waits_for_room:
                remove_placement_group(self._kept.pop(name))

    def _add(self) -> str:
        assert self._start is not None, "nothing is settled before"
        name = name_lane(self._count)
        self._count += 1
        self._members[name] = _Member(self._start(name), unplaced_since=time.monotonic())
        return name

    def _end(self, name: str, closing: Closing) -> None:
        member = self._members.pop(name)
        member.lane.give_up(closing)
        self._ended.append((time.monotonic(), member.lane))
        if closing.end is LaneEnd.RETIRED:
            return
        left = _lanes(len(self._members))
        self._on_event(f"a lane{f' on {member.node}' if member.node else ''} has ended: {closing}; {left} left")
        self._stumbled += closing.end not in NOT_AT_FAULT
        if self._stumbled < STUMBLES:
            return
        # Stop asking for machines: lanes that cannot live on them would ask for ever.
        if any(other.lives for other in self._members.values()):
            self._most = len(self._members)
        else:
            self._trouble = f"{STUMBLES} lanes in a row have ended; the last one: {closing}"

    def _retire(self, todo: Changes) -> None:
        gone = 0
        for name in todo.retire:
            member = self._members.get(name)
            if member is None or gone == todo.surplus:
                continue
            if not member.node:
                self._end(name, Closing(LaneEnd.RETIRED))
                gone += 1
            else:
                gone += bool(ray.get(member.lane.mailbox.retire.remote(), timeout=ANSWER_S))

    def _granted_groups(self) -> list[PlacementGroup]:
        if not self._asked:
            return []
        table: dict[str, dict[str, Any]] = placement_group_table()
        return [group for group in self._asked if table.get(group.id.hex(), {}).get("state") == "CREATED"]

    def _ask(self, count: int) -> None:
        """Hold exactly `count` groups; drop the latest ones first."""
        for group in self._asked[count:]:
            remove_placement_group(group)
        self._asked = self._asked[:count]
        while len(self._asked) < count:
            bundles = [self._share.resources] * self._share.lane.workers
            self._asked.append(placement_group(bundles))

    def close(self) -> None:
        """Ask for nothing more, and have all lanes quit at the same time."""
        self._stop_looking()
        up = [member.lane for member in self._members.values() if member.node]
        for lane in up:
            lane.ask_to_quit()
        for lane in up:
            lane.join(QUIT_S)

    def abandon(self) -> None:
        """End every lane at once, before Ray shuts down, and leave nothing that the cluster would keep."""
        self._stop_looking()
        lanes = [member.lane for member in self._members.values()] + [lane for _, lane in self._ended]
        for lane in lanes:
            lane.give_up(Closing(LaneEnd.ABANDONED))
        for lane in lanes:
            lane.join(QUIT_S)

    def _stop_looking(self) -> None:
        self._closing.set()
        self._thread.join()
        self._ask(0)
        for group in self._kept.values():
            remove_placement_group(group)
        self._kept.clear()


def _seen(name: str, member: _Member, state: LaneState, nodes: dict[str, str]) -> Seen:
    """What a mailbox says about its lane, together with what Ray says about the nodes of its workers."""
    alive = [nodes[node] for node in state.nodes if node in nodes]
    lost = len(alive) < len(state.nodes)
    placed = bool(alive) and not lost
    member.lives = max(member.lives, state.lives)
    if placed:
        member.node, member.unplaced_since = alive[0], time.monotonic()
    gone = state.closed
    if gone is not None and gone.end is LaneEnd.QUIT:
        gone = Closing(LaneEnd.RETIRED)
    elif gone is None and lost:
        gone = Closing(LaneEnd.MACHINE_GONE)
    return Seen(name=name, placed=placed, gone=gone, waited=time.monotonic() - member.unplaced_since)


def _lanes(count: int) -> str:
    return f"{count} lane{'' if count == 1 else 's'}"


@contextlib.contextmanager
def pool_of_lanes(pool: LanePool) -> Iterator[LanePool]:
    """The pool for the length of a block; its lanes end with the block."""
    try:
        yield pool
        pool.close()
    finally:
        pool.abandon()
