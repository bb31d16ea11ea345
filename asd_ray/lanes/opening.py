"""What a search runs on: Ray with room for the clips, and lanes that hold them, here or on a cluster."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from asd_ray.cluster.shared_disk import Sight
from asd_ray.config import LaneConfig
from asd_ray.data.bank import Bank, Source
from asd_ray.deadline import Deadline
from asd_ray.errors import EnvironmentFailure
from asd_ray.lanes.elastic import FixedLanes, Lanes
from asd_ray.lanes.lane import Lane, LaneSettings, name_lane
from asd_ray.lanes.link import list_lanes
from asd_ray.lanes.pool import LanePool, pool_of_lanes
from asd_ray.lanes.sizes import Room, Share, share_cluster, share_out
from asd_ray.models import mels_of
from asd_ray.models.sgram import LogMels

Read = Callable[[], "Future[Bank]"]  # begins to read the clips; they may be read already when it returns
QUIT_S = 30.0
LOOK_S = 1.0  # a search without a first node looks for one this often


@contextmanager
def lanes_of_machine(
    config: LaneConfig,
    room: Room,
    *,
    trials: int,
    systems: Sequence[str],
    num_classes: int,
    read: Read,
    scratch: Path,
    on_event: Callable[[str], None],
) -> Iterator[tuple[Share, "Future[Bank]", Lanes]]:
    """As many lanes as this machine has room for, and the clips that they train on, for the length of a block."""
    clips = 0 if room.streams else room.clips
    share = share_out(config, trials=trials, clips=clips, log_mels=len(mels_of(systems)))
    on_event(room.words)
    on_event(f"starting {share}")
    # Lanes start while the clips are read: both take seconds.
    clips_to_come: Future[Bank] = Future()
    with warm_lanes(share, clips_to_come, num_classes=num_classes, scratch=scratch):
        reading = read()
        reading.add_done_callback(lambda done: _pass_on(done, clips_to_come))
        if share.inline:
            reading.result()
        try:
            yield share, clips_to_come, FixedLanes(share.count, clips_to_come)
        except EnvironmentFailure:
            if clips_to_come.done():
                clips_to_come.result()  # if reading the clips failed, raise that error: it says what to mend
            raise


def _pass_on(done: "Future[Bank]", to: "Future[Bank]") -> None:
    error = done.exception()
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)


@contextmanager
def lanes_of_cluster(
    config: LaneConfig,
    room: Room,
    *,
    trials: int,
    systems: Sequence[str],
    num_classes: int,
    read: Read,
    scratch: Path,
    deadline: Deadline,
    on_event: Callable[[str], None],
    sight: Sight | None = None,
) -> Iterator[tuple[Share, "Future[Bank]", Lanes] | None]:
    """Lanes that come and go with the nodes of a cluster; None when the deadline comes before the first of them.

    Raises EnvironmentFailure when no lane can live on the nodes that come.
    """
    share = _wait_for_share(config, deadline=deadline, on_event=on_event)
    if share is None:
        yield None
        return
    on_event(f"lanes of {share.each}, as many as the cluster has room for")
    with pool_of_lanes(LanePool(share, trials=trials, on_event=on_event)) as pool:
        on_event(room.words)
        bank = read()  # the pool has asked for machines before this, because they take minutes to come
        settings = LaneSettings(config=share.lane, num_classes=num_classes, storage=scratch, sight=sight)
        pool.serve(lambda name: Lane(name, bank, settings))
        pool.wait(deadline)
        if pool.trouble:
            raise EnvironmentFailure(pool.trouble)
        yield None if deadline.over else (share, bank, pool)


def _wait_for_share(lanes: LaneConfig, *, deadline: Deadline, on_event: Callable[[str], None]) -> Share | None:
    """Decide what each lane is, after waiting for a first node if need be. None if the deadline came first."""
    share, told = share_cluster(lanes), False
    while share is None and not deadline.over:
        if not told:
            on_event(
                "the cluster has no node for trials yet: waiting for the first; if its autoscaler waits to be "
                "asked for one, call again with --set lanes.gpus=1, or =0"
            )
            told = True
        time.sleep(LOOK_S)
        share = share_cluster(lanes)
    return share


def source_of(shards: Path, systems: Sequence[str], *, visible_labels: list[str]) -> Source:
    """A source that reads all clips of a shard folder, with the log-mels that the systems want."""
    return Source(
        folder=shards.resolve(),
        to_sgram=partial(LogMels, mels_of(systems)),
        visible_labels=tuple(visible_labels),
    )


def read_clips(shards: Path, systems: Sequence[str], *, visible_labels: list[str], streams: bool = False) -> Bank:
    """All clips of a shard folder, as in `source_of`: read now, or with `streams` read in every epoch."""
    source = source_of(shards, systems, visible_labels=visible_labels)
    return source if streams else source.kept()


@contextmanager
def warm_lanes(share: Share, clips: "Future[Bank]", *, num_classes: int, scratch: Path) -> Iterator[list[Lane]]:
    """Warm lanes for the length of a block; at its end they all quit at the same time."""
    if share.inline:
        yield []
        return
    settings = LaneSettings(config=share.lane, num_classes=num_classes, storage=scratch)
    lanes: list[Lane] = []
    try:
        for number in range(share.count):
            lanes.append(Lane(name_lane(number), clips, settings))
        list_lanes([lane.name for lane in lanes])
        yield lanes
        for lane in lanes:
            lane.ask_to_quit()
        for lane in lanes:
            lane.join(QUIT_S)
    finally:
        # Ray shuts down next, and no thread may wait in a call of Ray then.
        for lane in lanes:
            lane.abandon()
        for lane in lanes:
            lane.join(QUIT_S)
