"""What it costs to read a trained network by every score, as a share of the epoch before.

    python benchmarks/scores.py                # trains an epoch of 640 clips: some minutes
    python benchmarks/scores.py --train 320 --width 0.25
    python benchmarks/scores.py --numbers-only # what comes after the network, at the size of DCASE 2020

Processor time of one thread. `more` is what all scores, the clips that they are fitted to and the stand-ins add to
reading and scoring by the published score alone.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from pieces import make_clips

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.resident import Block, Labels, Resident
from asd_ray.models import find_system
from asd_ray.training.loop import Training, score_clips
from asd_ray.training.scored import Reading, Scorer

# DCASE 2020 Task 2, development set: machine ids, and per id training, held-out and test clips, rounded.
TYPES = {"fan": 4, "pump": 4, "slider": 4, "ToyCar": 4, "ToyConveyor": 3, "valve": 4}
PER_ID = {"train": 830, "valid": 44, "test": 470}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=640, help="clips, of four machine ids")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--numbers-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.numbers_only:
        whole(arguments.train, arguments.width)
    numbers()


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def whole(count: int, width: float) -> None:
    """One epoch, then the scoring after it in both ways; a fifth as many test clips, and 5 % held out."""
    test, valid = count // 5, count // 20
    clips = make_clips(count + valid + test)
    split = np.repeat(["train", "valid", "test"], [count, valid, test])
    ids = np.arange(len(split)) % 4
    labels = replace(
        clips.labels,
        split=split,
        machine_id=np.array([f"id_{2 * number:02d}" for number in ids]),
        class_index=ids,
        is_anomaly=(np.arange(len(split)) // 4 % 2).astype(np.int8),
    )
    clips = Resident(labels, [block(clips)], np.arange(len(split)))
    settings = [f"model.width={width}", "train.batch_size=32", "train.compile=never"]
    config = replace_settings(RunConfig(), settings)
    training = Training(config, clips, num_classes=4, machine_types=["fan"])
    score_clips(training)  # once, for memory and caches
    epoch = seconds(training.train_epoch)
    every = seconds(lambda: score_clips(training))
    training.scorer = published_alone(training.scorer)
    published = seconds(lambda: score_clips(training))
    print(
        f"width {width}: epoch of {count} clips {epoch:.1f} s; scoring of {test} test clips by the published score"
    )
    print(f"{published:.2f} s, by all {every:.2f} s: more {100 * (every - published) / epoch:.1f} % of the epoch")


def block(clips: Resident) -> Block:
    """All clips, in their order."""
    rows = [clips.row(clip) for clip in range(len(clips.labels))]
    return Block(torch.stack([pcm for pcm, _ in rows]).numpy(), torch.stack([sgram for _, sgram in rows]).numpy())


def published_alone(scorer: Scorer) -> Scorer:
    """As it was before there were others: no clips to fit to, no stand-ins."""
    scorer._names = ("margin_cross_entropy",)
    scorer._fit_index = scorer._valid_index = np.empty(0, np.int64)
    scorer.index = np.unique(scorer.scored_index)
    return scorer


def numbers() -> None:
    """What the scores themselves take of a processor, once the network has read all clips."""
    pairs = [(name, f"id_{2 * number:02d}") for name, count in TYPES.items() for number in range(count)]
    rows = [(pair, split) for pair in pairs for split, count in PER_ID.items() for _ in range(count)]
    class_index = np.array([pairs.index(pair) for pair, _ in rows])
    labels = Labels(
        clip_id=np.array([f"{number:06d}" for number in range(len(rows))]),
        split=np.array([split for _, split in rows]),
        machine_type=np.array([name for (name, _), _ in rows]),
        machine_id=np.array([machine_id for (_, machine_id), _ in rows]),
        class_index=class_index,
        is_anomaly=np.array(
            [number % 2 if split == "test" else 0 for number, (_, split) in enumerate(rows)], np.int8
        ),
    )
    config = RunConfig()

    def timed(narrow: Callable[[Scorer], Scorer]) -> float:
        scorer = narrow(Scorer(config, labels, system=find_system(config.model.name), machine_types=list(TYPES)))
        rng = np.random.default_rng(0)
        embedding_NE = torch.from_numpy(rng.normal(size=(len(scorer.index), 128)).astype(np.float32))
        cosine_NC = torch.from_numpy(rng.uniform(-1, 1, size=(len(scorer.index), len(pairs))).astype(np.float32))
        reading = Reading(embedding_NE, cosine_NC, torch.from_numpy(class_index[scorer.index]))
        return seconds(lambda: scorer.score(reading))

    published, every = timed(published_alone), timed(lambda scorer: scorer)
    print(
        f"after the network, {len(labels.where(splits=['test'], machine_types=list(TYPES)))} test clips:", end=" "
    )
    print(f"published score {published:.2f} s, all {every:.2f} s")


if __name__ == "__main__":
    main()
