"""Where in a cluster Ray puts things: what must outlive the lanes' nodes stays on the driver's node."""

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
    """Labels that make Ray place an actor, a task or a bundle on the caller's node."""
    return {NODE_ID: ray.get_runtime_context().get_node_id()}


def living_nodes() -> list[dict[str, Any]]:
    """Ray's description of every node that is alive."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


@contextmanager
def seen_from_all_nodes(
    folder: Path, data: Path, address: str | None, *, on_event: Callable[[str], None]
) -> Iterator[Sight | None]:
    """On a cluster, the files that workers look for before they train; None on this machine.

    `on_event` hears about nodes that do not answer. Raises InputError if a node that answers does not see the run
    folder, or a file of the data.
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
    """Run a check on every living node; return the addresses of nodes that do not answer but are still there.

    Raises the first InputError.
    """

    def look() -> None:  # Ray takes only functions as tasks, not methods
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
    """Make Ray Data in this process show no bars, and print no line at every start; return its settings."""
    from ray.data import DataContext  # imported late, because most processes do not need it

    context: Any = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return context


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise an InputError or EnvironmentFailure of a task as it was, however often Ray has wrapped it."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while isinstance(cause, ray.exceptions.RayError):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, InputError | EnvironmentFailure):
            raise cause from None
        raise
