"""The single pieces of a trial, as `run.py` measures them: one work, one way, in this process.

    python benchmarks/pieces.py --work step --way "ours compiled"

Prints processor milliseconds per clip (or per batch), one thread.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import baseline
import numpy as np
import soundfile
import torch

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.audio import read_recording
from asd_ray.data.blocks import add_sgram
from asd_ray.data.corpus import read_corpus
from asd_ray.data.manifest import read_shard
from asd_ray.data.resident import PCM_SCALE, Block, Labels, Resident
from asd_ray.data.shards import plan_shards, write_shard
from asd_ray.models import build_module
from asd_ray.models.sgram import LogMel
from asd_ray.training.loop import Training

NUM_CLASSES = 41
STEP_BATCH, HOST_BATCH = 32, 64


def milliseconds(work: Callable[[], object], *, rounds: int, warm: int = 1) -> float:
    """Median of processor time."""
    for _ in range(warm):
        work()
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(1000 * (time.process_time() - began))
    return statistics.median(times)


def make_clips(count: int, *, split: str = "train") -> Resident:
    """Noise with the level and spread of real recordings."""
    rng = np.random.default_rng(0)
    pcm_NL = rng.normal(0, 900, (count, NUM_SAMPLES)).astype(np.int16)
    sgram_NFT = rng.normal(-30, 10, (count, 128, 313)).astype(np.float16)
    text = np.array(["fan"] * count)
    labels = Labels(
        clip_id=np.array([f"{number:05d}" for number in range(count)]),
        split=np.array([split] * count),
        machine_type=text,
        machine_id=text,
        class_index=np.arange(count) % NUM_CLASSES,
        is_anomaly=np.zeros(count, np.int8),
    )
    return Resident(labels, [Block(pcm_NL, sgram_NFT)], np.arange(count))


def in_memory(clips: Resident) -> baseline.InMemory:
    items = []
    for clip in range(len(clips.labels)):
        pcm_L, sgram_FT = clips.row(clip)
        items.append((pcm_L / 32768, sgram_FT.float(), int(clips.labels.class_index[clip])))
    return baseline.InMemory(items)


def log_mel(way: str) -> dict[str, float]:
    wave_L = torch.randn(NUM_SAMPLES) * 0.05
    ours = LogMel()
    gap = float((baseline.log_mel(wave_L) - ours(wave_L)).abs().max())
    assert gap < 1e-4
    work = (lambda: baseline.log_mel(wave_L)) if way == "plain" else lambda: ours(wave_L)
    return {"value": milliseconds(work, rounds=60, warm=5), "largest_difference_db": gap}


def preparation(way: str) -> dict[str, float]:
    """From a sound file to what a training reads; `ours with shards` also writes the shard and reads it back."""
    count = 96
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder) / "machines" / "fan" / "train"
        train.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for number in range(count):
            path = train / f"normal_id_{number % 2:02d}_{number:08d}.wav"
            soundfile.write(path, rng.normal(0, 0.03, NUM_SAMPLES), SAMPLE_RATE, subtype="PCM_16")
        turn = 0

        def plain() -> None:
            for path in train.iterdir():
                baseline.log_mel(baseline.load(path))

        to_sgram = LogMel()

        def ours() -> None:
            for path in train.iterdir():
                to_sgram(torch.from_numpy(read_recording(path).pcm) * PCM_SCALE).half()

        def with_shards() -> None:
            nonlocal turn
            turn += 1
            out = Path(folder) / f"shards-{turn}"
            corpus = read_corpus(train.parents[1])
            for plan in plan_shards(corpus, out, valid_fraction=0.0, resample=False):
                write_shard(plan)
                add_sgram(read_shard(out / plan.path), to_sgram)

        works = {"plain": plain, "ours": ours, "ours with shards": with_shards}
        return {"value": milliseconds(works[way], rounds=2) / count}


def host_batch(way: str) -> dict[str, float]:
    clips = make_clips(2 * HOST_BATCH)
    rng = np.random.default_rng(1)
    if way == "plain":
        dataset = in_memory(clips)
        return {
            "value": milliseconds(lambda: next(iter(baseline.batches(dataset, batch_size=HOST_BATCH))), rounds=15)
        }
    count = len(clips.labels)
    return {"value": milliseconds(lambda: clips.gather(rng.permutation(count)[:HOST_BATCH]), rounds=15, warm=2)}


def make_training(clips: Resident, way: str) -> Training:
    """Ours, of which an epoch is one step where there are as many clips as a batch has."""
    settings = [
        f"train.batch_size={STEP_BATCH}",
        f"train.compile={'always' if 'compiled' in way else 'never'}",
        f"train.precision={'bfloat16' if 'bfloat16' in way else 'float32'}",
    ]
    return Training(replace_settings(RunConfig(), settings), clips, num_classes=NUM_CLASSES, machine_types=["fan"])


def step(way: str) -> dict[str, float]:
    """One training step of a batch of 32, batch included. `first_step_s`: compiling included."""
    clips = make_clips(STEP_BATCH)
    torch.manual_seed(0)
    if way.startswith("plain"):
        classifier = build_module("tastgram", width=1.0, class_types=["fan"] * NUM_CLASSES)
        optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-4)
        loader = baseline.batches(in_memory(clips), batch_size=STEP_BATCH)

        def work() -> None:
            classifier.train()
            for wave_BL, sgram_BFT, class_B in loader:
                baseline.train_step(classifier, optimizer, wave_BL=wave_BL, sgram_BFT=sgram_BFT, class_B=class_B)
    else:
        work = make_training(clips, way).train_epoch  # type: ignore[assignment]
    began = time.monotonic()
    work()
    first = time.monotonic() - began
    value = milliseconds(work, rounds=2, warm=0) / STEP_BATCH
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"value": value, "first_step_s": round(first, 1), "peak_gb": round(peak, 1)}


def reading(way: str) -> dict[str, float]:
    """What the network says of 32 clips."""
    clips = make_clips(32, split="test")
    torch.manual_seed(0)
    if way.startswith("plain"):
        classifier = build_module("tastgram", width=1.0, class_types=["fan"] * NUM_CLASSES)
        dataset = in_memory(clips)
        return {"value": milliseconds(lambda: baseline.evaluate(classifier, dataset), rounds=2) / len(dataset)}
    settings = [f"train.precision={'bfloat16' if 'bfloat16' in way else 'float32'}"]
    training = Training(
        replace_settings(RunConfig(), settings), clips, num_classes=NUM_CLASSES, machine_types=["fan"]
    )
    index_N = np.arange(len(clips.labels))
    return {"value": milliseconds(lambda: training.read(index_N), rounds=2) / len(index_N)}


WORKS = {
    "log_mel": log_mel,
    "preparation": preparation,
    "host_batch": host_batch,
    "step": step,
    "reading": reading,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=WORKS, required=True)
    parser.add_argument("--way", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps(WORKS[arguments.work](arguments.way)))


if __name__ == "__main__":
    main()
