"""A search as Ray's documentation has it: Tune over a function that runs one TorchTrainer per trial.

    python benchmarks/baseline_tune.py --data datasets/synthetic --epochs 2 2 6 --at-once 2

Every trial's worker reads the recordings file by file, with a fresh transform for each, trains in eager float32
and scores clip by clip. Trials end after the epochs that are given for them, one number per trial: a search whose
pruning is known beforehand. (They end by themselves: a trial that Tune stops leaves its placement group behind,
and the next one hangs.) Prints JSON: seconds of the whole, and of each trial until it had its first batch.

Nothing here may import asd_ray.cluster.runtime: it would bring our settings of Ray and of the allocator along.
"""

import json
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# As our own workers have it: on a busy machine Ray's default would let everything else go first.
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "300")

import ray
import ray.train
import torch
from ray import tune
from ray.train.torch import TorchTrainer
from ray.tune.integration.ray_train import TuneReportCallback

from asd_ray.models import build_module
from benchmarks import baseline
from benchmarks.options import search_options

SLOT = "trial_slot"  # limits trials: their drivers must hold no CPU that their workers need


def class_of(path: Path) -> tuple[str, str]:
    """Machine type and id, from `fan/train/normal_id_00_00000000.wav`.

    >>> class_of(Path("fan/train/normal_id_00_00000000.wav"))
    ('fan', 'id_00')
    """
    return path.parts[-3], "_".join(path.stem.split("_")[1:3])


def read(root: Path, split: str, classes: list[tuple[str, str]]) -> baseline.InMemory:
    items = []
    for path in sorted(root.glob(f"*/{split}/*.wav")):
        wave_L = baseline.load(path)
        items.append((wave_L, baseline.log_mel(wave_L), classes.index(class_of(path))))
    return baseline.InMemory(items)


def train_loop(config: dict[str, Any]) -> None:
    """What a Train worker does for one trial."""
    torch.set_num_threads(1)
    began, root = time.time(), Path(config["root"])
    classes = sorted({class_of(path) for path in root.glob("*/train/*.wav")})
    train, test = read(root, "train", classes), read(root, "test", classes)
    torch.manual_seed(config["seed"])
    classifier = build_module("tastgram", width=config["width"], class_types=["fan"] * len(classes))
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3, weight_decay=0.01)
    loader = baseline.batches(train, batch_size=config["batch_size"])
    first = training_s = 0.0
    for epoch in range(1, config["epochs"] + 1):
        epoch_began = time.monotonic()
        classifier.train()
        for wave_BL, sgram_BFT, class_B in loader:
            first = first or time.time()
            loss = baseline.train_step(
                classifier, optimizer, wave_BL=wave_BL, sgram_BFT=sgram_BFT, class_B=class_B
            )
        metrics = {"epoch": epoch, "loss": loss}
        if epoch in config["score_at"]:
            metrics["score"] = sum(baseline.evaluate(classifier, test)) / len(test)
        training_s += time.monotonic() - epoch_began
        with tempfile.TemporaryDirectory() as folder:
            torch.save([classifier.state_dict(), optimizer.state_dict()], Path(folder) / "state.pt")
            ray.train.report(
                metrics
                | {
                    "worker_s": began - config["called"],
                    "first_batch_s": first - config["called"],
                    "training_s": training_s,
                },
                checkpoint=ray.train.Checkpoint.from_directory(folder),
            )


def trial(config: dict[str, Any]) -> None:
    """Tune's trainable."""
    called = time.time()
    name = tune.get_context().get_trial_id()
    TorchTrainer(
        train_loop,
        train_loop_config=config | {"called": called, "epochs": config["script"][config["seed"]]},
        scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=ray.train.RunConfig(
            name=f"train-{name}",
            storage_path=config["storage"],
            callbacks=[TuneReportCallback()],  # type: ignore[list-item, no-untyped-call]
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=1),
        ),
    ).fit()


def search(
    root: Path,
    folder: Path,
    *,
    script: list[int],
    score_at: list[int],
    at_once: int,
    width: float,
    batch_size: int,
) -> dict[str, Any]:
    """Run the trials; seconds of the whole and of each trial, and the epochs trained in all."""
    began = time.monotonic()
    ray.init(
        address="local",
        num_cpus=at_once,
        resources={SLOT: at_once},
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(folder / "ray"),
    )
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    found = tune.Tuner(
        tune.with_resources(trial, {SLOT: 1}),
        param_space={
            "seed": tune.grid_search(list(range(len(script)))),
            "root": str(root.resolve()),
            "storage": str(folder / "train"),
            "script": script,
            "score_at": score_at,
            "width": width,
            "batch_size": batch_size,
        },
        tune_config=tune.TuneConfig(metric="loss", mode="min", max_concurrent_trials=at_once),
        run_config=tune.RunConfig(name="tune", storage_path=str(folder), verbose=0),
    ).fit()
    ray.shutdown()
    if found.errors:
        raise RuntimeError(f"{len(found.errors)} trials failed: {found.errors[0]}")
    trials = [result.metrics or {} for result in found]  # type: ignore[attr-defined]
    return {
        "seconds": time.monotonic() - began,
        "epochs": sum(one["epoch"] for one in trials),
        "worker_s": [one["worker_s"] for one in trials],
        "first_batch_s": [one["first_batch_s"] for one in trials],
        "training_s": [one["training_s"] for one in trials],
    }


def main() -> None:
    parser = search_options(__doc__)
    parser.add_argument(
        "--score-at", type=int, nargs="*", default=[], help="epochs after which test clips are scored"
    )
    arguments = parser.parse_args()
    if "asd_ray.cluster.runtime" in sys.modules:
        raise RuntimeError("our runtime was imported: this would not be the plain way")
    with tempfile.TemporaryDirectory(prefix="plain-") as folder:
        found = search(
            arguments.data,
            Path(folder),
            script=arguments.epochs,
            score_at=arguments.score_at,
            at_once=arguments.at_once,
            width=arguments.width,
            batch_size=arguments.batch_size,
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
