#!/usr/bin/env python
"""Speed of single pieces against the plain way of doing the same work, side by side in one run.

    make bench

Each pair is measured alternately, one thread, and the median of the ratios of processor times is printed: above 1
is faster than the plain way.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torchaudio
from torch.utils.data import DataLoader, TensorDataset

from asd_ray.clip import NUM_SAMPLES, SAMPLE_RATE
from asd_ray.data.resident import Block, Labels, Resident
from asd_ray.models.sgram import LogMel

ROUNDS = 15
CLIPS, BATCH = 128, 64


@dataclass(frozen=True, slots=True)
class Pair:
    """Two ways to do the same work."""

    name: str
    plain: Callable[[], object]
    ours: Callable[[], object]


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(pair: Pair) -> tuple[float, float]:
    """Median of plain / ours, and the median of ours in milliseconds."""
    pair.plain(), pair.ours()  # warm up
    times = [(seconds(pair.plain), seconds(pair.ours)) for _ in range(ROUNDS)]
    return statistics.median(plain / ours for plain, ours in times), 1000 * statistics.median(o for _, o in times)


def log_mel() -> Pair:
    """A fresh transform per clip, as the published code makes one per file."""
    wave_L = torch.randn(NUM_SAMPLES)
    ours = LogMel()

    def plain() -> torch.Tensor:
        transform = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE,
            n_fft=2048,
            hop_length=512,
            n_mels=128,
            norm="slaney",
            mel_scale="slaney",
            pad_mode="constant",
        )
        return 10 * torch.log10(transform(wave_L) + 2.0**-52)

    assert torch.allclose(plain(), ours(wave_L), atol=1e-4)
    return Pair("log-mel of one clip, against a fresh torchaudio transform", plain, lambda: ours(wave_L))


def host_batch() -> Pair:
    """In-memory float32 tensors through a DataLoader with its own collate, as the published code has them."""
    rng = np.random.default_rng(0)
    pcm_NL = rng.integers(-3000, 3000, (CLIPS, NUM_SAMPLES)).astype(np.int16)
    sgram_NFT = rng.normal(-30, 10, (CLIPS, 128, 313)).astype(np.float16)
    text = np.array(["fan"] * CLIPS)
    names = np.array([f"{number:04d}" for number in range(CLIPS)])
    labels = Labels(
        clip_id=names,
        split=text,
        machine_type=text,
        machine_id=text,
        class_index=np.zeros(CLIPS, np.int64),
        is_anomaly=np.zeros(CLIPS, np.int8),
    )
    resident = Resident(labels, [Block(pcm_NL, sgram_NFT)], np.arange(CLIPS))
    dataset = TensorDataset(torch.from_numpy(pcm_NL / 32768).float(), torch.from_numpy(sgram_NFT).float())

    def plain() -> object:
        return next(iter(DataLoader(dataset, batch_size=BATCH, shuffle=True)))

    return Pair(
        f"batch of {BATCH}, against a DataLoader of in-memory tensors",
        plain,
        lambda: resident.gather(rng.permutation(CLIPS)[:BATCH]),
    )


def main() -> None:
    torch.set_num_threads(1)
    results = {}
    for pair in (log_mel(), host_batch()):
        times, ours = ratio(pair)
        results[pair.name] = {"ratio": round(times, 2), "ours_ms": round(ours, 2)}
        print(f"{times:5.1f}x  {ours:8.2f} ms  {pair.name}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
