"""A search on a head without CPUs and two nodes of one CPU each; one node is killed, and another joins later.

    python nodes.py SHARDS RUN

Prints the progress of the search, and what happens to the nodes. It is a process of its own: Ray lets nodes be
added from the main thread only, and must be gone afterwards.
"""

import queue
import sys
import threading
from pathlib import Path

from asd_ray import api  # isort: skip - before ray, whose switches it sets

import ray
from ray.cluster_utils import Cluster

from asd_ray.config import RunConfig, replace_settings
from asd_ray.search.searcher import Ended

SETTINGS = (
    "model.width=0.0625",
    "train.epochs=4",
    "train.batch_size=16",
    "train.learning_rate=0.002",
    "search.trials=8",
    "search.prune=false",
    "lanes.count=2",
)
STORE = 300 * 2**20


def main() -> None:
    shards, folder = Path(sys.argv[1]), Path(sys.argv[2])
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False},
    )
    first, _ = (cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2))
    ray.init(address=cluster.address, log_to_driver=False)
    events: queue.Queue[str | Ended | BaseException | None] = queue.Queue()

    def search() -> None:
        config = replace_settings(RunConfig(), SETTINGS)
        try:
            api.search(shards, folder, config, space_name="noisy_arcmix", tell=events.put)
            events.put(None)
        except BaseException as error:
            events.put(error)

    threading.Thread(target=search, daemon=True).start()
    while (event := events.get()) is not None:
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, str):
            print(event, flush=True)
            continue
        print(f"[{event.number}] {event.proposal.uid} {event.outcome} {event.epochs} {event.reason}", flush=True)
        if event.number == 2:
            cluster.remove_node(first, allow_graceful=False)
            print("node killed", flush=True)
        if event.number == 5:
            cluster.add_node(num_cpus=1, object_store_memory=STORE)
            print("node back", flush=True)
    # What was taken is free again: all CPUs of the nodes, and no placement group is left.
    groups = ray.util.placement_group_table()
    print(f"left: {[group['state'] for group in groups.values() if group['state'] != 'REMOVED']}", flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
