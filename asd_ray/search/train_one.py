"""Train one config in full, on one lane of one or more workers. A second call goes on from the saved state."""

from collections.abc import Callable
from pathlib import Path

from asd_ray.cluster.runtime import local_ray
from asd_ray.config import RunConfig
from asd_ray.data.ahead import fulfilled
from asd_ray.errors import EnvironmentFailure
from asd_ray.lanes.link import LaneError, acquire
from asd_ray.lanes.opening import read_clips, warm_lanes
from asd_ray.lanes.sizes import make_room, share_out
from asd_ray.search.driver import scratch_folder
from asd_ray.search.runfolder import Plan
from asd_ray.search.trial_runner import Commander
from asd_ray.training.messages import End, Ending, EpochReport, TrialOrder


class TrainingFailedError(Exception):
    """The training diverged, or its workers died too often."""


def train_full(
    folder: Path,
    shards: Path,
    config: RunConfig,
    *,
    plan: Plan,
    machine_types: tuple[str, ...],
    on_epoch: Callable[[EpochReport], None],
) -> None:
    """Train in `folder` (state.pt, metrics.json, scores.parquet), and pass every epoch's report to `on_epoch`.

    Raises InputError when the lane does not fit the machine, EnvironmentFailure when the disk fails, and
    TrainingFailedError when the training fails.
    """
    clips = plan.num_clips
    order = TrialOrder(
        config=config,
        machine_types=machine_types,
        score_at=(config.train.epochs,),
        folder=str(folder.resolve()),
        corpus=plan.identity,
    )
    room = make_room(clips, config.lanes)
    with scratch_folder(folder) as scratch, local_ray(object_store_bytes=room.store_bytes):
        share = share_out(config.lanes, trials=1, clips=0 if room.streams else clips)
        bank = read_clips(shards, [config.model.name], visible_labels=plan.visible_labels, streams=room.streams)
        num_classes = len(plan.machines)
        with warm_lanes(share, fulfilled(bank), num_classes=num_classes, scratch=scratch) as (lane,):
            try:
                link = acquire(lambda: [lane.mailbox], owner="train", deadline=config.lanes.deadline)
                train_epochs(link, order, on_epoch=on_epoch)
            except LaneError as error:
                raise TrainingFailedError(str(error)) from error


def train_epochs(commander: Commander, order: TrialOrder, *, on_epoch: Callable[[EpochReport], None]) -> None:
    """Train an order epoch by epoch. Raises TrainingFailedError, and EnvironmentFailure when the disk fails."""
    begun = commander.start(order)
    for epoch in range(1, order.config.train.epochs + 1):
        report = begun if isinstance(begun, Ending) else commander.epoch(epoch)
        if isinstance(report, Ending):
            if report.end is End.BROKEN:
                raise EnvironmentFailure(report.reason)
            raise TrainingFailedError(report.reason)
        on_epoch(report)
