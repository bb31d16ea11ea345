"""Measures the time and memory of a training step on this machine, on noise, with all lanes at work side by side.

Every lane is a process of its own that trains the real network in the real loop, and gets its memory as a lane of
Ray Train does. Lanes share caches and memory, so an estimate from one process alone would be wrong by half.

Axes: N clips, L samples.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from statistics import fmean

import numpy as np
import psutil
import torch

from asd_ray.clip import NUM_SAMPLES
from asd_ray.cluster.allocator import children_like_lanes
from asd_ray.config import RunConfig, replace
from asd_ray.data.resident import PCM_SCALE, Block, Labels, OnDevice, Resident
from asd_ray.errors import InputError
from asd_ray.models import find_system
from asd_ray.models.sgram import LogMel
from asd_ray.training.loop import Training

MOST_AT_ONCE = 8  # measure at most this many lanes side by side
LONGEST_S = 2.0  # measuring time for all systems together; one step of each is measured however long it takes
START_S = 600.0  # the lanes wait so long for each other: on a busy machine they take a while to come up


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The pace of one lane with the others at work: seconds per clip, and bytes at the end of a step."""

    train_s: float
    read_s: float
    host_bytes: int  # resident memory of the lane's process
    gpu_bytes: int


_together: Barrier | None = None


def measure_pace(
    config: RunConfig, *, class_types: Sequence[str], lanes: int, on_gpu: bool, systems: Sequence[str] = ()
) -> Pace:
    """The pace of trials of this config, with `lanes` of them (at most MOST_AT_ONCE) side by side.

    `class_types`: the machine type of each class, for systems with a network per machine type. `systems`: all that
    a trial may have, or empty for the config's; seconds are their mean, bytes those of one after the other.
    Raises InputError if the machine does not have enough memory.
    """
    count = min(lanes, MOST_AT_ONCE)
    context = multiprocessing.get_context("spawn")  # torch would hang in a forked process
    barrier = context.Barrier(count)
    try:
        with ProcessPoolExecutor(count, mp_context=context, initializer=_share, initargs=(barrier,)) as pool:
            with children_like_lanes():
                given = config, tuple(class_types), on_gpu, tuple(systems)
                asked = [pool.submit(_measure, *given) for _ in range(count)]
            paces = [one.result() for one in asked]
    except (BrokenProcessPool, torch.OutOfMemoryError, threading.BrokenBarrierError) as error:
        raise InputError(
            f"{count} lanes of train.batch_size={config.train.batch_size}, model.width={config.model.width:g} "
            f"could not train one step side by side ({type(error).__name__}: most likely too little memory); "
            "set fewer --lanes, a smaller train.batch_size (or batch_size in the search space), or a smaller "
            "model.width"
        ) from error
    return Pace(
        train_s=fmean(pace.train_s for pace in paces),
        read_s=fmean(pace.read_s for pace in paces),
        host_bytes=max(pace.host_bytes for pace in paces),
        gpu_bytes=max(pace.gpu_bytes for pace in paces),
    )


def _share(barrier: Barrier) -> None:
    global _together
    _together = barrier


def _measure(config: RunConfig, class_types: Sequence[str], on_gpu: bool, systems: Sequence[str] = ()) -> Pace:
    """Measure the pace of one lane, in a process of its own that waits for those of the other lanes."""
    if not on_gpu:
        torch.set_num_threads(max(1, int(config.lanes.cpus)))
    names = systems or [config.model.name]
    paces = [
        _measure_one(
            replace(config, {("train", "compile"): "never", ("model", "name"): name}, where="warm-up"),
            class_types,
            device=torch.device("cuda" if on_gpu else "cpu"),
            longest_s=LONGEST_S / len(names),
        )
        for name in names
    ]
    return Pace(
        train_s=fmean(pace.train_s for pace in paces),
        read_s=fmean(pace.read_s for pace in paces),
        host_bytes=max(pace.host_bytes for pace in paces),
        gpu_bytes=max(pace.gpu_bytes for pace in paces),
    )


def _measure_one(config: RunConfig, class_types: Sequence[str], *, device: torch.device, longest_s: float) -> Pace:
    """The pace of one system."""
    on_gpu = device.type == "cuda"
    batch_size, to_sgram = config.train.batch_size, LogMel(find_system(config.model.name).mel)

    def training(clips: int) -> Training:
        here = noise(max(batch_size, len(class_types)), train=clips, class_types=class_types, to_sgram=to_sgram)
        there = OnDevice(here, device) if on_gpu else here
        types = tuple(dict.fromkeys(class_types))
        return Training(config, there, num_classes=len(class_types), machine_types=types, device=device)

    small = training(2)  # does what is slow only the first time: loading libraries, choosing kernels
    small.train_epoch()
    small.read(small.train_index)
    whole = training(batch_size)
    assert _together is not None
    _together.wait(START_S)
    train_s = _seconds(whole.train_epoch, on_gpu=on_gpu, longest_s=longest_s) / batch_size
    read_s = _seconds(lambda: whole.read(whole.train_index), on_gpu=on_gpu, longest_s=longest_s) / batch_size
    _together.wait(START_S)  # no process leaves before all have measured
    return Pace(
        train_s=train_s,
        read_s=read_s,
        host_bytes=psutil.Process().memory_info().rss,
        gpu_bytes=torch.cuda.max_memory_reserved() if on_gpu else 0,
    )


def _seconds(work: Callable[[], object], *, on_gpu: bool, longest_s: float) -> float:
    """The mean time of `work`, repeated until `longest_s` seconds are over."""
    began, count = time.perf_counter(), 0
    while not count or time.perf_counter() - began < longest_s:
        work()
        count += 1
        if on_gpu:
            torch.cuda.synchronize()
    return (time.perf_counter() - began) / count


def noise(
    count: int, *, train: int, class_types: Sequence[str], to_sgram: Callable[[torch.Tensor], torch.Tensor]
) -> Resident:
    """`count` clips of noise, of all classes in turn; the first `train` of them are training clips."""
    rng = np.random.default_rng(0)
    pcm_NL = rng.integers(-3000, 3000, (count, NUM_SAMPLES), dtype=np.int16)
    sgrams = [to_sgram(torch.from_numpy(pcm_L.astype(np.float32) * np.float32(PCM_SCALE))) for pcm_L in pcm_NL]
    class_index = np.arange(count, dtype=np.int64) % len(class_types)
    labels = Labels(
        clip_id=np.array([f"{number:06d}" for number in range(count)]),
        split=np.where(np.arange(count) < train, "train", "valid"),
        machine_type=np.array(class_types)[class_index],
        machine_id=np.array([f"id_{number:02d}" for number in class_index]),
        class_index=class_index,
        is_anomaly=np.zeros(count, np.int8),
    )
    return Resident(labels, [Block(pcm_NL, torch.stack(sgrams).half().numpy())], np.arange(count))
