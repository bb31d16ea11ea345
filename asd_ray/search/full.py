"""One config trained in full, on one lane of one or many workers; goes on from its state when called again."""

from collections.abc import Callable
from pathlib import Path

from asd_ray.config import RunConfig
from asd_ray.runtime import local_ray
from asd_ray.search.resources import share_out
from asd_ray.search.runfolder import Plan
from asd_ray.search.tuner import read_clips, scratch_folder, store_size, warm_lanes
from asd_ray.training.link import LaneError, acquire
from asd_ray.training.trial import Order, Report


class TrainingFailedError(Exception):
    """The training diverged, or its workers died too often."""


def train_full(
    folder: Path,
    shards: Path,
    config: RunConfig,
    *,
    plan: Plan,
    machine_types: tuple[str, ...],
    on_epoch: Callable[[Report], None],
) -> None:
    """Train in `folder` (state.pt, metrics.json, scores.parquet); every epoch's report is handed on.

    Raises InputError when the lane does not fit the machine, TrainingFailedError when the training fails.
    """
    clips = sum(shard.rows for shard in plan.manifest.shards)
    epochs = config.train.epochs
    order = Order(
        config=config,
        machine_types=machine_types,
        score_at=(epochs,),
        folder=str(folder.resolve()),
        corpus=plan.identity,
    )
    with scratch_folder(folder) as scratch, local_ray(object_store_bytes=store_size(clips)):
        share = share_out(config.lanes, trials=1, clips=clips)
        dataset = read_clips(shards, config, visible_labels=plan.visible_labels)
        num_classes = len(plan.manifest.classes)
        with warm_lanes(share, dataset, num_classes=num_classes, scratch=scratch) as (lane,):
            try:
                link = acquire([lane.mailbox], owner="train")
                report = link.start(order)
                for epoch in range(1, epochs + 1):
                    if "failed" not in report:
                        report = link.epoch(epoch)
                    if "failed" in report:
                        raise TrainingFailedError(report["failed"])
                    on_epoch(report)
            except LaneError as error:
                raise TrainingFailedError(str(error)) from error
