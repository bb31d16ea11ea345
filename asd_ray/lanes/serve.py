"""The Train loop of a lane's workers: they take the clips in once, then serve commands until `quit`."""

import os
import threading
import uuid

import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed
from ray.train.collective import broadcast_from_rank_zero

from asd_ray.data.bank import take_in
from asd_ray.lanes.handover import LaneWork, handed_over
from asd_ray.lanes.link import Handle
from asd_ray.lanes.mailbox import Numbered
from asd_ray.lanes.memory_guard import watch_memory
from asd_ray.training.messages import Ending, Quit
from asd_ray.training.server import Server

BEAT_S = 2.0
POLL_S = 5.0
LAST_WORDS_S = 2.0  # waits no longer for the mailbox, because memory fills further meanwhile


def serve(work: LaneWork) -> None:
    """The Train loop of one worker. Rank 0 takes commands from the mailbox and passes them on."""
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    mailbox = work.mailbox
    life: str = uuid.uuid4().hex
    life = broadcast_from_rank_zero(life) if world > 1 else life
    here = ray.get_runtime_context()
    ray.get(mailbox.enlist.remote(life, here.current_actor, here.get_node_id()))
    watch_memory(lambda words: ray.get(mailbox.died.remote(words), timeout=LAST_WORDS_S))
    try:
        server = _come_up(work, rank=rank, world=world)
    except Exception as error:  # else Train would start the group again for ever, and nobody would know why
        if ray.get(mailbox.stumbled.remote(f"{type(error).__name__}: {error}")):
            return
        raise
    if rank == 0:
        ray.get(mailbox.hello.remote(life))
        threading.Thread(target=_beat, args=(mailbox, life), daemon=True).start()
    _serve_commands(server, mailbox, life=life, rank=rank, world=world)


def _come_up(work: LaneWork, *, rank: int, world: int) -> Server:
    """Check that this machine sees the files, and take in the clips."""
    if work.sight is not None:
        work.sight.check()
    if not torch.cuda.is_available():
        torch.set_num_threads(max(1, int(work.cpus)))
    device = ray.train.torch.get_device()
    clips = take_in(handed_over(), work.resident, device, gpu_share=work.gpus)
    wrap = _data_parallel if world > 1 else _alone
    return Server(clips, num_classes=work.num_classes, device=device, rank=rank, world=world, wrap=wrap)


def _alone(module: torch.nn.Module) -> torch.nn.Module:
    return module


def _data_parallel(module: torch.nn.Module) -> torch.nn.Module:
    return ray.train.torch.prepare_model(module)


def _beat(mailbox: Handle, life: str) -> None:
    try:
        while ray.get(mailbox.beat.remote(life)):
            threading.Event().wait(BEAT_S)
        # Ray restarted the mailbox, which needs a new group: now, and not after the present epoch.
        os._exit(1)
    except ray.exceptions.RayError:
        return  # the mailbox is gone, and with it the driver


def _serve_commands(server: Server, mailbox: Handle, *, life: str, rank: int, world: int) -> None:
    done = 0
    while True:
        command = _next_command(mailbox, life, after=done) if rank == 0 else None
        if world > 1:  # every rank must do the same commands in the same order
            box: list[Numbered | None] = [command]
            torch.distributed.broadcast_object_list(box, src=0)
            command = box[0]
        assert command is not None
        done = command.number
        if isinstance(command.command, Quit):
            if rank == 0:
                ray.get(mailbox.answer.remote(life, done, None))
            return
        answer = server.do(command.command)
        if rank == 0 or isinstance(answer, Ending):
            ray.get(mailbox.answer.remote(life, done, answer))
        if world > 1 and isinstance(answer, Ending):
            # The other ranks may wait for ever in a collective operation: let Train start the group anew.
            raise RuntimeError(answer.reason)


def _next_command(mailbox: Handle, life: str, *, after: int) -> Numbered:
    while True:
        command: Numbered | None = ray.get(mailbox.next.remote(life, after, POLL_S))
        if command is not None:
            return command
