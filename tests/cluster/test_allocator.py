"""Processes that train have jemalloc: those of Ray, and our own that are measured in their stead."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import ray

from asd_ray.cluster.allocator import ALLOCATOR, children_like_lanes
from asd_ray.cluster.runtime import local_ray


def allocated_by_jemalloc() -> tuple[bool, str | None]:
    return "libjemalloc" in Path("/proc/self/maps").read_text(), os.environ.get("MALLOC_CONF")


def test_children_get_their_memory_as_lanes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_CONF", "of the user")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool, children_like_lanes():
        there = pool.submit(allocated_by_jemalloc).result()
    assert there == (True, ALLOCATOR["MALLOC_CONF"])
    assert os.environ["MALLOC_CONF"] == "of the user"
    assert "LD_PRELOAD" not in os.environ


@pytest.mark.extra
def test_workers_of_ray_do() -> None:
    with local_ray(cpus=1, object_store_bytes=100 * 2**20):
        there = ray.get(ray.remote(allocated_by_jemalloc).remote())
    assert there == (True, ALLOCATOR["MALLOC_CONF"])
