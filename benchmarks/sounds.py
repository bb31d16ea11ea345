"""A corpus that is quick to make: a tone per machine in noise, fainter where it is an anomaly.

The built-in corpus sounds like machines, and takes its time; here only sizes matter.
"""

from pathlib import Path

import numpy as np
import soundfile

from asd_ray.clip import CLIP_SECONDS, NUM_SAMPLES, SAMPLE_RATE

TYPES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
IDS = 2  # machines of each type
SMALLEST = len(TYPES) * IDS * 2  # clips: a normal and an anomalous one of every machine
NOISE, TONE = 600, 900  # of 32,768


def write_sounds(root: Path, *, train: int, test: int) -> Path:
    """So many training and test clips in all, half of the test clips anomalies; both multiples of SMALLEST.

    Every clip is a window of its own into one long noise.
    """
    if train % SMALLEST or test % SMALLEST:
        raise ValueError(f"{train} training and {test} test clips; use multiples of {SMALLEST}")
    rng = np.random.default_rng(0)
    noise = (NOISE * rng.standard_normal(16 * NUM_SAMPLES)).astype(np.int16)
    time_T = np.arange(NUM_SAMPLES) / NUM_SAMPLES * CLIP_SECONDS
    for number, name in enumerate(TYPES):
        for machine in range(IDS):
            tone_T = np.sin(2 * np.pi * (200 + 300 * number + 100 * machine) * time_T)
            loud_T, faint_T = ((TONE * part * tone_T).astype(np.int16) for part in (1.0, 0.5))
            for split, label, count in (
                ("train", "normal", train // (len(TYPES) * IDS)),
                ("test", "normal", test // SMALLEST),
                ("test", "anomaly", test // SMALLEST),
            ):
                folder = root / name / split
                folder.mkdir(parents=True, exist_ok=True)
                for clip in range(count):
                    start = int(rng.integers(len(noise) - NUM_SAMPLES))
                    pcm_T = noise[start : start + NUM_SAMPLES] + (loud_T if label == "normal" else faint_T)
                    path = folder / f"{label}_id_{machine:02d}_{clip:08d}.wav"
                    soundfile.write(path, pcm_T, SAMPLE_RATE, subtype="PCM_16")
    return root


def rounded(clips: int) -> int:
    """The nearest number of clips that `write_sounds` can make, at least one of each."""
    return max(SMALLEST, round(clips / SMALLEST) * SMALLEST)
