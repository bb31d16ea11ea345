"""Every private name of Ray that this project uses, as of Ray 2.60; no other file may borrow one.

Ray promises nothing about these names. `BORROWED` says where each comes from and which behaviour we rely on, and
`OVERRIDDEN` which private methods of public classes our own classes replace elsewhere.
tests/cluster/test_ray_internals.py tries each of them with the installed Ray, and docs/next-ray.md says what to do
about another version. This module imports nothing from Ray before it is needed: a process that asks for one name
imports only that one.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from re import Pattern
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

if TYPE_CHECKING:
    from ray.data._internal.cluster_autoscaler import get_or_create_autoscaling_coordinator as _coordinator
    from ray.train.v2._internal.callbacks import DatasetsCallback as DatasetsCallback
    from ray.train.v2._internal.callbacks.placement_group_callback import (
        PlacementGroupCleanerCallback as PlacementGroupCleanerCallback,
    )
    from ray.train.v2._internal.exceptions import (
        WorkerGroupStartupFailedError as WorkerGroupStartupFailedError,
    )
    from ray.train.v2._internal.execution.callback import WorkerGroupCallback as WorkerGroupCallback
    from ray.train.v2._internal.execution.controller import TrainController as TrainController
    from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy as FixedScalingPolicy
    from ray.train.v2._internal.execution.worker_group import WorkerGroup as WorkerGroup
    from ray.train.v2._internal.execution.worker_group.placement_group_handle import (
        DefaultPlacementGroupHandle as DefaultPlacementGroupHandle,
    )

    get_or_create_autoscaling_coordinator = _coordinator


class Borrowed(NamedTuple):
    """Where a name lives, and what we rely on."""

    module: str
    relied_on: str


_TRAIN = "ray.train.v2._internal"
BORROWED = {
    # Train's controller, which runs in a thread of the driver (lanes/controller.py)
    "TrainController": Borrowed(
        f"{_TRAIN}.execution.controller",
        "its coroutine `run` does all the work of a Train run in whatever loop it is given; it makes its worker "
        "group by `worker_group_cls`, and calls `_run_control_loop_iteration` again and again",
    ),
    "WorkerGroup": Borrowed(
        f"{_TRAIN}.execution.worker_group",
        "`_start` and `_start_impl` bring the workers up; `_create_placement_group` asks for their room; "
        "`_get_worker_runtime_env` and `_init_train_context_on_workers` prepare each of them",
    ),
    "FixedScalingPolicy": Borrowed(
        f"{_TRAIN}.execution.scaling_policy",
        "it asks the autoscaler for room in `after_controller_start` and `_maybe_send_resource_request` alone",
    ),
    "DefaultPlacementGroupHandle": Borrowed(
        f"{_TRAIN}.execution.worker_group.placement_group_handle",
        "a worker group waits for its room by `wait(seconds)`, which answers whether it has come",
    ),
    "WorkerGroupCallback": Borrowed(
        f"{_TRAIN}.execution.callback", "`after_worker_group_start` is called before the Train loop begins"
    ),
    "WorkerGroupStartupFailedError": Borrowed(
        f"{_TRAIN}.exceptions", "the controller starts a group anew whose start has raised it"
    ),
    "PlacementGroupCleanerCallback": Borrowed(
        f"{_TRAIN}.callbacks.placement_group_callback", "a process of its own, which lanes do without"
    ),
    "DatasetsCallback": Borrowed(f"{_TRAIN}.callbacks", "a process of its own, which lanes do without"),
    # Ray Data's
    "get_or_create_autoscaling_coordinator": Borrowed(
        "ray.data._internal.cluster_autoscaler",
        "a detached actor that stays on the node where it is first made",
    ),
}


# Private methods of public classes that our classes override: where they do, and what we rely on.
OVERRIDDEN = {
    ("ray.train.torch.TorchTrainer", "_create_default_callbacks"): "lanes/controller.py: Train's own callbacks",
    ("ray.train.torch.TorchTrainer", "_initialize_and_run_controller"): "lanes/controller.py: `fit` ends in it",
}


def __getattr__(name: str) -> Any:
    if name in BORROWED:
        return getattr(import_module(BORROWED[name].module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# -- a local Ray


@contextmanager
def on_loopback() -> Iterator[None]:
    """Make a node that starts within the block listen on the loopback address alone.

    Relied on: Ray does so where ENABLE_RAY_CLUSTER is false, as it is on macOS.
    """
    from ray._private import ray_constants

    with patch.object(ray_constants, "ENABLE_RAY_CLUSTER", False):
        yield


@contextmanager
def without_processes(names: Iterable[str]) -> Iterator[None]:
    """Make a node that starts within the block start none of these processes.

    Relied on: `Node` starts each of them by the method of that name, and works without them.
    """
    from ray._private import utils
    from ray._private.node import Node

    with ExitStack() as stack:
        # Ray would spend a second importing what a dashboard needs, to see whether it could have one.
        stack.enter_context(patch.object(utils, "get_dashboard_dependency_error", _wants_no_dashboard))
        for name in names:
            # `patch.object` raises for a name that this Ray does not know.
            stack.enter_context(patch.object(Node, name, lambda node, **options: None))
        yield


def _wants_no_dashboard() -> ImportError:
    return ImportError("a search on one machine has no use for a dashboard")


@contextmanager
def unprinted(skipped: Pattern[str]) -> Iterator[None]:
    """Within the block, print nothing that workers write, and no line of Ray's that matches `skipped`.

    Relied on: Ray prints through this dispatcher and these filters. It reads the variable that sets the filters
    when it is imported, so they are set here for programs that have imported Ray before.
    """
    from ray._private import ray_logging

    with (
        patch.object(ray_logging.global_worker_stdstream_dispatcher, "emit", lambda data: None),
        patch.object(ray_logging.stdout_deduplicator, "skip_re", skipped),
        patch.object(ray_logging.stderr_deduplicator, "skip_re", skipped),
    ):
        yield


def count_cpus() -> float:
    """The number of processors that a local Ray would offer; it respects the limit of a container."""
    from ray._private.utils import get_num_cpus

    return float(get_num_cpus())


def memory_in_use() -> tuple[int, int]:
    """The bytes of memory in use and in all: of the container if there is one, otherwise of this machine.

    Relied on: Ray's memory monitor decides by these figures when to kill workers.
    """
    from ray._common.utils import get_system_memory
    from ray._private.utils import get_used_memory

    used: int = get_used_memory()  # type: ignore[no-untyped-call]
    return used, get_system_memory()


# -- what a driver and its workers share


def put_shared(key: bytes, value: bytes) -> None:
    """Keep a value in Ray's own store, where every process of the cluster finds it."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(key, value, overwrite=True)


def get_shared(key: bytes) -> bytes | None:
    from ray.experimental.internal_kv import _internal_kv_get

    value: bytes | None = _internal_kv_get(key)
    return value


# -- Tune

OUT_OF_MEMORY = "its process ran out of memory"


def mend_out_of_memory() -> None:
    """Make Tune treat an OutOfMemoryError as the death of one actor. Calling it again does nothing.

    Ray's memory monitor answers with OutOfMemoryError, which is neither of the two kinds of error that Tune's
    actor manager knows: it would raise RuntimeError out of `Tuner.fit`, and one trial would end the search.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import OutOfMemoryError, RayActorError

    as_shipped = RayActorManager._actor_task_failed
    if getattr(as_shipped, "mended", False):
        return

    def mended(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=OUT_OF_MEMORY)
        as_shipped(manager, tracked_actor_task, exception)

    mended.mended = True  # type: ignore[attr-defined]
    RayActorManager._actor_task_failed = mended  # type: ignore[method-assign, assignment]


# -- Train


def replace_synchronizer(of_one: Any, shut_down: Any) -> None:
    """Replace Train's class of actors at which workers wait for each other, and the function that ends them.

    `of_one` makes our class from Train's. Relied on: a worker group makes these actors by the first name below, in
    its own module, and ends them by the second, in `state`.
    """
    group, state = (import_module(f"{_TRAIN}.execution.worker_group.{name}") for name in ("worker_group", "state"))
    vars(group)["SynchronizationActor"] = of_one(vars(group)["SynchronizationActor"])
    vars(state)["_shutdown_sync_actor"] = shut_down


# -- jobs

LOUD_ABOUT_FILES = ("ray._private.runtime_env.packaging", "ray._private.runtime_env.working_dir")  # loggers


def files_sent(root: Path) -> list[Path]:
    """The files of a folder that Ray's job client would send: only the client knows which names it leaves out."""
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env import packaging

    found: list[Path] = []
    excludes = [packaging._get_excludes(root, get_runtime_env_default_excludes())]
    packaging._dir_travel(root, excludes, found.append, include_gitignore=True)
    return found
