"""A search on a cluster without a node for trials, but with an autoscaler, which may start two; one is killed.

    python nodes.py SHARDS RUN

Prints the progress of the search, and which nodes there are. The nodes are raylets on this machine that Ray's own
autoscaler starts and ends; it is a process of its own, with a home and a folder for Ray's files of its own.
"""

import json
import os
import queue
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from asd_ray.cluster.runtime import QUIET, joined_ray

HEAD = "f" * 51 + "00000"  # the provider numbers its nodes after this one
HEAD_TYPE = "ray.head.default"
FILES = tempfile.mkdtemp(prefix="asd-")  # sockets have short paths
os.environ |= QUIET | {  # before ray is imported: this program has nodes killed, and tells of them itself
    "HOME": FILES,
    "RAY_TMPDIR": FILES,
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
}

import psutil  # noqa: E402
import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

from asd_ray import api  # noqa: E402
from asd_ray.cluster.placement import living_nodes  # noqa: E402
from asd_ray.cluster.tokens import own_token  # noqa: E402
from asd_ray.config import RunConfig, replace_settings  # noqa: E402
from asd_ray.lanes import pool  # noqa: E402
from asd_ray.search.events import Ended, Event  # noqa: E402

SETTINGS = (
    "model.width=0.0625",
    "train.epochs=4",
    "train.batch_size=16",
    "train.learning_rate=0.002",
    "search.trials=6",
    "search.prune=false",
)
STORE = 300 * 2**20
SECOND_LANE_S = 120.0
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
COMMANDS = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
LISTS = (*(f"{name}_commands" for name in COMMANDS), "cluster_synced_files", "rsync_exclude", "rsync_filter")
Told = Event | BaseException | None


def cluster_file(address: str) -> Path:
    """Where `ray up` would leave it on the head: two nodes at most, given back after twelve idle seconds,
    which is longer than a lane takes to come up on one.
    """
    kinds = {
        HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
        "node": {"resources": {"CPU": 1, "object_store_memory": STORE}, "node_config": {}, "max_workers": 2},
    }
    provider = {"type": "external", "module": PROVIDER, "gcs_address": address, "head_node_id": HEAD}
    config = {
        "cluster_name": "asd",
        "max_workers": 2,
        "idle_timeout_minutes": 0.2,
        "provider": {**provider, "launch_multiple": True},
        "available_node_types": kinds,
        "head_node_type": HEAD_TYPE,
        "file_mounts_sync_continuously": False,
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{name: [] for name in LISTS},
    }
    path = Path(FILES) / "ray_bootstrap_config.yaml"
    path.write_text(json.dumps(config))
    return path


def start_head() -> Cluster:
    with socket.socket() as free:
        free.bind(("", 0))
        port: int = free.getsockname()[1]
    path = cluster_file(f"{ray.util.get_node_ip_address()}:{port}")
    names = {"RAY_CLOUD_INSTANCE_ID": HEAD, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD}
    options = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False, "gcs_server_port": port}
    return Cluster(
        initialize_head=True, head_node_args={**options, "autoscaling_config": str(path), "env_vars": names}
    )


def nodes() -> list[str]:
    """Numbers of the nodes for trials; on a busy machine one may fail to start, and leave a gap."""
    return sorted(node["NodeID"][-5:].lstrip("0") for node in living_nodes() if node["NodeID"] != HEAD)


def processes_of(node: str) -> list[psutil.Process]:
    """All processes on a node of this number."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            own = process.environ()
            if own.get("RAY_TMPDIR") == FILES and own.get("RAY_CLOUD_INSTANCE_ID", "").endswith(node.zfill(5)):
                found.append(process)
    return found


def epochs_begun() -> int:
    """As the planted log of epochs has it."""
    log = Path(os.environ["ASD_TEST_FAULTS"]) / "epochs.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def kill_a_node() -> None:
    """SIGKILL to all that runs on the first of the nodes: as when a machine is taken away."""
    for process in processes_of(nodes()[0]):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    print("node killed", flush=True)


def end_log_monitors() -> None:
    """Ray's provider of such nodes forgets those of nodes that were killed or failed to start."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if "log_monitor.py" in command and f"--session-dir={FILES}" in command:
                process.kill()


def search(shards: Path, folder: Path, address: str, events: "queue.Queue[Told]") -> None:
    config, both = replace_settings(RunConfig(), SETTINGS), threading.Event()

    def tell(event: Event) -> None:
        events.put(event)
        if isinstance(event, str) and "2 lanes on" in event:
            both.set()
        if isinstance(event, Ended) and event.number == 1:
            both.wait(SECOND_LANE_S)  # a quick lane would do all the trials before the other node is there

    try:
        api.search(shards, folder, config, space_name="noisy_arcmix", on_event=tell, address=address)
        events.put(None)
    except BaseException as error:
        events.put(error)


def watch(events: "queue.Queue[Told]") -> None:
    """Print what happens until the search has ended; kill a node once two trials have, and two others run."""
    seen: list[str] = []
    while True:
        if (there := nodes()) != seen:
            seen = there
            print(f"nodes: {len(seen)}", flush=True)
        try:
            event = events.get(timeout=0.5)
        except queue.Empty:
            continue
        if event is None:
            return
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, str):
            print(event, flush=True)
        if not isinstance(event, Ended):
            continue
        print(f"[{event.number}] {event.proposal.uid} {event.outcome} {event.epochs} {event.reason}", flush=True)
        if event.number == 2:
            begun = epochs_begun()
            while epochs_begun() < begun + 2:  # the middle of the next trial
                time.sleep(0.05)
            kill_a_node()


def main() -> None:
    pool.PATIENCE = 1  # look, after which it says that there is no room: a node may come within the usual five
    own_token()  # in the home of its own there is none yet, and Ray wants one before it makes one
    cluster = start_head()
    events: queue.Queue[Told] = queue.Queue()
    arguments = (Path(sys.argv[1]), Path(sys.argv[2]), cluster.address, events)
    with joined_ray(cluster.address):  # here, for it stays until what the search has left is seen
        threading.Thread(target=search, args=arguments, daemon=True).start()
        watch(events)
        groups = ray.util.placement_group_table()
        left = [group["state"] for group in groups.values() if group["state"] != "REMOVED"]
        print(f"groups left: {left}", flush=True)
        end = time.monotonic() + 90
        while nodes() and time.monotonic() < end:
            time.sleep(0.5)
        print(f"nodes left: {nodes()}", flush=True)
    cluster.shutdown()
    end_log_monitors()
    shutil.rmtree(FILES, ignore_errors=True)


if __name__ == "__main__":
    main()
