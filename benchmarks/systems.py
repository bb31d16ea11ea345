#!/usr/bin/env python
"""What each system detects with one budget: the same clips, epochs, batches, width and learning rate.

    python benchmarks/systems.py --machine-types fan pump > synthetic.jsonl        # of the built-in corpus
    python benchmarks/systems.py --data RECORDINGS --machine fan id_00 > fan.jsonl  # judged by one machine
    python benchmarks/systems.py --table synthetic.jsonl

One JSON line per training, without Ray. `--systems` does some of them; lines of several calls make one table.
The numbers of each loss are those that the system begins with (`start` in the table of systems). Chance is 50.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from asd_ray.api import find_shards, synthetic_dataset
from asd_ray.clip import SPLITS
from asd_ray.config import RunConfig, load_config, replace_settings
from asd_ray.data.blocks import add_sgram, collect
from asd_ray.data.manifest import Manifest, read_shard
from asd_ray.data.resident import Resident
from asd_ray.models import SYSTEMS, mels_of
from asd_ray.models.sgram import LogMels
from asd_ray.training.loop import Training, fit

CONFIG = Path(__file__).resolve().parents[1] / "launch" / "quick.yaml"


def read(shards: Path, systems: Sequence[str], machine_types: Sequence[str]) -> Resident:
    to_sgram = LogMels(mels_of(systems))
    paths = [
        shard.path
        for shard in Manifest.load(shards).shards_of(SPLITS)
        if not machine_types or shard.machine_type in machine_types
    ]
    return collect([add_sgram(read_shard(shards / path).replace_schema_metadata(), to_sgram) for path in paths])


def train(config: RunConfig, clips: Resident, *, systems: Sequence[str], num_classes: int) -> Training:
    types = sorted(set(clips.labels.machine_type.tolist()))
    return Training(config, clips, num_classes=num_classes, machine_types=types, systems=systems)


def judge(training: Training, machine: Sequence[str]) -> dict[str, float]:
    """AUC and pAUC in per cent after the last epoch: of one machine, or the mean over the ids of all types."""
    (*_, last) = fit(training, score_at=(training.config.train.epochs,))
    assert last.scored is not None
    ids = [
        found
        for machine_type, metrics in last.scored.counted.items()
        for machine_id, found in metrics.per_id.items()
        if found.auc is not None and (not machine or [machine_type, machine_id] == list(machine))
    ]
    return {name: 100 * statistics.fmean(getattr(found, name) for found in ids) for name in ("auc", "pauc")}


def table(lines: Sequence[dict]) -> str:
    """Mean and standard deviation over seeds, best AUC first."""
    rows = ["| system | weights | AUC | pAUC | seeds | s of one core per epoch |", "|---|---|---|---|---|---|"]
    by_system: dict[str, list[dict]] = {}
    for line in lines:
        by_system.setdefault(line["system"], []).append(line)
    means = {name: statistics.fmean(line["auc"] for line in found) for name, found in by_system.items()}
    for name in sorted(means, key=lambda name: -means[name]):
        found = by_system[name]
        cells = [spread([line[key] for line in found]) for key in ("auc", "pauc")]
        seconds = statistics.median(line["seconds"] / line["epochs"] for line in found)
        rows.append(f"| {name} | {found[0]['weights']:,} | {' | '.join(cells)} | {len(found)} | {seconds:.1f} |")
    return "\n".join(rows)


def spread(values: Sequence[float]) -> str:
    """
    >>> spread([60.0, 62.0])
    '61.0 ± 1.4'
    """
    return f"{statistics.fmean(values):.1f} ± {statistics.stdev(values) if len(values) > 1 else 0.0:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of recordings (default: the built-in corpus)")
    parser.add_argument("--machine-types", nargs="+", default=[], help="to train on (default: all)")
    parser.add_argument(
        "--machine", nargs=2, default=[], metavar=("TYPE", "ID"), help="to judge by (default: all)"
    )
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS), metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="one setting of quick.yaml")
    parser.add_argument("--table", type=Path, nargs="+", help="lines of earlier calls, to be shown")
    arguments = parser.parse_args()
    if arguments.table:
        print(table([json.loads(line) for path in arguments.table for line in path.read_text().splitlines()]))
        return
    torch.set_num_threads(1)
    shards = find_shards(arguments.data or synthetic_dataset(), valid_fraction=0.05 if arguments.data else 0.25)
    clips, num_classes = (
        read(shards, arguments.systems, arguments.machine_types),
        len(Manifest.load(shards).classes),
    )
    for seed in arguments.seeds:
        for name in arguments.systems:
            begun = [f"loss.{number}={value}" for number, value in SYSTEMS[name].start.items()]
            settings = [f"model.name={name}", f"train.seed={seed}", *begun, *arguments.set]
            config, began = replace_settings(load_config(CONFIG, []), settings), time.process_time()
            training = train(config, clips, systems=arguments.systems, num_classes=num_classes)
            line = {
                "system": name,
                "seed": seed,
                **{metric: round(value, 2) for metric, value in judge(training, arguments.machine).items()},
                "weights": sum(weight.numel() for weight in training.module.parameters()),
                "epochs": config.train.epochs,
                "seconds": round(time.process_time() - began, 1),
            }
            print(json.dumps(line), flush=True)
            print(f"{name}, seed {seed}: AUC {line['auc']:.1f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
