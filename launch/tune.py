#!/usr/bin/env python
"""Search, for every machine type, the loss that detects its anomalies best.

    python launch/tune.py                                   # a small search on a built-in corpus
    python launch/tune.py --data shards/ --run runs/first   # your recordings, or shards made of them
    python launch/tune.py --data shards/ --run runs/first --trials 120   # the same search, further

A search that was stopped, by Ctrl-C or worse, goes on by the same call.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.command import DONE, FAILED, INTERRUPTED, Parser, run_command

if TYPE_CHECKING:  # what needs torch and ray is imported after parsing, so that --help is quick
    from asd_ray.config import RunConfig
    from asd_ray.report.summary import Summary
    from asd_ray.search.tuner import Ended

QUICK = Path(__file__).with_name("quick.yaml")
# Options that are short for a setting of the config.
SHORT = {
    "trials": "search.trials",
    "epochs": "train.epochs",
    "scope": "search.scope",
    "sampler": "search.sampler",
    "protocol": "score.protocol",
    "objective": "score.objective",
    "lanes": "lanes.count",
    "workers": "lanes.workers",
    "seed": "search.seed",
}


def parse() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--data", type=Path, help="shards, or a folder of recordings (default: a built-in corpus)")
    parser.add_argument("--run", type=Path, help="run folder (default: runs/ and a name of what is searched)")
    parser.add_argument("--config", type=Path, help="YAML file of settings (default: the published ones)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="one setting, e.g. model.width=0.5"
    )
    parser.add_argument(
        "--space", default="noisy_arcmix", help="search space, by name or file (default noisy_arcmix)"
    )
    parser.add_argument("--trials", type=int, help="in all, over all machine types and all calls (default 60)")
    parser.add_argument("--epochs", type=int, help="of a trial that is not stopped early (default 300)")
    parser.add_argument("--scope", choices=["joint", "own"], help="train on all machine types, or on the owner's")
    parser.add_argument("--sampler", choices=["auto", "gp", "tpe", "random"])
    parser.add_argument("--protocol", choices=["auto", "dcase", "split", "paper"], help="which labels choose")
    parser.add_argument("--objective", choices=["mean", "auc", "pauc", "mauc"])
    parser.add_argument("--lanes", type=int, help="trials at a time (default: as many as fit)")
    parser.add_argument("--workers", type=int, help="data-parallel workers of a lane (default 1)")
    parser.add_argument("--seed", type=int, help="of the search (default 0)")
    parser.add_argument("--inline", action="store_true", help="train without Ray Train, for debugging")
    parser.add_argument("--resample", action="store_true", help="accept other sample rates than 16 kHz")
    return parser.parse_args()


def settings(arguments: argparse.Namespace) -> list[str]:
    short = [
        f"{name}={getattr(arguments, key)}" for key, name in SHORT.items() if getattr(arguments, key) is not None
    ]
    return [*short, *(["lanes.inline=true"] if arguments.inline else []), *arguments.set]


def command(arguments: argparse.Namespace) -> int:
    from asd_ray.config import load_config

    built_in = arguments.data is None
    config = load_config(arguments.config or (QUICK if built_in else None), settings(arguments))
    from asd_ray import api  # after the config is known to be good: this imports torch and ray
    from asd_ray.search.tuner import SearchStoppedError

    if built_in:
        print(f"no --data given: using the built-in corpus of synthetic machines in {api.SYNTHETIC}")
        arguments.data = api.synthetic_dataset()
    shards = api.find_shards(
        arguments.data,
        valid_fraction=0.25 if built_in else 0.05,  # a small corpus: a threshold needs some validation clips
        resample=arguments.resample,
        on_progress=print_progress,
    )
    folder = arguments.run or api.name_run(shards, config, arguments.space)
    print_plan(shards, folder, config)
    began = time.monotonic()
    try:
        summary = api.search(
            shards, folder, config, space_name=arguments.space, tell=lambda event: print_event(event, began)
        )
    except KeyboardInterrupt:
        print(f"interrupted; go on with: python launch/tune.py {again(arguments, folder)}", file=sys.stderr)
        return INTERRUPTED
    except SearchStoppedError as error:
        print(f"the search stopped: {error}", file=sys.stderr)
        print(f"go on with: python launch/tune.py {again(arguments, folder)}", file=sys.stderr)
        return FAILED
    print_end(folder, summary)
    return DONE if all(machine.best for machine in summary.machines) else FAILED


def again(arguments: argparse.Namespace, folder: Path) -> str:
    """The arguments that continue this search."""
    import shlex

    words = sys.argv[1:]
    return shlex.join(words if arguments.run else [*words, "--run", str(folder)])


def print_progress(done: int, total: int) -> None:
    if done == total:
        print(f"checked {total} recordings", flush=True)


def print_plan(shards: Path, folder: Path, config: "RunConfig") -> None:
    from asd_ray.data.manifest import Manifest

    manifest = Manifest.load(shards)
    clips = {
        split: sum(shard.rows for shard in manifest.shards_of([split])) for split in ("train", "valid", "test")
    }
    types = {name for name, _ in manifest.classes}
    print(
        f"{shards}: {len(types)} machine types, {len(manifest.classes)} machines; "
        f"{clips['train']} training, {clips['valid']} validation and {clips['test']} test clips"
    )
    if manifest.quarantined:
        print(f"{manifest.quarantined} recordings were left out: see {shards / 'quarantine.csv'}")
    search, train = config.search, config.train
    print(f"{search.trials} trials in all, of up to {train.epochs} epochs; results in {folder}", flush=True)


def print_event(event: "str | Ended", began: float) -> None:
    seconds = f"{time.monotonic() - began:5.0f} s"
    if isinstance(event, str):
        print(f"{seconds}  {event}", flush=True)
        return
    values = " ".join(f"{name} {100 * value:.1f}" for name, value in event.values.items())
    what = f": {event.reason}" if event.reason else f" after {event.epochs} epochs: {values}"
    print(f"{seconds}  [{event.number}/{event.total}] {event.proposal.uid} {event.outcome}{what}", flush=True)


def print_end(folder: Path, summary: "Summary") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from asd_ray.report.render import percent
    from asd_ray.report.summary import baseline_name

    table = Table(
        "machine type", "best trial", "choosing", "reporting", baseline_name(summary.run), box=box.SIMPLE
    )
    for machine in summary.machines:
        best, published = machine.best, machine.published
        if best is None:
            table.add_row(machine.machine_type, "none is complete")
            continue
        scores = [best.objective, best.reporting_objective, published.reporting_objective if published else None]
        table.add_row(machine.machine_type, best.uid, *map(percent, scores))
    Console().print(table)
    print("in per cent, chance is 50; choosing: on the clips that chose the config; reporting: on the others,")
    print("which the configuration that the search started from is judged by too")
    print(f"report: {folder / 'report' / 'report.md'}")
    first = next((machine.machine_type for machine in summary.machines if machine.best), None)
    if first is not None:
        print(f"next:   python launch/score.py {folder / 'best' / f'{first}.yaml'} RECORDINGS")


if __name__ == "__main__":
    run_command(command, parse())
