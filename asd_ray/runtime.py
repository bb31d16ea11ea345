"""A quiet Ray: a local one started, sized and stopped here and nowhere else, or a cluster that is joined.

Import this module before ray: some of Ray's switches are read when it is imported.
"""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asd_ray.allocator import ALLOCATOR

# What a person cannot act on is not printed; what went wrong comes back as an exception.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_worker_niceness": "0",  # training is what the machine is for
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    # Workers that die are started anew; a trial that cannot go on says why, and a lane whose node has gone too.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed|retries remaining|worker\\(s\\) .*killed"
    "|Raylet is terminated|has been marked dead|infeasible resource requests",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches the driver as KeyboardInterrupt
    "RAY_worker_maximum_startup_concurrency": "16",  # or Ray warns of the processes that it needs itself
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # a busy box takes its time
    # Train is quick to notice a dead worker, and starts nothing that lanes do not need.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    # Reading clips is no reason for a cluster to grow: lanes are.
    **{
        f"RAY_DATA_DEFAULT_CLUSTER_SCALING_UP_{name}_UTIL_THRESHOLD": "2"
        for name in ("CPU", "GPU", "MEMORY", "OBJECT_STORE_MEMORY")
    },
}
for _name, _value in {**QUIET, **ALLOCATOR}.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
import ray.data  # noqa: E402

from asd_ray.command import InputError  # noqa: E402
from asd_ray.locks import folder_lock  # noqa: E402
from asd_ray.tokens import protect_token  # noqa: E402


@contextmanager
def joined_ray(address: str) -> Iterator[None]:
    """The cluster at an address (`auto`, or host:port) for the length of a block."""
    if ray.is_initialized():
        yield
        return
    warnings.filterwarnings("ignore", module=r"ray\..*")
    try:
        # Processes on other nodes do not inherit this one's environment.
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {**QUIET, **ALLOCATOR}},
        )
    except ConnectionError as error:
        first = str(error).splitlines()[0]
        raise InputError(
            f"{address}: no Ray cluster answers: {first}; start one, or leave the address out"
        ) from None
    try:
        _quieten()
        yield
    finally:
        ray.shutdown()


@contextmanager
def local_ray(*, cpus: int | None = None, object_store_bytes: int | None = None) -> Iterator[None]:
    """Ray on this machine for the length of a block; joins one that is running in this process already.

    Raises InputError where it does not start: most often the machine is too busy.
    """
    if ray.is_initialized():
        yield
        return
    warnings.filterwarnings("ignore", module=r"ray\..*")
    with _session_folder() as session:
        try:
            ray.init(
                address="local",  # never a cluster that somebody else started
                num_cpus=cpus,
                object_store_memory=object_store_bytes,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(session),
            )
        except Exception as error:  # Ray raises plain ones, with paragraphs of advice
            ray.shutdown()
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
            raise InputError(
                f"Ray did not start on this machine: {reason}; end other programs, and call again"
            ) from error
        try:
            protect_token()
            _quieten()
            yield
        finally:
            ray.shutdown()


@contextmanager
def _session_folder() -> Iterator[Path]:
    """Where Ray keeps sockets and logs: short, for sockets have short paths, and gone afterwards.

    Those of killed processes are removed here too.
    """
    base = Path(tempfile.gettempdir())
    for stale in base.glob("asd_ray-*-*"):
        # The lock, not the process's number, says who lives: containers that share a disk count processes apart.
        with suppress(InputError), folder_lock(stale, mend="its search is at work"):
            shutil.rmtree(stale, ignore_errors=True)
    session = Path(tempfile.mkdtemp(prefix=f"asd_ray-{os.getpid()}-", dir=base))
    with folder_lock(session, mend="start the search again"):
        try:
            yield session
        finally:
            shutil.rmtree(session, ignore_errors=True)


def _quieten() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # It prints tracebacks of what is retried; a trial that fails for good is reported with its reason.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
