"""Sharing a machine out among lanes: the arithmetic, checked before anything starts."""

from dataclasses import dataclass

import ray

from asd_ray.command import InputError
from asd_ray.config import LaneConfig
from asd_ray.data.blocks import BYTES_PER_CLIP


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many lanes, and what each of them is; `lane` has no automatic values left."""

    count: int
    lane: LaneConfig

    @property
    def inline(self) -> bool:
        return self.lane.inline

    @property
    def resources(self) -> dict[str, float]:
        """Of one worker."""
        return {"CPU": self.lane.cpus} | ({"GPU": self.lane.gpus} if self.lane.gpus else {})

    def __str__(self) -> str:
        what = "inline process" if self.inline else "lane"
        gpu = f" and {self.lane.gpus:g} GPU" if self.lane.gpus else ""
        workers = f"{self.lane.workers} workers, each " if self.lane.workers > 1 else ""
        plural = "s" if self.count > 1 and not self.inline else "es" if self.count > 1 else ""
        return f"{self.count} {what}{plural} of {workers}{self.lane.cpus:g} CPU{gpu}"


def share_out(lanes: LaneConfig, *, trials: int, clips: int) -> Share:
    """The lanes that fit the running Ray cluster. Raises InputError naming the numbers and the mend."""
    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
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
    store, need = have.get("object_store_memory", 0.0), clips * BYTES_PER_CLIP
    if need > store:
        raise InputError(
            f"{clips} clips need {need / 1e9:.1f} GB of shared memory, Ray has {store / 1e9:.1f} GB; "
            "search fewer machine types at a time, or use a machine with more memory"
        )
    return Share(count=max(1, min(wanted, trials)), lane=lane)
