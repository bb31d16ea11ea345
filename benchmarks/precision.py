#!/usr/bin/env python
"""Does a lower precision cost detection? The same training in float32 and in bfloat16, over several seeds.

    python benchmarks/precision.py --seeds 3

Trains `launch/quick.yaml` on the built-in corpus, without Ray; prints the mean objective over machine types on all
test clips, per seed, and the mean difference with its standard error.
"""

import argparse
import json
import statistics
from pathlib import Path

import torch

from asd_ray.api import find_shards, synthetic_dataset
from asd_ray.clip import SPLITS, machine_types
from asd_ray.config import RunConfig, load_config, replace_settings
from asd_ray.data.blocks import add_sgram, collect
from asd_ray.data.manifest import Manifest, read_shard
from asd_ray.data.resident import Resident
from asd_ray.models.sgram import LogMel
from asd_ray.scoring.metrics import objective_value
from asd_ray.training.loop import Training, fit

CONFIG = Path(__file__).resolve().parents[1] / "launch" / "quick.yaml"


def read(shards: Path) -> Resident:
    to_sgram, paths = LogMel(), [shard.path for shard in Manifest.load(shards).shards_of(SPLITS)]
    return collect([add_sgram(read_shard(shards / path).replace_schema_metadata(), to_sgram) for path in paths])


def objective(config: RunConfig, clips: Resident, manifest: Manifest) -> float:
    """In per cent, after the last epoch."""
    training = Training(
        config, clips, num_classes=len(manifest.classes), machine_types=machine_types(manifest.machines)
    )
    (*_, last) = fit(training, score_at=(config.train.epochs,))
    assert last.scored is not None
    values = [objective_value(found, config.score.objective) for found in last.scored.counted.values()]
    return 100 * statistics.mean(value for value in values if value is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="default: those of the config")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    shards = find_shards(synthetic_dataset())
    clips, manifest = read(shards), Manifest.load(shards)
    differences = []
    for seed in range(1, arguments.seeds + 1):
        found = {}
        for precision in ("float32", "bfloat16"):
            settings = [f"train.precision={precision}", f"train.seed={seed}"]
            if arguments.epochs:
                settings.append(f"train.epochs={arguments.epochs}")
            found[precision] = objective(replace_settings(load_config(CONFIG, []), settings), clips, manifest)
        differences.append(found["bfloat16"] - found["float32"])
        print(json.dumps({"seed": seed, **{name: round(value, 2) for name, value in found.items()}}), flush=True)
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    print(json.dumps({"bfloat16 minus float32": round(statistics.mean(differences), 2), "error": round(error, 2)}))


if __name__ == "__main__":
    main()
