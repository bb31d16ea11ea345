"""The pool of lanes, with a cluster by script: what it starts, ends, asks for and tells."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from asd_ray.config import LaneConfig
from asd_ray.lanes import pool as pool_module
from asd_ray.lanes.mailbox import Closing, LaneEnd, LaneState
from asd_ray.lanes.pool import STUMBLES, LanePool
from asd_ray.lanes.sizes import Share


class Remote:
    """A method of an actor whose answer is there at once."""

    def __init__(self, call: Any) -> None:
        self.remote = call


class FakeLane:
    """A lane whose mailbox says what the test wants."""

    waits_for_room = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.given_up: Closing | None = None
        self.says = LaneState(name=name, lives=0, workers=(), nodes=(), closed=None, silent=False)
        self.busy = False
        self.mailbox = self
        self.state = Remote(lambda: self.says)
        self.retire = Remote(self._retire)

    def _retire(self) -> bool:
        if not self.busy:
            self.says = replace(self.says, closed=Closing(LaneEnd.QUIT))
        return not self.busy

    def come_up(self, node: str) -> None:
        self.says = replace(self.says, lives=1, nodes=(node,))

    def cannot_start(self) -> None:
        self.says = replace(self.says, closed=Closing(LaneEnd.NOT_STARTED, "no disk"))

    def give_up(self, closing: Closing) -> None:
        self.given_up = self.given_up or closing

    def ask_to_quit(self) -> None:
        self.says = replace(self.says, closed=Closing(LaneEnd.QUIT))

    def join(self, timeout: float) -> bool:
        return True


@dataclass
class FakeCluster:
    """Nodes by name with room for so many groups or lanes, groups in the order in which they were asked for."""

    nodes: dict[str, int] = field(default_factory=dict)
    groups: list["FakeGroup"] = field(default_factory=list)
    lanes: dict[str, FakeLane] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    def start(self, name: str) -> FakeLane:
        self.lanes[name] = FakeLane(name)
        return self.lanes[name]

    def ask(self, bundles: list[dict[str, float]]) -> "FakeGroup":
        self.groups.append(FakeGroup(self, f"{len(self.groups)}-{id(bundles)}"))
        return self.groups[-1]

    def table(self) -> dict[str, dict[str, str]]:
        up = sum(bool(lane.says.nodes) and not lane.says.closed for lane in self.lanes.values())
        room = sum(self.nodes.values()) - up
        return {
            group.key: {"state": "CREATED" if number < room else "PENDING"}
            for number, group in enumerate(self.groups)
        }

    def list_lanes(self, names: list[str]) -> None:
        self.listed = names


class FakeGroup:
    def __init__(self, cluster: FakeCluster, key: str) -> None:
        self.key, self.id = key, self

    def hex(self) -> str:
        return self.key


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    cluster = FakeCluster()
    fakes = {
        "get_or_create_autoscaling_coordinator": lambda: None,
        "living_nodes": lambda: [{"NodeID": name, "NodeManagerAddress": name} for name in cluster.nodes],
        "placement_group": cluster.ask,
        "remove_placement_group": cluster.groups.remove,
        "placement_group_table": cluster.table,
        "list_lanes": cluster.list_lanes,
        "LOOK_S": threading.TIMEOUT_MAX,  # the test looks
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(pool_module, name, fake)
    monkeypatch.setattr(pool_module.ray, "get", lambda answer, timeout: answer)
    return cluster


@pytest.fixture
def pool(cluster: FakeCluster) -> Iterator[LanePool]:
    share = Share(count=1000, lane=LaneConfig(gpus=0.0))
    pool = LanePool(share, trials=6, on_event=cluster.told.append)
    pool.serve(cluster.start)  # type: ignore[arg-type]
    yield pool
    pool.abandon()


def look(pool: LanePool, *, times: int = 3) -> None:
    for _ in range(times):
        pool._look()


def test_a_cluster_without_nodes_is_asked_for_room_until_they_come(cluster: FakeCluster, pool: LanePool) -> None:
    look(pool, times=20)
    assert (len(cluster.groups), pool.room) == (6, 0)
    assert cluster.told == ["no machine has room for a lane: asked for 6, waiting"]
    cluster.nodes["a"] = 1
    look(pool)
    assert len(cluster.lanes) == 1
    assert cluster.groups == []  # the lane takes the room, not another group
    (lane,) = cluster.lanes.values()
    lane.come_up("a")
    look(pool)
    assert (pool.room, cluster.listed) == (1, [lane.name])
    assert len(cluster.groups) == 5
    assert cluster.told[-1] == "1 lane on a"


def test_a_lane_ends_with_its_node_and_its_place_is_asked_for(cluster: FakeCluster, pool: LanePool) -> None:
    cluster.nodes |= {"a": 1, "b": 1}
    look(pool)
    for lane, node in zip(cluster.lanes.values(), cluster.nodes, strict=True):
        lane.come_up(node)
    look(pool)
    first, second = cluster.lanes.values()
    del cluster.nodes["a"]
    look(pool, times=1)
    assert (first.given_up, second.given_up) == (Closing(LaneEnd.MACHINE_GONE), None)
    assert (pool.room, cluster.listed) == (1, [second.name])
    assert len(cluster.groups) == 5
    assert cluster.told[-1] == f"a lane on a has ended: {LaneEnd.MACHINE_GONE.value}; 1 lane left"
    assert not pool.trouble


def test_lanes_without_a_trial_left_go_but_not_one_at_work(cluster: FakeCluster, pool: LanePool) -> None:
    cluster.nodes |= {"a": 1, "b": 1}
    look(pool)
    for lane, node in zip(cluster.lanes.values(), cluster.nodes, strict=True):
        lane.come_up(node)
    first, second = cluster.lanes.values()
    first.busy = True
    pool.want(1)
    look(pool)
    assert (first.says.closed, second.says.closed) == (None, Closing(LaneEnd.QUIT))
    assert (pool.room, cluster.groups) == (1, [])
    assert "ended" not in "".join(cluster.told)  # nothing to worry about


def test_lanes_that_cannot_live_on_the_nodes_are_trouble_after_a_few(cluster: FakeCluster, pool: LanePool) -> None:
    cluster.nodes["a"] = 1
    for _ in range(STUMBLES):
        assert not pool.trouble
        look(pool)
        list(cluster.lanes.values())[-1].cannot_start()
        look(pool)
    assert pool.trouble == f"{STUMBLES} lanes in a row have ended; the last one: its workers cannot start: no disk"


def test_a_fault_of_the_pool_itself_is_trouble_and_not_silence(
    pool: LanePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ValueError("an answer of a new kind")

    monkeypatch.setattr(pool, "_look", broken)
    monkeypatch.setattr(pool_module, "LOOK_S", 0.0)
    pool._run()
    assert pool.trouble == "lanes cannot be looked after: ValueError: an answer of a new kind"


def test_a_node_on_which_no_lane_lives_does_not_stop_those_of_others(cluster: FakeCluster, pool: LanePool) -> None:
    cluster.nodes |= {"a": 1, "b": 1}
    look(pool)
    good, bad = cluster.lanes.values()
    good.come_up("a")
    for _ in range(STUMBLES):
        bad.cannot_start()
        look(pool)
        bad = list(cluster.lanes.values())[-1]
    look(pool, times=10)
    assert not pool.trouble
    assert (pool.room, cluster.groups, len(cluster.lanes)) == (1, [], 1 + STUMBLES)


def test_nothing_is_left_at_the_end(cluster: FakeCluster, pool: LanePool) -> None:
    cluster.nodes["a"] = 1
    look(pool)
    (lane,) = cluster.lanes.values()
    lane.come_up("a")
    look(pool)
    pool.close()
    pool.abandon()
    assert lane.says.closed == Closing(LaneEnd.QUIT)
    assert cluster.groups == []
