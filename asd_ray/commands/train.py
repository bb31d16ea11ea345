"""Train one config in full, on one or many workers.

    asd-ray train runs/first/best/fan.yaml                       # as long as in the search
    asd-ray train runs/first/best/fan.yaml --epochs 300 --workers 2

CONFIG is a best/<machine_type>.yaml of a search, or any YAML file of settings (then give --data). It becomes a
detector that `asd-ray score` loads. Call a stopped training again in the same way, and it goes on where it was.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray.errors import DONE, FAILED, InputError
from asd_ray.files.paths import place
from asd_ray.interrupts import interruptible, status_of

if TYPE_CHECKING:
    from asd_ray.config import RunConfig
    from asd_ray.scoring.detector import Best
    from asd_ray.training.messages import EpochReport


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", type=place, help="best/<machine_type>.yaml, or a file of settings"
    )
    parser.add_argument(
        "--data", type=place, help="shards, or a folder of recordings (default: the shards of the search)"
    )
    parser.add_argument("--out", type=place, help="folder for the training (default: full/ beside best/)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="change one setting, e.g. train.batch_size=32"
    )
    parser.add_argument("--epochs", type=int, help="number of epochs (default: as the config has it)")
    parser.add_argument("--seed", type=int, help="seed of the training (default: as the config has it)")
    parser.add_argument(
        "--workers", type=int, help="number of data-parallel workers (default: as the config has it)"
    )


def main(arguments: argparse.Namespace) -> int:
    config, found = read_config(arguments)
    from asd_ray import api  # after the config is known to be good: this imports torch and ray
    from asd_ray.data.manifest import Manifest
    from asd_ray.search.train_one import TrainingFailedError

    data = arguments.data or (place(found.data) if found else None)
    if data is None:
        raise InputError(f"{arguments.config}: names no data; give --data")
    if not data.exists():
        raise InputError(f"{data}: the data of {arguments.config} is not there; give --data")
    folder = default_folder(arguments, found)
    types = (found.machine_type,) if found else ()
    shards = api.find_shards(data)
    if found and arguments.data is None and Manifest.load(shards).fingerprint != found.fingerprint:
        raise InputError(
            f"{data}: not the clips that {arguments.config} was found with; to train on them all the same, "
            f"give --data {data}"
        )
    print(f"training {arguments.config} for {config.train.epochs} epochs in {folder}", flush=True)
    try:
        with interruptible("interrupted; the same call goes on"):
            paths = api.train(shards, folder, config, machine_types=types, on_epoch=print_epoch)
    except TrainingFailedError as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as interrupt:
        return status_of(interrupt)
    for path in paths:
        print_detector(path)
    return DONE


def read_config(arguments: argparse.Namespace) -> "tuple[RunConfig, Best | None]":
    """The config, and all of a best/<machine_type>.yaml where it is one."""
    from asd_ray.config import load_config
    from asd_ray.files.strict_yaml import load, read_yaml

    settings = ["lanes.count=1", "lanes.inline=false"]
    for name, key in (("epochs", "train.epochs"), ("seed", "train.seed"), ("workers", "lanes.workers")):
        if getattr(arguments, name) is not None:
            settings.append(f"{key}={getattr(arguments, name)}")
    config = load_config(arguments.config, [*settings, *arguments.set])
    document, _ = read_yaml(arguments.config)
    if "machine_type" not in document:
        return config, None
    from asd_ray.scoring.detector import Best

    return config, load(arguments.config, Best)


def default_folder(arguments: argparse.Namespace, found: "Best | None") -> Path:
    out: Path | None = arguments.out
    if out is not None:
        return out
    config: Path = arguments.config
    name = config.stem
    return config.parent.parent / "full" / name if found else Path("runs") / name


def print_epoch(report: "EpochReport") -> None:
    valid = "" if report.valid_loss is None else f", validation {report.valid_loss:.3f}"
    print(f"epoch {report.epoch}: loss {report.train_loss:.3f}{valid} ({report.seconds:.1f} s)", flush=True)


def print_detector(path: Path) -> None:
    from asd_ray.files.strict_yaml import load
    from asd_ray.report.render import percent
    from asd_ray.scoring.detector import Best

    best = load(path, Best)
    choosing, reporting = percent(best.choosing["objective"]), percent(best.reporting["objective"])
    unit = "per cent, optimistic: the same clips do both" if best.protocol == "paper" else "per cent"
    print(f"{best.machine_type}: choosing {choosing}, reporting {reporting} ({unit}): {path}")
