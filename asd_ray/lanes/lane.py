"""Warm lanes: persistent Ray Train groups that serve trials one after another.

    driver:   lane = Lane(...)      starts a Train run in a thread and owns it; it outlives all trials
    workers:  serve(...)            take the clips in once, then serve commands until `quit`
    anyone:   link = Link(mailbox, owner); link.start(order); link.epoch(to=1)

Starting a Train worker group costs ten seconds and more; the next trial on a warm one begins within a tenth of a
second. When a worker dies, Train restarts the group, the group says hello with a new life, and the link sends its
trial and the command again: the trial goes on from its state file.
"""

import contextlib
import threading
import uuid
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.train

from asd_ray.cluster.placement import on_this_node
from asd_ray.cluster.shared_disk import Sight
from asd_ray.config import LaneConfig
from asd_ray.data.bank import Bank
from asd_ray.files.paths import ray_storage
from asd_ray.lanes.controller import (
    WORK,
    AbandonedError,
    OwnedTrainer,
    TellDeath,
    Tether,
    cause_of,
    controller_failure,
    serve_in_worker,
)
from asd_ray.lanes.handover import LaneWork
from asd_ray.lanes.link import Handle
from asd_ray.lanes.mailbox import Closing, LaneEnd, Mailbox


def name_lane(number: int) -> str:
    """A name that no lane of another search in this cluster has."""
    return f"lane-{number}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    config: LaneConfig
    num_classes: int
    storage: Path  # holds Train's own files, which are disposable
    sight: Sight | None = None  # the files that workers on other machines must see, too


class Lane:
    """One persistent Train run, started and owned by the driver."""

    def __init__(self, name: str, clips: "Future[Bank]", settings: LaneSettings) -> None:
        """The workers may start before `clips` have been read."""
        self.name, self._clips, self._settings = name, clips, settings
        # The mailbox costs no CPU, and Ray restarts it if it is killed: the group then says hello again.
        # It sits on the driver's node: so it outlives every other node, and keeps none from being given back.
        actor: Any = ray.remote(Mailbox)
        self.mailbox: Handle = actor.options(
            name=name,
            num_cpus=0,
            label_selector=on_this_node(),
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=100,
        ).remote(name)
        self._ended = threading.Event()
        self._tether = Tether()
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)
        self._thread.start()

    @property
    def waits_for_room(self) -> bool:
        """Whether its workers have asked for room: they wait for it, or have it."""
        return self._tether.group is not None

    def _run(self) -> None:
        """Run Train, which restarts dead workers; if it cannot, the lane ends and says why."""
        closing = Closing(LaneEnd.QUIT)
        try:
            self._trainer().fit()
        except AbandonedError:
            closing = Closing(LaneEnd.ABANDONED)
        except Exception as error:  # Train raises errors of any kind, from any of its threads
            closing = Closing(LaneEnd.FAILED, cause_of(controller_failure(error)))
        if not self._tether.is_cut():  # if it is, Ray may be shut down next, and would end a process that calls it
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self.mailbox.close.remote(closing))
        self._ended.set()

    def _trainer(self) -> OwnedTrainer:
        config = self._settings.config
        resources = {"CPU": config.cpus} | ({"GPU": config.gpus} if config.gpus else {})
        return OwnedTrainer(
            serve_in_worker,
            clips=self._clips,
            tether=self._tether,
            mailbox=self.mailbox,
            train_loop_config={
                WORK: LaneWork(
                    mailbox=self.mailbox,
                    num_classes=self._settings.num_classes,
                    resident=config.resident,
                    sight=self._settings.sight,
                    cpus=config.cpus,
                    gpus=config.gpus or 1.0,
                )
            },
            scaling_config=ray.train.ScalingConfig(
                num_workers=config.workers, use_gpu=bool(config.gpus), resources_per_worker=resources
            ),
            run_config=ray.train.RunConfig(
                name=self.name,
                **ray_storage(self._settings.storage),
                failure_config=ray.train.FailureConfig(max_failures=-1),  # links count failures per trial
                callbacks=[TellDeath(self.mailbox)],  # type: ignore[list-item]
            ),
        )

    def give_up(self, closing: Closing) -> None:
        """End now, whatever its workers do, for example because its node has gone; waiting links learn why."""
        if self._ended.is_set():
            return
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self.mailbox.close.remote(closing))
        self.abandon()

    def ask_to_quit(self) -> None:
        """Have the group end after its present command. Ask all lanes first, then join them."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self.mailbox.stop.remote())

    def abandon(self) -> None:
        """End at once, without waiting for the present epoch: Ray is about to be shut down."""
        if not self._ended.is_set():
            self._tether.cut()

    def join(self, timeout: float) -> bool:
        return self._ended.wait(timeout)
