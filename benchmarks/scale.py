#!/usr/bin/env python
"""Cost against size: preparing recordings, reading the bank, one training epoch, and the memory beyond the clips.

    python benchmarks/scale.py                      # 500 and 2,000 clips: some three minutes on two cores
    python benchmarks/scale.py --full               # and 8,000: some ten minutes
    python benchmarks/scale.py --sizes 100 200

Each size in a process of its own, its sounds made on the fly; one lane of one thread, a network of width 0.0625.
`beyond` is the most that driver, Ray and workers held privately at one moment, over what they held when the step
began: the object store, which holds the clips, and files are not in it. Much of it is the processes themselves; it
shall not grow with the clips. One JSON line and one readable line per size.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from asd_ray.clip import BYTES_PER_CLIP
from asd_ray.cluster.runtime import local_ray
from asd_ray.config import LaneConfig, RunConfig, replace_settings
from asd_ray.data.ahead import fulfilled
from asd_ray.data.prepare import prepare
from asd_ray.lanes import opening as search_lanes
from asd_ray.lanes.link import acquire
from asd_ray.lanes.sizes import Share
from asd_ray.search.runfolder import plan_clips
from asd_ray.training.messages import Ending, TrialOrder
from benchmarks.footprint import store_pages_mb, watching
from benchmarks.pairs import run
from benchmarks.sounds import TYPES, rounded, write_sounds

SIZES, LARGE = (500, 2000), 8000
SETTINGS = ("model.width=0.0625", "train.batch_size=64", "train.compile=never", "lanes.count=1")
Found = dict[str, Any]


def measured(name: str, work: Callable[[], Any], found: Found) -> Any:
    """Do the work; note its seconds and the private memory that it took for a while."""
    with watching() as peak:
        began = time.monotonic()
        result = work()
        found[f"{name}_s"] = round(time.monotonic() - began, 3)
    found[f"{name}_beyond_mb"] = round(peak.mb - peak.before_mb)
    return result


def measure(size: int, folder: Path) -> Found:
    """One size, in this process."""
    torch.set_num_threads(1)
    test = rounded(size // 10)
    train = rounded(size - test)
    root = write_sounds(folder / "machines", train=train, test=test)
    found: Found = {"clips": train + test, "trained": train}
    shards = folder / "shards"
    measured("prepare", lambda: prepare(root, shards, valid_fraction=0.0), found)
    shutil.rmtree(root)
    plan = plan_clips(shards, "paper")
    config = replace_settings(RunConfig(), SETTINGS)
    share = Share(count=1, lane=LaneConfig(count=1, gpus=0.0))
    with local_ray(cpus=2, object_store_bytes=max(2**28, 2 * found["clips"] * BYTES_PER_CLIP)):
        bank = measured(
            "bank",
            lambda: search_lanes.read_clips(shards, [config.model.name], visible_labels=plan.visible_labels),
            found,
        )
        found["store_mb"] = round(store_pages_mb(), 1)
        order = TrialOrder(config=config, machine_types=TYPES, score_at=(), folder=str(folder / "trial"))
        classes = len(plan.manifest.classes)
        with (
            watching() as peak,
            search_lanes.warm_lanes(
                share, fulfilled(bank), num_classes=classes, scratch=folder / "train"
            ) as lanes,
        ):
            link = acquire(lambda: [lane.mailbox for lane in lanes], "bench")
            link.start(order)
            report = measured("epoch", lambda: link.epoch(1), found)
            link.release()
        if isinstance(report, Ending):
            raise RuntimeError(report.reason)
        found["lane_beyond_mb"] = round(peak.mb - peak.before_mb)
    return found


def per_clip(row: Found) -> Found:
    """A row with milliseconds per clip, which stay as they are where cost grows as size does.

    >>> row = per_clip({"clips": 100, "trained": 80, "prepare_s": 1.0, "bank_s": 0.5, "epoch_s": 0.8})
    >>> row["bank_ms_per_clip"], row["epoch_ms_per_clip"]
    (5.0, 10.0)
    """
    counts = {"prepare": row["clips"], "bank": row["clips"], "epoch": row["trained"]}
    return row | {
        f"{name}_ms_per_clip": round(1000 * row[f"{name}_s"] / count, 2) for name, count in counts.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", help="clips")
    parser.add_argument("--full", action="store_true", help=f"up to {LARGE} clips")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = arguments.sizes or [*SIZES, *([LARGE] if arguments.full else [])]
    if arguments.one:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            print(json.dumps(measure(sizes[0], Path(folder))))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        "  clips   prepare s  ms/clip  beyond MB    bank s  ms/clip  beyond MB    epoch s  ms/clip  lane beyond MB"
        "   store MB",
        flush=True,
    )
    for size in sizes:
        row = per_clip(run(Path(__file__), "--one", "--sizes", size))
        print(
            f"{row['clips']:7}{row['prepare_s']:12.1f}{row['prepare_ms_per_clip']:9.2f}{row['prepare_beyond_mb']:11}"
            f"{row['bank_s']:10.1f}{row['bank_ms_per_clip']:9.2f}{row['bank_beyond_mb']:11}"
            f"{row['epoch_s']:11.1f}{row['epoch_ms_per_clip']:9.2f}{row['lane_beyond_mb']:16}{row['store_mb']:11.1f}"
        )
        print(json.dumps({"name": f"scale: {row['clips']} clips", **row}), flush=True)


if __name__ == "__main__":
    main()
