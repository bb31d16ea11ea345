"""How a process that trains gets its memory: from jemalloc, which Ray's wheel brings along. No ray.

glibc gives the large activations of a training step back to the system at once and faults them in again at the
next step: half of a processor's time. jemalloc keeps them, and holds no more for it (figures in docs/LOG.md).
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_ray.cluster.session import compile_cache

# Of a process that starts Ray, or a node: Ray's workers inherit it.
ALLOCATOR = {
    "RAY_LD_PRELOAD_ON_WORKERS": "1",  # else Ray keeps jemalloc to its own daemons
    # Freed memory is never given back, and large pieces, which it would treat apart, are pieces like all others.
    # One arena for all threads: what one of several arenas has kept is of no use to threads of another.
    "MALLOC_CONF": "narenas:1,dirty_decay_ms:-1,muzzy_decay_ms:-1,oversize_threshold:0",
    # Where a cluster was started without the first of these: glibc, with huge pages, which make faults rare; one
    # arena, because Train runs its loop in a thread of its own.
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
    """The variables of a process that is not Ray's and shall get its memory, and keep compiled code, as a lane."""
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
