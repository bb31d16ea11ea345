"""A search on a cluster that begins without any node for trials; nodes come, one is killed, and another comes.

    python nodes.py SHARDS RUN

Prints the progress of the search, and what happens to the nodes. It is a process of its own: Ray lets nodes be
added from the main thread only, and must be gone afterwards.
"""

import queue
import sys
import threading
from pathlib import Path

from asd_ray.runtime import joined_ray  # isort: skip - before ray, whose switches it sets

import ray
from ray.cluster_utils import Cluster

from asd_ray import api
from asd_ray.config import RunConfig, replace_settings
from asd_ray.search.searcher import Ended

SETTINGS = (
    "model.width=0.0625",
    "train.epochs=4",
    "train.batch_size=16",
    "train.learning_rate=0.002",
    "search.trials=8",
    "search.prune=false",
)
STORE = 300 * 2**20
Event = str | Ended | BaseException | None


def main() -> None:
    shards, folder = Path(sys.argv[1]), Path(sys.argv[2])
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False},
    )
    events: queue.Queue[Event] = queue.Queue()

    def search() -> None:
        config = replace_settings(RunConfig(), SETTINGS)
        try:
            api.search(shards, folder, config, space_name="noisy_arcmix", tell=events.put, address=cluster.address)
            events.put(None)
        except BaseException as error:
            events.put(error)

    with joined_ray(cluster.address):  # here, for it stays until what the search has left is seen
        threading.Thread(target=search, daemon=True).start()
        watch(cluster, events)
        groups = ray.util.placement_group_table()
        left = [group["state"] for group in groups.values() if group["state"] != "REMOVED"]
        print(f"groups left: {left}", flush=True)
    cluster.shutdown()


def watch(cluster: Cluster, events: "queue.Queue[Event]") -> None:
    """Print what happens, and let nodes come and go, until the search has ended."""
    nodes = []
    while (event := events.get()) is not None:
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, str):
            print(event, flush=True)
            if "waiting for the first" in event:
                nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
                print("nodes came", flush=True)
            continue
        print(f"[{event.number}] {event.proposal.uid} {event.outcome} {event.epochs} {event.reason}", flush=True)
        if event.number == 2:
            cluster.remove_node(nodes[0], allow_graceful=False)
            print("node killed", flush=True)
        if event.number == 3:
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
            print("node back", flush=True)


if __name__ == "__main__":
    main()
