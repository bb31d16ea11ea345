"""One machine with a bank of clips and two warm lanes: what they hold in memory, and how fast they read and train.

    python benchmarks/node.py --clips 480 --what memory epoch two

memory: what the object store holds, and the Train workers beside it, after one lane has read every clip, and
        after two have; and what a plain process holds per clip.
epoch:  seconds in which all training clips are gathered in batches of 64, resident and streamed, by turns.
two:    seconds of one epoch in one lane while the other is idle, and of one in each of them at the same time.

Prints JSON.
"""

import argparse
import gc
import json
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
import ray
import ray.data
import torch

from asd_ray.clip import BYTES_PER_CLIP
from asd_ray.cluster.runtime import local_ray
from asd_ray.config import LaneConfig, RunConfig, replace_settings
from asd_ray.data.ahead import fulfilled
from asd_ray.data.bank import Source, Streamed
from asd_ray.data.blocks import collect
from asd_ray.data.prepare import prepare
from asd_ray.data.resident import Clips
from asd_ray.lanes import lane, serve
from asd_ray.lanes.controller import WORK
from asd_ray.lanes.handover import LaneWork
from asd_ray.lanes.lane import Lane, LaneSettings
from asd_ray.lanes.link import acquire
from asd_ray.lanes.opening import read_clips
from asd_ray.search.runfolder import plan_clips
from asd_ray.training.messages import Ending, TrialOrder
from benchmarks import baseline
from benchmarks.footprint import name_of, processes, settled_mb, store_mb, store_pages_mb
from benchmarks.sounds import TYPES, rounded, write_sounds

BATCH = 64
UP_S = 300.0
PLAIN_CLIPS = 192


def touching_serve(loop_config: dict[str, LaneWork]) -> None:
    """The Train loop of a lane's worker, which reads all its clips before it takes commands."""
    come_up = serve._come_up

    def reading(work: LaneWork, **place: int) -> Any:
        server = come_up(work, **place)
        clips: Clips = server._new_trial.keywords["clips"]
        read_all(clips)
        return server

    with patch.object(serve, "_come_up", reading):
        serve.serve(loop_config[WORK])


def read_all(clips: Clips) -> int:
    """How many batches all training and test clips make."""
    index_N = np.arange(len(clips.labels))
    return sum(1 for _ in clips.read_batches(index_N, batch_size=BATCH))


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def start_lane(number: int, clips: ray.data.Dataset, settings: LaneSettings) -> Lane:
    """A lane whose worker has read every clip."""
    started = Lane(f"lane-{number}", fulfilled(clips), settings)
    end = time.monotonic() + UP_S
    while not ray.get(started.mailbox.state.remote()).lives:
        if time.monotonic() > end:
            raise RuntimeError(f"lane {number} did not come up within {UP_S:.0f} s")
        time.sleep(0.2)
    return started


def worker_pids() -> list[int]:
    return [process.pid for process in processes() if name_of(process).startswith("ray::RayTrainWorker")]


def train_seconds(lanes: list[Lane], config: RunConfig, folder: Path, *, turns: int) -> dict[str, Any]:
    """Epochs on the clips of one machine type, in one lane and in all of them, by turns."""
    links = [acquire(lambda one=one: [one.mailbox], f"bench-{number}") for number, one in enumerate(lanes)]
    for number, link in enumerate(links):
        order = TrialOrder(config=config, machine_types=TYPES[:1], score_at=(), folder=str(folder / str(number)))
        link.start(order)
    done = [0] * len(links)

    def epoch(number: int) -> None:
        done[number] += 1
        report = links[number].epoch(done[number])
        if isinstance(report, Ending):
            raise RuntimeError(report.reason)

    def together() -> None:
        threads = [threading.Thread(target=epoch, args=(number,)) for number in range(len(links))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    together()  # warm up
    one, two = [], []
    for turn in range(turns):
        one.append(seconds(lambda turn=turn: epoch(turn % len(links))))  # type: ignore[misc]
        two.append(seconds(together))
    for link in links:
        link.release()
    return {"one_s": one, "two_s": two}


def gather_seconds(kept: ray.data.Dataset, source: Source, *, turns: int) -> dict[str, Any]:
    """Epochs of batches without training: from shared memory, and streamed."""
    batches = kept.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    shared = collect(batches)
    streamed = Streamed(source, torch.device("cpu"))
    index_N = shared.labels.where(splits=["train"], machine_types=TYPES)

    def epoch(clips: Clips) -> None:
        rng = np.random.default_rng(0)
        with closing(clips.train_batches(index_N, rng, batch_size=BATCH, smallest=2)) as epoch_batches:  # type: ignore[type-var]
            count = sum(len(batch.class_B) for batch in epoch_batches)
        if count != len(index_N):
            raise RuntimeError(f"{count} of {len(index_N)} clips came")

    epoch(shared)  # warm up
    epoch(streamed)
    times = [(seconds(lambda: epoch(shared)), seconds(lambda: epoch(streamed))) for _ in range(turns)]
    return {"clips": len(index_N), "shared_s": [one for one, _ in times], "stream_s": [two for _, two in times]}


def plain_mb_per_clip(root: Path) -> float:
    """What this process holds more per clip once it has read some the plain way: waves and log-mels, float32."""
    paths = sorted(root.glob("*/train/*.wav"))[:PLAIN_CLIPS]
    baseline.log_mel(baseline.load(paths[0]))
    gc.collect()
    before = psutil.Process().memory_full_info().uss
    items = []
    for path in paths:
        wave_L = baseline.load(path)
        items.append((wave_L, baseline.log_mel(wave_L), 0))
    return float(psutil.Process().memory_full_info().uss - before) / 1e6 / len(items)


def measure(
    clips: int, folder: Path, *, what: list[str], turns: int, width: float, compiled: bool
) -> dict[str, Any]:
    torch.set_num_threads(1)
    test = rounded(clips // 6)
    root = write_sounds(folder / "machines", train=rounded(clips - test), test=test)
    found: dict[str, Any] = {"clips": rounded(clips - test) + test}
    if "memory" in what:
        found["plain_mb_per_clip"] = plain_mb_per_clip(root)
    shards = folder / "shards"
    prepare(root, shards, valid_fraction=0.0)
    plan = plan_clips(shards, "paper")
    steps = [f"train.compile={'always' if compiled else 'never'}", "train.batch_size=32"]
    config = replace_settings(RunConfig(), [f"model.width={width}", *steps])
    source = read_clips(shards, [config.model.name], visible_labels=plan.visible_labels, streams=True)
    assert isinstance(source, Source)
    settings = LaneSettings(
        config=LaneConfig(count=2, gpus=0.0), num_classes=len(plan.manifest.classes), storage=folder / "train"
    )
    touching = patch.object(lane, "serve_in_worker", touching_serve)  # refuses names that are no longer there
    with touching, local_ray(cpus=2, object_store_bytes=max(2**28, 2 * found["clips"] * BYTES_PER_CLIP)):
        kept = source.kept()
        lanes, memory = [], []
        try:
            for number in range(1 if what == ["epoch"] else 2):
                lanes.append(start_lane(number, kept, settings))
                if "memory" in what:
                    memory.append(
                        {
                            "store_mb": store_mb(),
                            "store_pages_mb": store_pages_mb(),
                            "workers_mb": settled_mb(worker_pids()),
                        }
                    )
            found["memory"] = memory
            if "two" in what:
                found["two"] = train_seconds(lanes, config, folder / "trials", turns=turns)
            if "epoch" in what:
                found["epoch"] = gather_seconds(kept, source, turns=turns)
            for one in lanes:
                one.ask_to_quit()
            for one in lanes:
                one.join(30.0)
        finally:
            for one in lanes:
                one.abandon()
                one.join(30.0)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=480)
    parser.add_argument(
        "--what", choices=["memory", "epoch", "two"], nargs="+", default=["memory", "epoch", "two"]
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--compiled", action="store_true", help="the steps of `two` are compiled")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="node-") as folder:
        found = measure(
            arguments.clips,
            Path(folder),
            what=arguments.what,
            turns=arguments.turns,
            width=arguments.width,
            compiled=arguments.compiled,
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
