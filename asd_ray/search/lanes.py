"""What a search runs on: Ray with room for the clips, and lanes that hold them, here or on a cluster."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from asd_ray.config import LaneConfig
from asd_ray.data.bank import Bank, Source
from asd_ray.models import mels_of
from asd_ray.models.sgram import LogMels
from asd_ray.search.budget import Deadline
from asd_ray.search.elastic import FixedLanes, Lanes
from asd_ray.search.events import Tell
from asd_ray.search.pool import LanePool, pool_of_lanes
from asd_ray.search.resources import Room, Share, share_cluster, share_out
from asd_ray.search.runfolder import Run
from asd_ray.search.stopped import SearchStoppedError
from asd_ray.sight import Sight
from asd_ray.training.lane import Lane, LaneSettings, name_lane
from asd_ray.training.link import list_lanes

Read = Callable[[], Bank]
QUIT_S = 30.0
LOOK_S = 1.0  # for nodes of a cluster


@contextmanager
def lanes_of_machine(
    run: Run,
    room: Room,
    *,
    trials: int,
    read: Read,
    scratch: Path,
    tell: Tell,
) -> Iterator[tuple[Share, Bank, Lanes]]:
    """As many lanes as fit what there is, for the length of a block; with the clips that they train on."""
    clips = 0 if room.streams else room.clips
    share = share_out(run.config.lanes, trials=trials, clips=clips, log_mels=len(mels_of(run.systems)))
    tell(room.words)
    bank = read()
    tell(f"starting {share}")
    with warm_lanes(share, bank, num_classes=len(run.corpus.classes), scratch=scratch):
        yield share, bank, FixedLanes(share.count)


@contextmanager
def lanes_of_cluster(
    run: Run,
    room: Room,
    *,
    trials: int,
    read: Read,
    scratch: Path,
    deadline: Deadline,
    tell: Tell,
    sight: Sight | None = None,
) -> Iterator[tuple[Share, Bank, Lanes] | None]:
    """Lanes that come and go with the nodes of a cluster; None when the deadline comes before the first of them.

    Raises SearchStoppedError when no lane can live on the nodes that come.
    """
    share = _wait_for_share(run.config.lanes, deadline=deadline, tell=tell)
    if share is None:
        yield None
        return
    tell(f"lanes of {share.each}, as many as the cluster has room for")
    with pool_of_lanes(LanePool(share, trials=trials, tell=tell)) as pool:
        tell(room.words)
        bank = read()  # machines take minutes to come: they are asked for before
        num_classes = len(run.corpus.classes)
        settings = LaneSettings(config=share.lane, num_classes=num_classes, storage=scratch, sight=sight)
        pool.serve(lambda name: Lane(name, bank, settings))
        pool.wait(deadline)
        if pool.trouble:
            raise SearchStoppedError(pool.trouble)
        yield None if deadline.over else (share, bank, pool)


def _wait_for_share(lanes: LaneConfig, *, deadline: Deadline, tell: Tell) -> Share | None:
    """What each lane is to be; waits for a first node where nothing tells. None when the deadline came first."""
    share, told = share_cluster(lanes), False
    while share is None and not deadline.over:
        if not told:
            tell(
                "the cluster has no node for trials yet: waiting for the first; if its autoscaler waits to be "
                "asked for one, call again with --set lanes.gpus=1, or =0"
            )
            told = True
        time.sleep(LOOK_S)
        share = share_cluster(lanes)
    return share


def source_of(shards: Path, systems: Sequence[str], *, visible_labels: list[str]) -> Source:
    """All clips of a shard folder with the log-mels that the systems want, to be read."""
    return Source(
        folder=shards.resolve(),
        to_sgram=partial(LogMels, mels_of(systems)),
        visible_labels=tuple(visible_labels),
    )


def read_clips(shards: Path, systems: Sequence[str], *, visible_labels: list[str], streams: bool = False) -> Bank:
    """The same, read now, or to be streamed."""
    source = source_of(shards, systems, visible_labels=visible_labels)
    return source if streams else source.kept()


@contextmanager
def warm_lanes(share: Share, clips: Bank, *, num_classes: int, scratch: Path) -> Iterator[list[Lane]]:
    """Warm lanes for the length of a block; they quit one beside the other."""
    if share.inline:
        yield []
        return
    settings = LaneSettings(config=share.lane, num_classes=num_classes, storage=scratch)
    lanes = [Lane(name_lane(number), clips, settings) for number in range(share.count)]
    list_lanes([lane.name for lane in lanes])
    try:
        yield lanes
        for lane in lanes:
            lane.ask_to_quit()
        for lane in lanes:
            lane.join(QUIT_S)
    finally:
        # Ray is shut down next; no thread may wait in it then.
        for lane in lanes:
            lane.abandon()
        for lane in lanes:
            lane.join(QUIT_S)
