#!/usr/bin/env python
"""Seconds per epoch on a GPU, against the plain way and the floor, in one run; imports no ray.

    make bench-gpu

An epoch of 20,119 clips (the development and additional training data of DCASE 2020 Task 2) is timed over part of
its batches and multiplied. Lanes: so many processes that train side by side on one GPU.

    python benchmarks/gpu.py --device cpu --clips 64 --batches 2 --width 0.0625    # that it runs, anywhere
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import baseline
import torch
from pieces import NUM_CLASSES, in_memory, make_clips

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Clips, OnDevice
from asd_ray.models import build_module
from asd_ray.training.loop import Training

EPOCH_CLIPS = 20_119
# Of one H200: arithmetic of the tensor cores, and memory traffic of eager bfloat16 (assumed 4.3 TB/s).
FLOOR_S = {"arithmetic": 0.12, "memory, fused": 0.68, "memory, eager": 1.33}
VARIANTS = {
    "float32": ["train.compile=never"],
    "tf32": ["train.compile=never", "train.precision=tf32"],
    "bfloat16": ["train.compile=never", "train.precision=bfloat16"],
    "bfloat16 compiled": ["train.compile=always", "train.precision=bfloat16"],
}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def epoch_seconds(work: Callable[[], int], device: torch.device, *, rounds: int) -> float:
    """Of EPOCH_CLIPS clips at the pace of `work`, which gives the number of clips that it trained on."""
    work()  # compiles, picks algorithms
    wait(device)
    began = time.perf_counter()
    clips = sum(work() for _ in range(rounds))
    wait(device)
    return (time.perf_counter() - began) * EPOCH_CLIPS / clips


def ours(clips: Clips, variant: str, *, device: torch.device, batch_size: int, width: float) -> Callable[[], int]:
    settings = [f"train.batch_size={batch_size}", f"model.width={width}", *VARIANTS[variant]]
    training = Training(
        replace_settings(RunConfig(), settings),
        clips,
        num_classes=NUM_CLASSES,
        machine_types=["fan"],
        device=device,
    )

    def work() -> int:
        training.train_epoch()
        return len(training.train_index)

    return work


def plain(clips: baseline.InMemory, *, device: torch.device, batch_size: int, width: float) -> Callable[[], int]:
    """Clips in host memory, collated and copied batch by batch."""
    classifier = build_module("tastgram", width=width, class_types=["fan"] * NUM_CLASSES).to(device)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-4)
    loader = baseline.batches(clips, batch_size=batch_size)

    def work() -> int:
        for wave_BL, sgram_BFT, class_B in loader:
            baseline.train_step(
                classifier.train(),
                optimizer,
                wave_BL=wave_BL.to(device),
                sgram_BFT=sgram_BFT.to(device),
                class_B=class_B.to(device),
            )
        return len(clips)

    return work


def lanes(count: int, arguments: argparse.Namespace) -> float:
    """Epochs per hour of so many processes side by side on one GPU, together."""
    command = [sys.executable, str(Path(__file__)), "--one", "bfloat16", "--device", arguments.device]
    for name in ("clips", "batches", "width"):
        command += [f"--{name}", str(getattr(arguments, name))]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    seconds = [float(process.communicate()[0].splitlines()[-1]) for process in running]
    return sum(3600 / each for each in seconds)


def profile(work: Callable[[], int], device: torch.device) -> str:
    """Where the time of an epoch goes."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    work()
    with torch.profiler.profile(activities=kinds) as profiled:
        work()
        wait(device)
    order = f"self_{device.type}_time_total"
    return str(profiled.key_averages().table(sort_by=order, row_limit=15, max_name_column_width=60))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--clips", type=int, default=2048, help="resident clips")
    parser.add_argument("--batches", type=int, default=3, help="passes over them that are timed")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--lanes", type=int, nargs="*", default=[1, 2, 4])
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)  # of several lanes
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("no GPU here: --device cpu --clips 64 --width 0.0625 shows that it runs")
    host = make_clips(arguments.clips)
    on_device = OnDevice(host, device)
    if arguments.one:
        work = ours(on_device, arguments.one, device=device, batch_size=64, width=arguments.width)
        print(epoch_seconds(work, device, rounds=arguments.batches))
        return
    for batch_size in (64, 256):
        in_host = in_memory(host)
        work = plain(in_host, device=device, batch_size=batch_size, width=arguments.width)
        slow = epoch_seconds(work, device, rounds=1)
        show(f"plain, batch {batch_size}", slow, against=slow)
        for variant in VARIANTS:
            work = ours(on_device, variant, device=device, batch_size=batch_size, width=arguments.width)
            seconds = epoch_seconds(work, device, rounds=arguments.batches)
            show(f"{variant}, batch {batch_size}", seconds, against=slow)
        del in_host
    print(profile(ours(on_device, "bfloat16", device=device, batch_size=64, width=arguments.width), device))
    for count in arguments.lanes:
        print(json.dumps({"lanes": count, "epochs_per_hour": round(lanes(count, arguments), 1)}), flush=True)


def show(name: str, seconds: float, *, against: float) -> None:
    floor = {bound: round(limit / seconds, 2) for bound, limit in FLOOR_S.items()}
    row = {"way": name, "s_per_epoch": round(seconds, 3), "ratio": round(against / seconds, 1), "of_floor": floor}
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
