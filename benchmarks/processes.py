"""The training step in one process and in two at the same time, without Ray: how far the machine itself scales.

    python benchmarks/processes.py --way "ours compiled"

Beside `node.py --what two`, which trains in two lanes: the difference is what Ray's own processes take.

Prints JSON: steps per minute of one process, of two together, by turns, and the ratios.
"""

import argparse
import json
import multiprocessing
import time
from multiprocessing.synchronize import Barrier

import torch
from pieces import STEP_BATCH, make_clips, make_training

from asd_ray.cluster.allocator import children_like_lanes

WARM_UP = 2  # steps; the first compiles


def train(way: str, seconds: float, start: Barrier, rates: "multiprocessing.Queue[float]") -> None:
    """Steps of a batch of 32 by one thread, from when all are warm, for some seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    training = make_training(make_clips(STEP_BATCH), way)
    for _ in range(WARM_UP):
        training.train_epoch()
    start.wait()
    steps, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        training.train_epoch()
        steps += 1
    rates.put(60 * steps / (time.monotonic() - began))
    start.wait()  # nobody has both cores to itself before all have ended


def together(count: int, way: str, seconds: float) -> float:
    """Steps per minute of so many processes, added up."""
    context = multiprocessing.get_context("spawn")
    start, rates = context.Barrier(count), context.Queue()
    processes = [context.Process(target=train, args=(way, seconds, start, rates)) for _ in range(count)]
    for process in processes:
        process.start()
    total = sum(rates.get() for _ in processes)
    for process in processes:
        process.join()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--way", choices=["ours", "ours compiled"], default="ours")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--turns", type=int, default=2)
    arguments = parser.parse_args()
    with children_like_lanes():
        pairs = [
            [together(count, arguments.way, arguments.seconds) for count in (1, 2)] for _ in range(arguments.turns)
        ]
    one, two = ([round(rate, 2) for rate in rates] for rates in zip(*pairs, strict=True))
    ratios = [round(both / single, 2) for single, both in pairs]
    print(json.dumps({"one": one, "two": two, "ratio": ratios}))


if __name__ == "__main__":
    main()
