"""Where in a cluster Ray puts things: what must outlive the nodes of the lanes stays on the node of the driver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from asd_ray.command import InputError
from asd_ray.sight import Sight, shown

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
def seen_from_all_nodes(folder: Path, data: Path, address: str | None) -> Iterator[Sight | None]:
    """What workers look for before they train, on a cluster; None on this machine.

    Raises InputError where a node that is there does not see the folder of the run, or a file of the data.
    """
    if address is None:
        yield None
        return
    with shown(folder, data) as sight:
        on_every_node(sight.check)
        yield sight


def on_every_node(check: Callable[[], None]) -> None:
    """Have a check done on every living node. Raises the first InputError; a node that does not answer passes."""

    def look() -> None:  # Ray takes functions only, no methods
        check()

    task: Any = ray.remote(num_cpus=0, max_retries=0)(look)
    asked = [task.options(label_selector={NODE_ID: node["NodeID"]}).remote() for node in living_nodes()]
    done, _ = ray.wait(asked, num_returns=len(asked), timeout=ANSWER_S)
    for answer in done:
        with plain_errors():
            try:
                ray.get(answer)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError):
                continue


@contextmanager
def plain_errors() -> Iterator[None]:
    """What a user can mend in a task: its InputError comes as it was raised, not wrapped by Ray."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        raise
