"""Check whether a search can run here, and say what must be put right.

    asd-ray doctor                                        # this machine
    asd-ray doctor --data datasets/ --run runs/           # also recordings (or shards), and where runs go
    asd-ray doctor --address http://127.0.0.1:8265        # also a Ray cluster

The exit status is 0 if a search can run, and 1 if something keeps it from running.
"""

import argparse
from functools import partial
from pathlib import Path

from asd_ray import shipped
from asd_ray.errors import DONE, FAILED
from asd_ray.files.paths import is_object, place


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=place, help="shards, or a folder of recordings")
    parser.add_argument(
        "--run", type=place, default=Path("runs"), help="folder that is to hold the runs (default runs/)"
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
    if arguments.address is not None:
        from asd_ray.doctor.cluster import check_cluster

        checks["cluster"] = partial(check_cluster, arguments.address, insecure=arguments.insecure)
    faults = 0
    for subject, check in checks.items():
        for finding in examine(subject, check):
            mark = "FAULT" if finding.level == "fault" else finding.level
            print(f"{mark:5}  {finding.subject:9}  {finding.text}", flush=True)
            faults += finding.level == "fault"
    print(f"{faults} to mend" if faults else "nothing keeps a search from running here")
    return FAILED if faults else DONE
