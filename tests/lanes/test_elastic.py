"""How many lanes there shall be: decided by what is seen, in plain arithmetic."""

import pytest

from asd_ray.config import LaneConfig
from asd_ray.errors import InputError
from asd_ray.lanes.elastic import MOST_ASKED, PLACE_S, Changes, Cluster, Seen, decide, plan
from asd_ray.lanes.mailbox import Closing, LaneEnd

MANY = 1_000_000
GONE = Closing(LaneEnd.MACHINE_GONE)
GPU_NODE = {"CPU": 8.0, "GPU": 1.0}


def up(name: str) -> Seen:
    return Seen(name=name, placed=True)


def coming(name: str, *, waited: float = 5.0) -> Seen:
    return Seen(name=name, placed=False, waited=waited)


def planned(*lanes: Seen, trials: int = 60, most: int = MANY, granted: int = 0, settled: bool = True) -> Changes:
    return plan(lanes, trials=trials, most=most, granted=granted, settled=settled)


def test_without_lanes_room_is_asked_for_as_many_as_trials_are_left() -> None:
    assert planned(trials=5).ask == 5
    assert planned(trials=5, most=2).ask == 2
    assert planned(trials=10_000).ask == MOST_ASKED


def test_lanes_that_are_there_are_not_asked_for_again() -> None:
    assert planned(up("a"), up("b"), trials=5).ask == 3
    assert planned(up("a"), up("b"), trials=2).ask == 0


def test_granted_room_becomes_lanes_once_no_more_is_granted_and_the_rest_is_withdrawn() -> None:
    unsettled = planned(trials=5, granted=2, settled=False)
    assert (unsettled.start, unsettled.ask) == (0, None)
    settled = planned(trials=5, granted=2)
    assert (settled.start, settled.ask) == (2, 0)


def test_nothing_is_asked_for_while_a_lane_has_no_workers_yet_or_the_ask_would_take_its_room() -> None:
    assert planned(up("a"), coming("b"), trials=5).ask == 0
    assert planned(up("a"), up("b"), trials=5).ask == 3


def test_a_node_that_joins_unasked_gives_a_lane_too() -> None:
    """Groups wait for as long as trials are left, so that room of any origin is noticed."""
    assert planned(up("a"), trials=5, granted=1).start == 1
    assert planned(up("a"), trials=1, granted=1).start == 0


def test_a_lane_whose_node_has_gone_ends_and_its_place_is_asked_for_again() -> None:
    gone = Seen(name="a", placed=False, gone=GONE)
    found = planned(gone, up("b"), trials=5)
    assert found.end == {"a": GONE}
    assert found.ask == 4
    assert planned(gone, trials=5).ask == 5  # all nodes lost: the search waits for others


def test_a_lane_that_lost_its_room_to_somebody_else_makes_way() -> None:
    found = planned(coming("a", waited=PLACE_S + 1), trials=5)
    assert found.end == {"a": Closing(LaneEnd.NO_ROOM)}
    assert found.ask == 5


def test_lanes_that_no_trial_is_left_for_may_go_those_without_workers_first() -> None:
    found = planned(up("a"), coming("b"), up("c"), trials=1)
    assert (found.surplus, list(found.retire)) == (2, ["b", "a", "c"])
    assert found.ask == 0
    assert planned(up("a"), trials=1).retire == []


def test_the_end_of_the_trials_withdraws_what_is_asked_for_even_if_granted() -> None:
    found = planned(up("a"), trials=0, granted=3, settled=False)
    assert (found.start, found.ask, found.surplus) == (0, 0, 1)


@pytest.mark.parametrize(
    ("cluster", "lanes", "gpus"),
    [
        (Cluster(nodes=({"CPU": 2.0},)), {}, 0.0),
        (Cluster(nodes=({"CPU": 2.0}, GPU_NODE)), {}, 1.0),
        (Cluster(nodes=({},), types=((GPU_NODE, 8),)), {}, 1.0),
        (Cluster(nodes=({"CPU": 2.0},), types=((GPU_NODE, 0),)), {}, 0.0),
        (Cluster(nodes=({},), types=((GPU_NODE, 8),)), {"gpus": 0.5, "count": 16}, 0.5),
        (Cluster(nodes=({},), types=((GPU_NODE, 8),)), {"gpus": 0.0, "count": 64}, 0.0),
        (Cluster(nodes=({"CPU": 2.0}, {"CPU": 2.0}), types=()), {"workers": 4, "count": 1}, 0.0),
        (Cluster(nodes=({"CPU": 2.0},), types=()), {"count": 5}, 0.0),  # at most; nodes may come
        (Cluster(nodes=({"CPU": 2.0},), types=(({}, 2),)), {"count": 5, "cpus": 4.0}, 0.0),
    ],
)
def test_what_a_lane_is_follows_from_the_nodes_that_are_there_or_may_come(
    cluster: Cluster, lanes: dict[str, object], gpus: float
) -> None:
    found = decide(LaneConfig.model_validate(lanes), cluster)
    assert found is not None
    assert found.gpus == gpus


def test_a_head_without_cpus_and_no_word_of_others_decides_nothing() -> None:
    assert decide(LaneConfig(), Cluster(nodes=({"memory": 1e9},), types=(({}, 2),))) is None


@pytest.mark.parametrize("gpus", [0.0, 1.0])
@pytest.mark.parametrize("types", [(), (({}, 2),)])
def test_a_lane_whose_gpus_are_set_is_decided_before_any_node_is_known(
    gpus: float, types: tuple[tuple[dict[str, float], int], ...]
) -> None:
    """Only what is asked for makes an autoscaler bring a node, and nothing is asked for before this."""
    lanes = LaneConfig(gpus=gpus, cpus=2.0, count=3)
    assert decide(lanes, Cluster(nodes=({"memory": 1e9},), types=types)) == lanes


@pytest.mark.parametrize(
    ("cluster", "lanes", "numbers"),
    [
        (Cluster(nodes=({"CPU": 2.0},)), {"cpus": 4.0}, "1 of 1 worker(s) with 4 CPU and 0 GPU"),
        (Cluster(nodes=({"CPU": 2.0}, {"CPU": 2.0})), {"cpus": 3.0}, "with 3 CPU and 0 GPU"),
        (Cluster(nodes=({},), types=((GPU_NODE, 2),)), {"count": 3}, "3 of 1 worker(s) with 1 CPU and 1 GPU"),
        (Cluster(nodes=({"CPU": 2.0},)), {"gpus": 1.0}, "with 1 CPU and 1 GPU"),
    ],
)
def test_what_could_never_fit_is_refused_with_the_numbers_and_the_mend(
    cluster: Cluster, lanes: dict[str, object], numbers: str
) -> None:
    with pytest.raises(InputError) as raised:
        decide(LaneConfig.model_validate(lanes), cluster)
    assert numbers in str(raised.value)
    assert "set lanes.count, lanes.cpus or lanes.gpus" in str(raised.value)
