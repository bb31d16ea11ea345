#!/usr/bin/env python
"""A whole search and its parts against the plain way: warm lanes, one bank for all of them, two cores.

    python benchmarks/lanes.py                  # some six minutes on two cores
    python benchmarks/lanes.py --full           # three turns of everything
    python benchmarks/lanes.py --only search    # or memory, epoch, two

Plain is `baseline_tune.py`, ours `scripted.py`: the same recordings, as many trials, the same numbers of epochs,
each in a process of its own, by turns. One JSON line and one readable line per row. It is wall-clock time, so the
machine must be idle.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.pairs import run
from benchmarks.sounds import rounded, write_sounds

HERE = Path(__file__).parent
AT_ONCE = 2
# Pruning as it is by default: of twelve trials the published one and the best third pass the rung at a third.
EPOCHS, RUNG = 6, 2
SCRIPT = (6, 2, 2, 6, 2, 2, 6, 2, 2, 2, 6, 2)
TRAIN, TEST, WIDTH, BATCH = 96, 48, 0.125, 32
FEW, MANY = 480, 1920  # clips
Found = dict[str, Any]
Row = dict[str, Any]


def first_batch_row(plain: Sequence[Found], ours: Sequence[Found]) -> Row:
    """From the call of the trainable (plain), or the proposal (ours), to the first batch in hand."""
    before = [one for found in plain for one in found["first_batch_s"]]
    after = [one for found in ours for one in warm(found["first_batch_s"], found["lane"])]
    return {
        "name": "second and later trials of a lane, from proposed to first batch",
        "against": "one TorchTrainer per trial, from its call to its first batch",
        **compared(median(before), median(after), unit="s/trial"),
        "ours_longest": round(max(after), 3),
        "plain_shortest": round(min(before), 3),
        "plain_until_worker": round(median([one for found in plain for one in found["worker_s"]]), 3),
        "trials": [len(before), len(after)],
    }


def warm(values: Sequence[float], lanes: Sequence[str]) -> list[float]:
    """Without the first one of each lane.

    >>> warm([9.0, 8.0, 0.1, 0.2], ["a", "b", "b", "a"])
    [0.1, 0.2]
    """
    return [value for at, value in enumerate(values) if lanes[at] in lanes[:at]]


def search_row(plain: Sequence[Found], ours: Sequence[Found]) -> Row:
    """Wall-clock time of the whole, Ray's start included, ours with preparing shards and the report."""
    if {found["epochs"] for found in [*plain, *ours]} != {plain[0]["epochs"]}:
        raise ValueError("the two ways trained different numbers of epochs")
    return {
        "name": f"search of {len(plain[0]['first_batch_s'])} trials, {plain[0]['epochs']} epochs in all",
        "against": "stock Tune with one TorchTrainer per trial, the same epochs",
        **compared(
            median(found["seconds"] for found in plain), median(found["seconds"] for found in ours), unit="s"
        ),
        # Added over all trials, whichever ran beside each other.
        "ours_training": round(median(sum(found["training_s"]) for found in ours), 1),
        "plain_training": round(median(sum(found["training_s"]) for found in plain), 1),
        "ours_until_first_batch": round(median(found["start_s"] for found in ours), 1),
    }


def memory_row(few: Found, many: Found) -> Row:
    """Megabytes per clip from two sizes of corpus: object store and workers together, every clip read."""
    difference = many["clips"] - few["clips"]

    def held(found: Found, lanes: int) -> float:
        at = found["memory"][lanes - 1]
        return float(at["store_pages_mb"] + at["workers_mb"])

    per_clip = {lanes: (held(many, lanes) - held(few, lanes)) / difference for lanes in (1, 2)}
    return {
        "name": "memory per clip on one node, two lanes",
        "against": "waves and log-mels as float32 in each of two processes",
        **compared(2 * few["plain_mb_per_clip"], per_clip[2], unit="MB/clip"),
        "ours_one_lane": round(per_clip[1], 3),
        "store_mb_per_clip": round(many["memory"][1]["store_pages_mb"] / many["clips"], 4),
        "clips": [few["clips"], many["clips"]],
        "one_lane_mb": [round(held(found, 1)) for found in (few, many)],
        "second_lane_adds_mb": [round(held(found, 2) - held(found, 1)) for found in (few, many)],
    }


def epoch_row(found: Found) -> Row:
    """All training clips in batches of 64, without training."""
    shared, stream = found["epoch"]["shared_s"], found["epoch"]["stream_s"]
    return {
        "name": f"epoch of {found['epoch']['clips']} clips, shared, without training",
        "against": "the same epoch streamed",
        **compared(median(stream), median(shared), unit="s"),
        "single": [round(two / one, 1) for one, two in zip(shared, stream, strict=True)],
    }


def two_row(found: Found) -> Row:
    """Clip-epochs per second of two lanes at once over those of one."""
    pairs = list(zip(found["two"]["one_s"], found["two"]["two_s"], strict=True))
    ratios = [2 * one / two for one, two in pairs]
    return {
        "name": "clip-epochs per second of two lanes",
        "against": "one lane, the other one idle",
        "ratio": round(median(ratios), 2),
        "ours": round(median([2 / two for _, two in pairs]), 4),
        "plain": round(median([1 / one for one, _ in pairs]), 4),
        "unit": "epochs/s",
        "single": [round(ratio, 2) for ratio in ratios],
    }


def compared(plain: float, ours: float, *, unit: str) -> Row:
    return {"ratio": round(plain / ours, 2), "ours": round(ours, 3), "plain": round(plain, 3), "unit": unit}


def search_rows(folder: Path, *, turns: int, train: int = TRAIN, width: float = WIDTH) -> Iterator[Row]:
    data = write_sounds(folder / "machines", train=rounded(train), test=rounded(TEST))
    common = ("--data", data, "--epochs", *SCRIPT, "--at-once", AT_ONCE, "--width", width, "--batch-size", BATCH)
    pairs = [
        (run(HERE / "baseline_tune.py", *common, "--score-at", RUNG, EPOCHS), run(HERE / "scripted.py", *common))
        for _ in range(turns)
    ]
    plain, ours = zip(*pairs, strict=True)
    yield first_batch_row(plain, ours)
    yield search_row(plain, ours)


def node_rows(what: Sequence[str], *, turns: int, width: float, few: int, many: int) -> Iterator[Row]:
    found = run(HERE / "node.py", "--clips", few, "--what", *what, "--turns", turns, "--width", width)
    if "memory" in what:
        yield memory_row(found, run(HERE / "node.py", "--clips", many, "--what", "memory"))
    if "epoch" in what:
        yield epoch_row(found)
    if "two" in what:
        yield two_row(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", choices=["search", "memory", "epoch", "two"], nargs="+")
    parser.add_argument("--train", type=int, default=TRAIN, help="training clips of the search")
    parser.add_argument("--width", type=float, default=WIDTH, help="of the network of the search")
    parser.add_argument("--lane-width", type=float, default=1.0, help="of the network that two lanes train")
    parser.add_argument("--clips", type=int, nargs=2, default=[FEW, MANY], help="sizes of the bank for its memory")
    arguments = parser.parse_args()
    wanted = arguments.only or ["search", "memory", "epoch", "two"]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)

    def rows() -> Iterator[Row]:
        few, many = arguments.clips
        what = [name for name in ("memory", "epoch", "two") if name in wanted]
        if what:
            turns = 7 if arguments.full else 3
            yield from node_rows(what, turns=turns, width=arguments.lane_width, few=few, many=many)
        if "search" in wanted:
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                turns = 3 if arguments.full else 1
                yield from search_rows(Path(folder), turns=turns, train=arguments.train, width=arguments.width)

    for row in rows():
        print(f"{row['ratio']:7.1f}x {row['ours']:9.3f} {row['unit']:9} {row['name']}, against {row['against']}")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
