"""A search as a job of a Ray cluster: sent there, followed from here, found again by the name of its run."""

import logging
import os
import re
import secrets
import shlex
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from asd_ray.cluster.ray_internals import LOUD_ABOUT_FILES, files_sent
from asd_ray.cluster.tokens import MODE, own_token, token_file
from asd_ray.errors import FAILED, INTERRUPTED, InputError

ADDRESS_VARIABLES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LIMIT = 100 * 2**20  # bytes of a request that the head takes
LOOK_S = 1.0
PATIENCE_S = 120.0  # without an answer: a laptop that wakes up, a tunnel that is set up again
TIMEOUT_S = 10.0
_SDK = "ray.dashboard.modules.dashboard_sdk"
_RUN = "asd_run"  # in a job's metadata: the run folder
_REFUSED = re.compile(r"Request failed with status code (4\d\d)")  # as the job client words it
# Ray tells of every file of ignored names.
for _name in (*LOUD_ABOUT_FILES, _SDK):
    logging.getLogger(_name).setLevel(logging.ERROR)
# `ray job stop` is to a search what Ctrl-C is; it then needs a moment to end its lanes.
_STOPPING = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "60"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """What is to be sent."""

    root: Path  # the folder that the job gets a copy of, and starts in
    words: Sequence[str]  # the command line, from what Python runs on
    run: str
    files: Sequence[str]  # paths below root that the command line names
    variables: Mapping[str, str]


def connect(address: str, *, insecure: bool = False) -> JobSubmissionClient:
    """The jobs of the cluster whose dashboard is at http(s)://host:port.

    Raises InputError when nothing answers, when it does not take our token, and when it would take anybody's word,
    unless that is what is wanted (`insecure`).
    """
    address = address.rstrip("/")
    token = own_token()
    _spare_the_proxy(address)
    with _asking(address):
        answer = requests.get(f"{address}/api/jobs/", timeout=TIMEOUT_S)
    is_open = answer.status_code == requests.codes.ok
    if is_open and not insecure:
        raise InputError(
            f"{address}: this cluster answers anybody, without a token: whoever reaches it can run any program "
            "there; start its nodes with RAY_AUTH_MODE=token, or give --insecure"
        )
    headers = {} if is_open else {"Authorization": f"Bearer {token}"}
    with _asking(address), _without_other_addresses():
        client = JobSubmissionClient(address, headers=headers)
        client.list_jobs()
    assert client.get_address().rstrip("/") == address, "what was checked is what is used"
    return client


@contextmanager
def _without_other_addresses() -> Iterator[None]:
    """Ray's client would take an address of these variables in place of the one that it is given."""
    hidden = {name: os.environ.pop(name) for name in ADDRESS_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _spare_the_proxy(address: str) -> None:
    """Have requests to this machine itself go straight there, and to no proxy that the user's variables name."""
    if urlsplit(address).hostname in LOOPBACK:
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = ",".join(filter(None, [os.environ.get(name, ""), *LOOPBACK]))


@contextmanager
def _asking(address: str) -> Iterator[None]:
    """Raises InputError for what keeps the cluster from answering."""
    try:
        yield
    except AuthenticationError as error:
        raise InputError(
            f"{address}: the token in {token_file()} is not the cluster's; copy that of its head there"
        ) from error
    except (requests.exceptions.RequestException, ConnectionError) as error:
        raise InputError(
            f"{address}: no dashboard of a Ray cluster answers; `ray dashboard cluster.yaml` makes a way there"
        ) from error
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{address}: the cluster refuses: {reason}; see to its head") from error


def submit(client: JobSubmissionClient, order: JobOrder, *, on_event: Callable[[str], None]) -> str:
    """Send the search, or find it if the very same one is there; the name of its job. Raises InputError."""
    entrypoint = shlex.join(["python", *order.words])
    for job in _jobs_of(client, order.run):
        if job.status.is_terminal():
            continue
        if job.entrypoint != entrypoint:
            raise InputError(
                f"{order.run}: in use by job {job.submission_id} ({job.entrypoint}); follow it with --follow "
                f"{order.run}, or end it with: {how_to_stop(client.get_address(), str(job.submission_id))}"
            )
        on_event(f"job {job.submission_id} is searching already")
        return str(job.submission_id)
    check_sent(order.root, order.files)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", order.run.rstrip("/").rpartition("/")[2])[:60]
    with _asking(client.get_address()):
        job_name: str = client.submit_job(
            entrypoint=entrypoint,
            submission_id=f"{name}-{secrets.token_hex(4)}",
            metadata={_RUN: order.run.rstrip("/")},
            runtime_env={
                "working_dir": str(order.root),
                "env_vars": {**order.variables, **_STOPPING, "PYTHONUNBUFFERED": "1"},
            },
        )
    on_event(f"job {job_name}")
    return job_name


def how_to_stop(address: str, job: str) -> str:
    """The command that ends a job; Ray's own shows the token only if it is told to."""
    return f"{MODE}=token ray job stop --address {address} {job}"


def check_sent(root: Path, files: Sequence[str]) -> None:
    """Raises InputError where a folder is too large to be sent, or lacks one of these files.

    Files are named as the job will: as seen from the folder.
    """
    files_there = [path for path in files_sent(root) if path.is_file()]
    sizes = {path.relative_to(root).as_posix(): path.stat().st_size for path in files_there}
    for name in files:
        state = _unsent(root, name, sizes)
        if state:
            raise InputError(
                f"{name}: the cluster gets a copy of {root}, and this file {state}; put it where it is sent, "
                "and name it as seen from there"
            )
    total = sum(sizes.values())
    if total > LIMIT:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        named = ", ".join(f"{name} ({sizes[name] / 2**20:.0f} MiB)" for name in largest)
        raise InputError(
            f"{root}: holds {total / 2**20:.0f} MiB, and a cluster takes {LIMIT // 2**20} MiB; name what it does "
            f"not need in .gitignore or .rayignore; the largest: {named}"
        )


def _unsent(root: Path, name: str, sent: Collection[str]) -> str:
    """Why a job would not find a file of this name; empty if it will."""
    inside = os.path.relpath(root / name, root)
    if Path(inside).parts[0] == os.pardir:
        return f"lies outside of {root}, which is what is sent"
    if inside in sent:
        return f"has another whole path there: name it {inside}" if Path(name).is_absolute() else ""
    return "is left out by .gitignore" if (root / inside).is_file() else f"is not in {root}"


def find(client: JobSubmissionClient, run: str) -> str:
    """The name of the last job that searched a run folder. Raises InputError."""
    jobs = _jobs_of(client, run)
    if not jobs:
        with _asking(client.get_address()):
            runs = sorted({(job.metadata or {}).get(_RUN, "") for job in client.list_jobs()} - {""})
        raise InputError(f"--follow {run}: the cluster has no such run; it has {', '.join(runs) or 'none'}")
    return str(jobs[-1].submission_id)


def _jobs_of(client: JobSubmissionClient, run: str) -> list[JobDetails]:
    """The jobs that searched a run folder, or the job of that name, the last one last."""
    with _asking(client.get_address()):
        jobs = client.list_jobs()
    mine = [
        job
        for job in jobs
        if job.submission_id and run.rstrip("/") in ((job.metadata or {}).get(_RUN), job.submission_id)
    ]
    return sorted(mine, key=lambda job: job.start_time or 0)


def follow(client: JobSubmissionClient, job: str, *, write: Callable[[str], None]) -> int:
    """Write what a job prints until it ends; its exit status.

    A cluster that does not answer for a while is asked again. Raises InputError when it does not come back, does
    not let us in any more, or knows no such job.
    """
    shown, heard = 0, time.monotonic()
    while True:
        try:
            details = client.get_job_info(job)
            text = client.get_job_logs(job)
        except AuthenticationError:
            with _asking(client.get_address()):
                raise
        except (requests.exceptions.RequestException, ConnectionError, RuntimeError) as error:  # the last: no 200
            _check_refused(client.get_address(), job, error)
            if time.monotonic() - heard > PATIENCE_S:
                raise InputError(
                    f"{client.get_address()}: no answer for {PATIENCE_S:.0f} s; job {job} goes on there, "
                    f"follow it with --follow {job}"
                ) from error
            time.sleep(LOOK_S)
            continue
        heard = time.monotonic()
        write(text[shown:])
        shown = max(shown, len(text))
        if details.status.is_terminal():
            return _exit_status(details, write)
        time.sleep(LOOK_S)


def _check_refused(address: str, job: str, error: Exception) -> None:
    """Raises InputError where asking again is of no use."""
    refused = _REFUSED.match(str(error))
    if refused is None:
        return
    if refused[1] == "404":
        raise InputError(
            f"--follow {job}: {address} knows no such job, or no longer, as a head that was started anew; "
            "send the search again by the same call without --follow: it goes on"
        ) from error
    with _asking(address):
        raise error


def _exit_status(details: JobDetails, write: Callable[[str], None]) -> int:
    if details.status == JobStatus.SUCCEEDED:
        return 0
    if details.status == JobStatus.STOPPED:
        return INTERRUPTED
    if details.driver_exit_code:
        return int(details.driver_exit_code)
    write(f"{details.message or details.error_type or 'the job failed'}\n")  # it never ran
    return FAILED
