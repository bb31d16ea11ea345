"""Warm lanes: persistent Ray Train groups that serve trials one after another.

    driver:   lane = Lane(...)      starts a Train run in a thread and owns it; it outlives all trials
    workers:  serve(...)            the Train loop: take the clips in once, then serve commands until `quit`
    anyone:   link = Link(mailbox, owner); link.start(order); link.epoch(to=1)

Starting a Train worker group costs ten seconds and more; the next trial on a warm one begins in a tenth. When a
worker dies, Train restarts the group, the group says hello with a new life, and the link sends its trial and the
command again: the trial goes on from its state file.
"""

import contextlib
import os
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import ray.data
import ray.train
import torch
import torch.distributed
from ray._raylet import PlacementGroupID
from ray.train.collective import broadcast_from_rank_zero
from ray.train.torch import TorchTrainer
from ray.util.placement_group import PlacementGroup, remove_placement_group

from asd_ray.config import LaneConfig
from asd_ray.data.bank import place
from asd_ray.data.blocks import collect
from asd_ray.training.link import Handle
from asd_ray.training.mailbox import QUIT, Command, Mailbox
from asd_ray.training.server import Server

BEAT_S = 2.0
POLL_S = 5.0
CONTROLLER_RESTARTS = 3
# Train's own settings, read by its controller: quick to notice a dead worker, nothing that lanes do not need.
TRAIN_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
}


# -- the workers' side


def serve(loop_config: dict[str, Any]) -> None:
    """The Train loop of one worker. Rank 0 takes commands from the mailbox and passes them on."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    mailbox = loop_config["mailbox"]
    life = broadcast_from_rank_zero(uuid.uuid4().hex if rank == 0 else None)
    try:
        server, about = _come_up(loop_config, rank=rank, world=world)
    except Exception as error:  # Train would start it again for ever, and nobody would know why
        if ray.get(mailbox.stumbled.remote(f"its workers cannot start: {type(error).__name__}: {error}")):
            return
        raise
    if rank == 0:
        ray.get(mailbox.hello.remote(life, about))
        threading.Thread(target=_beat, args=(mailbox, life), daemon=True).start()
    _serve_commands(server, mailbox, life=life, rank=rank, world=world)


def _come_up(loop_config: dict[str, Any], *, rank: int, world: int) -> tuple[Server, dict[str, Any]]:
    """Take in the clips; the server, and what there is to say of it."""
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, int(loop_config["cpus"])))
    device = ray.train.torch.get_device()
    shard = ray.train.get_dataset_shard("clips")
    resident = collect(shard.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
    clips, where = place(resident, loop_config["resident"], device, gpu_share=loop_config["gpus"])
    wrap = _data_parallel if world > 1 else _alone
    server = Server(
        clips, num_classes=loop_config["num_classes"], device=device, rank=rank, world=world, wrap=wrap
    )
    group = ray.util.get_current_placement_group()
    assert group is not None, "Train puts its workers into a placement group"
    return server, {"placement_group": group.id.hex(), "where": where}


def _alone(module: torch.nn.Module) -> torch.nn.Module:
    return module


def _data_parallel(module: torch.nn.Module) -> torch.nn.Module:
    return ray.train.torch.prepare_model(module)


def _beat(mailbox: Handle, life: str) -> None:
    try:
        while True:
            ray.get(mailbox.beat.remote(life))
            threading.Event().wait(BEAT_S)
    except ray.exceptions.RayError:
        return  # the mailbox is gone, and with it the driver


def _serve_commands(server: Server, mailbox: Handle, *, life: str, rank: int, world: int) -> None:
    done = 0
    while True:
        command = _next_command(mailbox, life, after=done) if rank == 0 else None
        if world > 1:  # the same commands in the same order on every rank
            box: list[Command | None] = [command]
            torch.distributed.broadcast_object_list(box, src=0)
            command = box[0]
        assert command is not None
        done = command.number
        if command.name == QUIT:
            if rank == 0:
                ray.get(mailbox.answer.remote(life, done, {}))
            return
        answer = server.do(command.name, command.arguments)
        if rank == 0 or {"failed", "broken"} & set(answer):
            ray.get(mailbox.answer.remote(life, done, answer))
        if world > 1 and (trouble := answer.get("failed") or answer.get("broken")):
            # The other ranks may wait in a collective for ever: let Train start the group anew.
            raise RuntimeError(trouble)


def _next_command(mailbox: Handle, life: str, *, after: int) -> Command:
    while True:
        command: Command | None = ray.get(mailbox.next.remote(life, after, POLL_S))
        if command is not None:
            return command


# -- the driver's side


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    config: LaneConfig
    num_classes: int
    storage: Path  # Train's own files; disposable


class Lane:
    """One persistent Train run, started and owned by the driver."""

    def __init__(self, name: str, clips: ray.data.Dataset, settings: LaneSettings) -> None:
        for key, value in TRAIN_ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        self.name, self._clips, self._settings = name, clips, settings
        # It costs no CPU, and comes back if it is killed: the group then says hello again.
        actor: Any = ray.remote(Mailbox)
        self.mailbox: Handle = actor.options(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=100
        ).remote()
        self._ended = threading.Event()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, daemon=True, name=name)
        self._thread.start()

    def _run(self) -> None:
        """Train restarts dead workers; this restarts a dead controller, and frees what it leaves behind."""
        why = ""
        for attempt in range(1 + CONTROLLER_RESTARTS):
            try:
                self._trainer(attempt).fit()
                why = "asked to quit"
                break
            except Exception as error:  # of any kind: the lane ends, and says why
                why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                if self._abandoned:
                    break  # Ray is gone, and ends a process that calls it nonetheless
                self._free_placement_group()
        if not self._abandoned:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.get(self.mailbox.close.remote(why))
        self._ended.set()

    def _trainer(self, attempt: int) -> TorchTrainer:
        config = self._settings.config
        resources = {"CPU": config.cpus} | ({"GPU": config.gpus} if config.gpus else {})
        return TorchTrainer(
            serve,
            train_loop_config={
                "mailbox": self.mailbox,
                "num_classes": self._settings.num_classes,
                "resident": config.resident,
                "cpus": config.cpus,
                "gpus": config.gpus or 1.0,
            },
            datasets={"clips": self._clips},
            dataset_config=ray.train.DataConfig(datasets_to_split=[]),  # every worker takes in every clip
            scaling_config=ray.train.ScalingConfig(
                num_workers=config.workers, use_gpu=bool(config.gpus), resources_per_worker=resources
            ),
            run_config=ray.train.RunConfig(
                name=f"{self.name}-{attempt}",
                storage_path=str(self._settings.storage),
                failure_config=ray.train.FailureConfig(max_failures=-1),  # links count failures per trial
            ),
        )

    def _free_placement_group(self) -> None:
        """A killed controller leaves its placement group behind, and with it the CPUs of the lane."""
        try:
            group = ray.get(self.mailbox.about.remote()).get("placement_group")
        except ray.exceptions.RayError:
            return
        if group:
            remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))

    def ask_to_quit(self) -> None:
        """The group ends after the command in hand. Ask all lanes first, then join them."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self.mailbox.stop.remote())

    def abandon(self) -> None:
        """Ray is about to be shut down: leave it alone from now on."""
        self._abandoned = True

    def join(self, timeout: float) -> bool:
        return self._ended.wait(timeout)
