"""The arithmetic of sharing a machine or a cluster among lanes; it is checked before anything starts."""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml

from asd_ray.clip import bytes_per_clip
from asd_ray.cluster.placement import living_nodes
from asd_ray.cluster.ray_internals import count_cpus
from asd_ray.cluster.runtime import joined_ray, local_ray
from asd_ray.config import LaneConfig
from asd_ray.errors import InputError
from asd_ray.lanes.elastic import AS_MANY_AS_COME, Amounts, Cluster, decide

SMALLEST_STORE = 256 * 2**20
STREAMING_STORE = 2 * 2**30  # holds blocks on their way to the lanes, however large the corpus is
# Where `ray up` leaves the cluster's file on the head node; a pod of KubeRay has none.
BOOTSTRAP_FILE = Path("~/ray_bootstrap_config.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many lanes there are, and what each of them is; `lane` has no automatic values left."""

    count: int
    lane: LaneConfig

    @property
    def inline(self) -> bool:
        return self.lane.inline

    @property
    def resources(self) -> dict[str, float]:
        """The resources of one worker."""
        return {"CPU": self.lane.cpus} | ({"GPU": self.lane.gpus} if self.lane.gpus else {})

    @property
    def each(self) -> str:
        """What one lane is, in words."""
        gpu = f" and {self.lane.gpus:g} GPU" if self.lane.gpus else ""
        workers = f"{self.lane.workers} workers, each " if self.lane.workers > 1 else ""
        return f"{workers}{self.lane.cpus:g} CPU{gpu}"

    def __str__(self) -> str:
        what = "inline process" if self.inline else "lane"
        plural = "s" if self.count > 1 and not self.inline else "es" if self.count > 1 else ""
        return f"{self.count} {what}{plural} of {self.each}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where the clips will be: kept in the object store of this machine, or streamed through it."""

    clips: int
    streams: bool
    store_bytes: int  # size of the object store
    words: str


@contextmanager
def ray_with_room(address: str | None, clips: int, lanes: LaneConfig, *, log_mels: int) -> Iterator[Room]:
    """Ray for the length of a block: a local one with room for the clips, or a cluster with the room it has."""
    if address is not None:
        with joined_ray(address):
            yield room_on_cluster(clips, lanes, log_mels=log_mels)
        return
    room = make_room(clips, lanes, log_mels=log_mels)
    with local_ray(object_store_bytes=room.store_bytes):
        yield room


def make_room(clips: int, lanes: LaneConfig, *, log_mels: int = 1) -> Room:
    """Room for `clips` clips with their log-mels, as `lanes.resident` wants it.

    Raises InputError naming the numbers and the mend.

    `auto` streams the clips only if they cannot be kept: every epoch then reads them, and computes their log-mels.
    """
    shared = Path("/dev/shm")
    disk = os.statvfs(shared) if shared.exists() else None
    free = disk.f_bavail * disk.f_frsize if disk else 2**63
    return _make_room(clips, lanes, log_mels=log_mels, free=free, where=f"{shared} has {free / 1e9:.1f} GB free")


def room_on_cluster(clips: int, lanes: LaneConfig, *, log_mels: int = 1) -> Room:
    """The same on a running cluster. The driver's node keeps the clips, if they are kept, because it stays as long
    as the search does: other nodes hold copies, and may go."""
    here = ray.get_runtime_context().get_node_id()
    free = int(next(node for node in living_nodes() if node["NodeID"] == here)["Resources"]["object_store_memory"])
    where = f"Ray has {free / 1e9:.1f} GB of it on the driver's node"
    return _make_room(clips, lanes, log_mels=log_mels, free=free, where=where)


def _make_room(clips: int, lanes: LaneConfig, *, log_mels: int, free: int, where: str) -> Room:
    need = clips * bytes_per_clip(log_mels)
    kept = max(SMALLEST_STORE, 2 * need)  # every clip once, and as much again for the blocks Ray Data works on
    amount = f"{need / 1e9:.1f} GB"
    if lanes.resident == "stream" or (lanes.resident == "auto" and kept > free):
        why = "" if lanes.resident == "stream" else f": {amount} do not fit {free / 1e9:.1f} GB of shared memory"
        store = min(max(SMALLEST_STORE, int(0.8 * free)), STREAMING_STORE)
        return Room(
            clips=clips, streams=True, store_bytes=store, words=f"streaming {clips} clips in every epoch{why}"
        )
    if kept > free:
        raise InputError(
            f"{clips} clips need {kept / 1e9:.1f} GB of shared memory, {where}; set "
            "lanes.resident=stream, or search fewer recordings"
        )
    return Room(
        clips=clips, streams=False, store_bytes=kept, words=f"reading {clips} clips into shared memory ({amount})"
    )


def machine_resources() -> dict[str, float]:
    """What Ray would find on this machine, without starting Ray; the object store can have any size."""
    import torch  # imported late: it takes seconds, and only a dry run needs it here

    return {"CPU": count_cpus(), "GPU": float(torch.cuda.device_count()), "object_store_memory": math.inf}


def share_out(
    lanes: LaneConfig, *, trials: int, clips: int, log_mels: int = 1, have: Mapping[str, float] | None = None
) -> Share:
    """The lanes that fit the running Ray cluster, or the resources in `have`.

    Raises InputError naming the numbers and the mend.
    """
    if have is None:
        have = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
    lane_gpus = lanes.gpus if lanes.gpus is not None else (1.0 if gpus else 0.0)
    lane = lanes.model_copy(update={"gpus": lane_gpus})
    if lane.inline and lane.workers > 1:
        raise InputError(
            f"lanes.workers={lane.workers}: an inline search has one worker; drop --inline or workers"
        )
    need_cpus, need_gpus = lane.workers * lane.cpus, lane.workers * lane_gpus
    fit = int(cpus / need_cpus + 1e-9)
    if need_gpus:
        fit = min(fit, int(gpus / need_gpus + 1e-9))
    wanted = lane.count or min(fit, trials)
    if wanted > fit or fit < 1:
        raise InputError(
            f"lanes: {max(wanted, 1)} of {lane.workers} worker(s) with {lane.cpus:g} CPU and {lane_gpus:g} GPU do "
            f"not fit {cpus:g} CPU and {gpus:g} GPU, {fit} would; set lanes.count, lanes.cpus or lanes.gpus"
        )
    store, need = have.get("object_store_memory", 0.0), clips * bytes_per_clip(log_mels)
    if need > store:
        raise InputError(
            f"{clips} clips need {need / 1e9:.1f} GB of shared memory, Ray has {store / 1e9:.1f} GB; "
            "search fewer machine types at a time, or use a machine with more memory"
        )
    return Share(count=max(1, min(wanted, trials)), lane=lane)


def share_cluster(lanes: LaneConfig) -> Share | None:
    """The lanes that a running cluster has room for, now or once it has grown; at most `count` of them.

    None while nothing is known about the nodes that will come. Raises InputError naming the numbers and the mend.
    """
    types = _node_types(BOOTSTRAP_FILE.expanduser())
    lane = decide(lanes, Cluster(nodes=tuple(node["Resources"] for node in living_nodes()), types=types))
    return Share(count=lanes.count or AS_MANY_AS_COME, lane=lane) if lane is not None else None


def _node_types(path: Path) -> tuple[tuple[Amounts, int], ...]:
    """What each type of worker node has and how many there may be, from the cluster file of `ray up`."""
    if not path.exists():
        return ()
    document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    limit, head = document.get("max_workers", 0), document.get("head_node_type")
    return tuple(
        (kind.get("resources") or {}, min(kind.get("max_workers", limit), limit))
        for name, kind in document.get("available_node_types", {}).items()
        if name != head
    )
