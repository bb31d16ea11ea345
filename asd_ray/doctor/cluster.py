"""Checks of a Ray cluster: whether it answers, admits only those it should, and has room for lanes."""

from collections import Counter
from collections.abc import Iterator

from asd_ray.doctor.finding import Finding


def check_cluster(address: str, *, insecure: bool) -> Iterator[Finding]:
    """Check the cluster at `auto`, host:port, or a dashboard's http(s)://host:port. Raises InputError."""
    if "://" in address:
        yield from _check_dashboard(address, insecure=insecure)
    else:
        yield from _check_nodes(address, insecure=insecure)


def _check_dashboard(address: str, *, insecure: bool) -> Iterator[Finding]:
    from asd_ray.cluster import jobs as cluster

    client = cluster.connect(address, insecure=insecure)
    jobs = Counter(str(job.status) for job in client.list_jobs())
    counted = ", ".join(f"{count} {status.lower()}" for status, count in jobs.items()) or "none yet"
    yield Finding("ok", "cluster", f"{address}: takes this token; jobs: {counted}")


def _check_nodes(address: str, *, insecure: bool) -> Iterator[Finding]:
    from asd_ray.cluster.address import joined_address

    joined = joined_address(address, insecure=insecure)  # before importing ray: it sets how Ray authenticates
    from asd_ray.cluster.placement import living_nodes
    from asd_ray.cluster.runtime import joined_ray
    from asd_ray.config import LaneConfig
    from asd_ray.lanes.sizes import share_cluster

    assert joined is not None
    with joined_ray(joined):
        nodes = living_nodes()
        cpus = sum(node["Resources"].get("CPU", 0.0) for node in nodes)
        gpus = sum(node["Resources"].get("GPU", 0.0) for node in nodes)
        yield Finding("ok", "cluster", f"{address}: {len(nodes)} nodes with {cpus:g} CPU and {gpus:g} GPU in all")
        share = share_cluster(LaneConfig())
        if share is None:
            yield Finding("note", "cluster", "no node for trials yet: a search waits for the first that comes")
        else:
            yield Finding("ok", "cluster", f"a lane would be {share.each}")
