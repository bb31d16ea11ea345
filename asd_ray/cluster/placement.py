"""Where in a cluster Ray puts things: what must outlive the nodes of the lanes stays on the node of the driver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from asd_ray.cluster.shared_disk import Sight, shown
from asd_ray.errors import EnvironmentFailure, InputError

ANSWER_S = 60.0
NODE_ID = "ray.io/node-id"  # the label that Ray gives every node


def on_this_node() -> dict[str, str]:
    """Labels by which Ray places an actor, a task or a bundle on the node of the caller."""
    return {NODE_ID: ray.get_runtime_context().get_node_id()}


def living_nodes() -> list[dict[str, Any]]:
    """What Ray says of the nodes that are there."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


@contextmanager
def seen_from_all_nodes(
    folder: Path, data: Path, address: str | None, *, on_event: Callable[[str], None]
) -> Iterator[Sight | None]:
    """What workers look for before they train, on a cluster; None on this machine.

    `on_event` hears of nodes that do not answer. Raises InputError where one that is there does not see the
    folder of the run, or a file of the data.
    """
    if address is None:
        yield None
        return
    with shown(folder, data) as sight:
        silent = on_every_node(sight.check)
        if silent:
            on_event(
                f"no answer from {', '.join(silent)} within {ANSWER_S:.0f} s, whether --run and --data are seen "
                "there: going on without it; lanes there will look again"
            )
        yield sight


def on_every_node(check: Callable[[], None]) -> list[str]:
    """Have a check done on every living node; the addresses of those that do not answer, and are still there.

    Raises the first InputError.
    """

    def look() -> None:  # Ray takes functions only, no methods
        check()

    task: Any = ray.remote(num_cpus=0, max_retries=0)(look)
    asked = {task.options(label_selector={NODE_ID: node["NodeID"]}).remote(): node for node in living_nodes()}
    done, unanswered = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
    for answer in done:
        with plain_errors():
            try:
                ray.get(answer)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
                continue
    there = {node["NodeID"] for node in living_nodes()} if unanswered else set()
    return [asked[one]["NodeManagerAddress"] for one in unanswered if asked[one]["NodeID"] in there]


def quiet_data_context() -> Any:
    """The settings of Ray Data in this process: without bars, and without a line at every start."""
    from ray.data import DataContext  # most processes have no use for it

    context: Any = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return context


@contextmanager
def plain_errors() -> Iterator[None]:
    """An InputError or EnvironmentFailure of a task comes as it was raised, however often Ray has wrapped it."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while isinstance(cause, ray.exceptions.RayError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, InputError | EnvironmentFailure):
            raise cause from None
        raise
