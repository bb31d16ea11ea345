"""Where in a cluster Ray puts things: what must outlive the nodes of the lanes stays on the node of the driver."""

from typing import Any

import ray

NODE_ID = "ray.io/node-id"  # the label that Ray gives every node


def on_this_node() -> dict[str, str]:
    """Labels by which Ray places an actor, a task or a bundle on the node of the caller."""
    return {NODE_ID: ray.get_runtime_context().get_node_id()}


def living_nodes() -> list[dict[str, Any]]:
    """What Ray says of the nodes that are there."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]
