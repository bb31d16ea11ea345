"""Where a search runs, as its command line says it: here, on a cluster that is joined, or sent there as a job.

The job runs the very options that were typed, on a copy of the clone that they were typed for. Where there is no
clone, the copy is made of the installed package and the files that the options name. In the job, `JOB` is set, and
the address is the cluster around it.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from asd_ray import shipped
from asd_ray.cluster.tokens import MODE, PATH, TOKEN, own_token
from asd_ray.errors import InputError, hide_passwords
from asd_ray.interrupts import interruptible, status_of
from asd_ray.invocation import call_of

if TYPE_CHECKING:
    from asd_ray.cluster.jobs import JobOrder
    from asd_ray.config import SearchConfig

LISTENS_S = 3.0
JOB = "ASD_JOB"
_DASHBOARD = re.compile(r"https?://[^/]+/?")
_SHARED = re.compile(r"/|[a-z0-9]+://")  # a path that means the same on every machine, if they share it


def joined_address(address: str | None, *, insecure: bool) -> str | None:
    """The address to join: None for this machine. Raises InputError for a cluster that lets in anybody."""
    if os.environ.get(JOB):
        return "auto"
    if address is None:
        return None
    if not re.fullmatch(r"auto|[^\s/]+:\d+", address):
        raise InputError(f"--address {address}: give auto, host:port, or http(s)://host:port of a dashboard")
    _check_that_something_listens(address)
    own_token()
    if not insecure and _lets_in_anybody(address):
        raise InputError(
            f"--address {address}: this cluster lets in anybody, without a token: whoever reaches it can run any "
            f"program there; start its nodes with {MODE}=token, or give --insecure"
        )
    if not insecure:
        os.environ[MODE] = "token"  # read when ray is imported
    return address


def _check_that_something_listens(address: str) -> None:
    """Raises InputError within seconds; Ray itself would try for a quarter of an hour."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=LISTENS_S).close()
    except (OSError, OverflowError) as error:
        raise InputError(
            f"--address {address}: nothing listens there ({getattr(error, 'strerror', None) or error}); "
            "give the address of a running cluster's head, or leave it out"
        ) from error


def _lets_in_anybody(address: str) -> bool:
    """Whether the cluster answers a process that shows no token."""
    hidden = (TOKEN, PATH)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    asked = subprocess.run(
        [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address],
        env={**environment, MODE: "disabled"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return asked.returncode == 0


def is_for_a_job(arguments: argparse.Namespace) -> bool:
    """Whether the command is to be done by a job of a cluster, and this process is not that job."""
    sent = bool(_DASHBOARD.fullmatch(arguments.address or ""))
    if arguments.follow and not sent:
        raise InputError(f"--follow {arguments.follow}: give --address http(s)://host:port of its cluster, too")
    return sent and not os.environ.get(JOB)


def run_as_job(arguments: argparse.Namespace, search: "SearchConfig") -> int:
    """Send a search to the cluster, or find it there, and show what it prints; its exit status.

    `search` is what the arguments and the config say. Raises InputError.
    """
    from asd_ray.cluster import jobs as cluster

    if not arguments.follow:
        _check(arguments, search)
    client = cluster.connect(arguments.address, insecure=arguments.insecure)
    if arguments.follow:
        job = cluster.find(client, arguments.follow)
    else:
        with TemporaryDirectory(prefix="asd_ray-") as copy:
            order = _order(arguments, search, copy=Path(copy))
            job = cluster.submit(
                client, order, on_event=lambda line: print(f"{arguments.address}: {line}", flush=True)
            )
    again = f"--address {arguments.address} --follow {arguments.follow or arguments.run}"
    farewell = (
        f"the search goes on there; see it again with: {call_of('tune')} {again}\n"
        f"end it with: {cluster.how_to_stop(arguments.address, job)}"
    )
    try:
        with interruptible(farewell):
            return cluster.follow(client, job, write=lambda text: print(text, end="", flush=True))
    except KeyboardInterrupt as interrupt:
        return status_of(interrupt)


def _order(arguments: argparse.Namespace, search: "SearchConfig", *, copy: Path) -> "JobOrder":
    """What is sent: the clone, or what is put into `copy` where there is none."""
    from asd_ray.cluster.jobs import JobOrder

    clone = shipped.clone()
    root = clone or Path.cwd()
    there = {str(Path(name)): _name_there(name, root) for name in _files(arguments, search)}
    if clone is None:
        _copy_package(copy, there.values())
    return JobOrder(
        root=clone or copy,
        words=[
            *(["launch/tune.py"] if clone else ["-m", "asd_ray", "tune"]),
            *_with_names(_without(arguments.words, "--storage"), there),
        ],
        run=str(arguments.run),
        files=list(there.values()),
        variables=_variables(arguments),
    )


def _copy_package(folder: Path, files: Iterable[str]) -> None:
    """The installed package, and files of the working directory; `python -m asd_ray` finds both in the copy."""
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).is_file():
            raise InputError(
                f"{name}: the cluster gets a copy of the files that the command line names, and this one is not "
                f"below {Path.cwd()}; put it there, and name it as seen from there"
            )
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(name, folder / name)
    shutil.copytree(
        shipped.PACKAGE, folder / "asd_ray", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
    )


def _check(arguments: argparse.Namespace, search: "SearchConfig") -> None:
    """Raises InputError for what would be another place on another machine, or is not to be shown there."""
    for option, path in (("--data", arguments.data), ("--run", arguments.run)):
        if path is None:
            raise InputError(
                f"--address {arguments.address}: give {option}, a place that all its nodes see: s3://..., "
                "gs://..., or a folder of a shared disk"
            )
    if arguments.mlflow and hide_passwords(arguments.mlflow) != arguments.mlflow:
        raise InputError(
            f"--mlflow {hide_passwords(arguments.mlflow)}: all who list the jobs there would see the password; "
            "leave it out, and send MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD by --env (or PGPASSWORD)"
        )
    sources = [("--warm-start", text) for text in search.warm_start]
    for option, path in (("--data", arguments.data), ("--run", arguments.run), *sources):
        if not _SHARED.match(str(path)):
            raise InputError(
                f"{option} {path}: lies on this machine, or in the job's own copy of this folder, which goes "
                "with it; give s3://..., gs://..., or the whole path of a folder on a disk that all nodes share"
            )


def _files(arguments: argparse.Namespace, search: "SearchConfig") -> list[str]:
    """What the command line and the config name of the folder that is sent, not what comes with the package."""
    config = arguments.config
    configs = [config] if config and (config.is_file() or shipped.preset(str(config)) is None) else []
    spaces = [arguments.space] if arguments.space.endswith((".yaml", ".yml")) else []
    named = [*configs, *spaces, *search.enqueue]
    return [str(name) for name in named if "://" not in str(name)]


def _name_there(name: str, root: Path) -> str:
    """A file of this machine as a job sees it from the root of its copy; as it is where it is in no such root."""
    path = Path(name).parent.resolve() / Path(name).name
    return path.relative_to(root).as_posix() if path.is_file() and path.is_relative_to(root) else name


def _with_names(words: Sequence[str], there: Mapping[str, str]) -> list[str]:
    """A command line with files named as a job sees them."""
    named = []
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        named.append(f"{option}{equals}{there.get(str(Path(value)), value)}")  # ./mine.yaml is mine.yaml
    return named


def _variables(arguments: argparse.Namespace) -> dict[str, str]:
    """What the job's environment is to hold. A password is no matter for a command line, which others can see."""

    for name in arguments.env:
        if name not in os.environ:
            raise InputError(f"--env {name}: is not set here; set it, or leave it out")
    from asd_ray.config import STORAGE_VARIABLE  # late: with it comes pydantic

    storage = arguments.storage or os.environ.get(STORAGE_VARIABLE)
    return (
        {name: os.environ[name] for name in arguments.env}
        | ({STORAGE_VARIABLE: storage} if storage else {})
        | {JOB: "1"}
    )


def _without(words: Sequence[str], option: str) -> list[str]:
    """A command line without an option and its value."""
    kept = [word for word in words if not word.startswith(f"{option}=")]
    while option in kept:
        at = kept.index(option)
        del kept[at : at + 2]
    return kept
