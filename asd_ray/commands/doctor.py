"""Check whether a search can run here, and say what must be put right.

    asd-ray doctor                                        # this machine
    asd-ray doctor --data datasets/ --run runs/           # also recordings (or shards), and where runs go
    asd-ray doctor --data shards/ --run runs/first --config my.yaml --space mine.yaml   # also a planned search
    asd-ray doctor --address http://127.0.0.1:8265        # also a Ray cluster

The exit status is 0 if a search can run, and 1 if something keeps it from running.
"""

import argparse
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from asd_ray import shipped
from asd_ray.errors import DONE, FAILED
from asd_ray.files.paths import is_object, place

if TYPE_CHECKING:
    from asd_ray.doctor.finding import Finding


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=place, help="shards, or a folder of recordings")
    parser.add_argument(
        "--run",
        type=place,
        default=Path("runs"),
        help="the run folder, or the folder that runs are to be kept in (default runs/)",
    )
    parser.add_argument("--config", type=place, help="YAML file of settings, or quick, of the search")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="one setting, e.g. model.width=0.5"
    )
    parser.add_argument("--space", help="search space, by name or file (default: that of the system)")
    parser.add_argument(
        "--storage", metavar="URL", help="PostgreSQL server to keep the studies in (default: $ASD_STORAGE, if set)"
    )
    parser.add_argument(
        "--address", metavar="CLUSTER", help="Ray cluster to check: auto, host:port, or http(s)://host:port"
    )
    parser.add_argument("--insecure", action="store_true", help="connect even to a cluster without authentication")


def main(arguments: argparse.Namespace) -> int:
    from asd_ray.doctor import machine
    from asd_ray.doctor.finding import Check, examine
    from asd_ray.doctor.installed import check_installed

    clone = shipped.clone()
    checks: dict[str, Check] = {
        "python": machine.check_python,
        "packages": partial(machine.check_packages, clone / "requirements.lock") if clone else check_installed,
        "processor": machine.check_processor,
        "memory": machine.check_memory,
        "gpu": machine.check_gpu,
    }
    if not is_object(arguments.run):
        checks["disk"] = partial(machine.check_disk, arguments.run)
    if arguments.data is not None:
        from asd_ray.doctor.corpus import check_corpus

        checks["data"] = partial(check_corpus, arguments.data)
    if arguments.data or arguments.config or arguments.set or arguments.space or arguments.storage:
        checks["search"] = partial(_check_search, arguments)
    if arguments.address is not None:
        from asd_ray.doctor.cluster import check_cluster

        checks["cluster"] = partial(check_cluster, arguments.address, insecure=arguments.insecure)
    faults, told = 0, set()
    for subject, check in checks.items():
        for finding in examine(subject, check):
            if (finding.level, finding.text) in told:  # two checks may come upon one fault
                continue
            told.add((finding.level, finding.text))
            mark = "FAULT" if finding.level == "fault" else finding.level
            print(f"{mark:5}  {finding.subject:9}  {finding.text}", flush=True)
            faults += finding.level == "fault"
    print(f"{faults} to mend" if faults else "nothing keeps a search from running here")
    return FAILED if faults else DONE


def _check_search(arguments: argparse.Namespace) -> "Iterable[Finding]":
    from asd_ray.commands.tune import config_file, default_space
    from asd_ray.config import load_config
    from asd_ray.doctor.search import check_planned

    given = arguments.config
    config = load_config(config_file(given) if given else None, arguments.set)
    return check_planned(
        arguments.data,
        config,
        space_name=arguments.space or default_space(config),
        folder=arguments.run,
        storage=arguments.storage,
    )
