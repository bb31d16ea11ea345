"""How a process that trains gets its memory: from jemalloc, which comes with Ray's wheel. Imports no ray.

glibc gives the large activations of a training step back to the system at once, and faults them in again at the
next step: that takes half of a processor's time. jemalloc keeps them, and uses no more memory (figures in
docs/LOG.md).
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_ray.cluster.session import compile_cache

# Variables for a process that starts Ray or a node: Ray's workers inherit them.
ALLOCATOR = {
    "RAY_LD_PRELOAD_ON_WORKERS": "1",  # without this Ray uses jemalloc in its own daemons only
    # jemalloc never gives freed memory back, and handles large pieces like all others instead of separately.
    # All threads share one arena: memory that one of several arenas keeps is of no use to threads of another.
    "MALLOC_CONF": "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0",
    # On a cluster that was started without the first of these variables, workers use glibc: with huge pages, which
    # make faults rare, and one arena, because Train runs its loop in a thread of its own.
    "GLIBC_TUNABLES": ":".join(
        (
            "glibc.malloc.hugetlb=1",
            "glibc.malloc.arena_max=1",
            f"glibc.malloc.mmap_threshold={32 * 2**20}",
            f"glibc.malloc.trim_threshold={32 * 2**30}",
        )
    ),
}


def lane_allocator() -> dict[str, str]:
    """Variables for a process outside Ray that has to get its memory, and keep compiled code, as a lane does."""
    ray = importlib.util.find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    library = Path(ray.origin).parent / "core" / "libjemalloc.so"  # not in Ray's wheels for macOS
    return ALLOCATOR | compile_cache() | ({"LD_PRELOAD": str(library)} if library.exists() else {})


@contextmanager
def children_like_lanes() -> Iterator[None]:
    """Processes started within the block get their memory as lanes do."""
    before, settings = dict(os.environ), lane_allocator()
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
