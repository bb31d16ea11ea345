"""A quiet Ray: this module alone starts, sizes and stops a local Ray, or joins a cluster."""

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from asd_ray.cluster.allocator import ALLOCATOR
from asd_ray.cluster.ray_internals import on_loopback, unprinted, without_processes
from asd_ray.cluster.session import compile_cache, session_folder
from asd_ray.cluster.tokens import local_token
from asd_ray.errors import EnvironmentFailure, InputError
from asd_ray.interrupts import own_signals

# With these variables Ray does not print what a person cannot act on; errors come back as exceptions. Ray reads
# some when it is imported, some when it starts, some when Tune and Train start: they hold for a whole search.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_worker_niceness": "0",  # training is what the machine is for
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
    # Train starts dead workers anew. A trial that cannot go on says why, and so does a lane whose node has gone.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed|retries remaining|worker\\(s\\) .*killed"
    "|Raylet is terminated|has been marked dead|infeasible resource requests",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C reaches the driver as KeyboardInterrupt
    "RAY_worker_maximum_startup_concurrency": "16",  # with fewer, Ray warns about processes of its own
    "TUNE_MAX_PENDING_TRIALS_PG": "32",  # trials may begin side by side; the lanes limit their number
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # a busy machine is slow to start workers
    # These make Train notice a dead worker quickly, and start nothing that lanes do not need.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",  # it would change the logging of the driver
    # Ray Data must not make a cluster grow in order to read clips: a cluster grows for lanes.
    **{
        f"RAY_DATA_DEFAULT_CLUSTER_SCALING_UP_{name}_UTIL_THRESHOLD": "2"
        for name in ("CPU", "GPU", "MEMORY", "OBJECT_STORE_MEMORY")
    },
}
# A search on one machine does not need these processes of a node, and each takes a second of a core: they print
# the logs of workers, ask a cloud for nodes, and run what is left of a dashboard that is off.
UNNEEDED = ("start_log_monitor", "start_monitor", "start_api_server")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process and of those that it starts, for the length of a block.

    Variables that are set already belong to the user, and stay as they are.
    """
    new = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in new})
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def joined_ray(address: str) -> Iterator[None]:
    """Join the cluster at an address (`auto`, or host:port) for the length of a block."""
    with environment(QUIET), warnings.catch_warnings():
        yield from _joined(address)


def _joined(address: str) -> Iterator[None]:
    import ray

    warnings.filterwarnings("ignore", module=r"ray\..*")
    if ray.is_initialized():
        with _quiet():
            yield
        return
    try:
        with own_signals():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                # Processes on other nodes do not inherit the environment of this process.
                runtime_env={"env_vars": {**QUIET, **ALLOCATOR}},
            )
    except ConnectionError as error:
        first = str(error).splitlines()[0]
        raise InputError(
            f"{address}: no Ray cluster answers: {first}; start one, or leave the address out"
        ) from None
    try:
        with _quiet():
            yield
    finally:
        ray.shutdown()


@contextmanager
def local_ray(*, cpus: int | None = None, object_store_bytes: int | None = None) -> Iterator[None]:
    """Ray on this machine for the length of a block; uses the Ray of this process if it has one already.

    Raises EnvironmentFailure if Ray does not start: most often the machine is too busy.
    """
    with environment(QUIET), warnings.catch_warnings():
        yield from _local(cpus, object_store_bytes)


def _local(cpus: int | None, object_store_bytes: int | None) -> Iterator[None]:
    import ray

    warnings.filterwarnings("ignore", module=r"ray\..*")
    if ray.is_initialized():
        with _quiet():
            yield
        return
    with session_folder() as session, environment(compile_cache(session / "torch") | local_token()):
        try:
            with own_signals(), on_loopback(), without_processes(UNNEEDED), environment(ALLOCATOR):
                ray.init(
                    address="local",  # never a cluster that somebody else started
                    num_cpus=cpus,
                    object_store_memory=object_store_bytes,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _temp_dir=str(session),
                )
        except Exception as error:  # Ray raises plain Exceptions, with paragraphs of advice
            ray.shutdown()
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0].rstrip(".")
            raise EnvironmentFailure(
                f"Ray did not start on this machine: {reason}; end other programs, and call again"
            ) from error
        try:
            with _quiet():
                yield
        finally:
            ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence bars, logs of workers, and tracebacks of retried tasks, for the length of a block.

    This also works when somebody else has started Ray, and lets it print what workers write.
    """
    levels = {
        # These loggers report their state, with tracebacks of what Ray retries. We need neither: a lane that ends
        # says why, and the search reports a trial that fails for good with its reason.
        "ray.data": logging.ERROR,
        "ray.train": logging.CRITICAL,
        "ray.tune": logging.CRITICAL,
    }
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        with unprinted(re.compile(QUIET["RAY_DEDUP_LOGS_SKIP_REGEX"])):
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
