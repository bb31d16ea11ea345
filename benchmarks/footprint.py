"""How much memory the processes of a search hold, with what they share counted once.

A page of the object store is mapped by many processes, or by none just now: Ray says how much the store holds, and
the processes are counted without it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SHARED_MEMORY = "/dev/shm"


def processes() -> Iterator[psutil.Process]:
    """This one, and all that it started."""
    here = psutil.Process()
    yield here
    yield from here.children(recursive=True)


def name_of(process: psutil.Process) -> str:
    """As Ray names its processes: `ray::RayTrainWorker.run`, say; empty for one that has ended."""
    try:
        return "".join(process.cmdline()[:1]).strip()
    except psutil.Error:
        return ""


def proportional_mb(pid: int) -> float:
    """Its own memory and its part of what it shares (PSS), without the object store; 0 for one that has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    return sum_pss(text) / 1000


def sum_pss(smaps: str) -> float:
    """kB of all mappings that are no files of shared memory, in the format of /proc/<pid>/smaps.

    >>> sum_pss('''7f00-7f01 rw-s 00000000 00:19 2  /dev/shm/plasma8xKq (deleted)
    ... Pss:                 900 kB
    ... 7f02-7f03 rw-p 00000000 00:00 0
    ... Rss:                  30 kB
    ... Pss:                  20 kB
    ... Pss_Dirty:            10 kB
    ... ''')
    20.48
    """
    total, counted = 0, True
    for line in smaps.splitlines():
        first, *rest = line.split()
        if not first.endswith(":"):  # a mapping begins: addresses, rights, offset, device, inode, path
            counted = not (len(rest) > 4 and rest[4].startswith(SHARED_MEMORY))
        elif first == "Pss:" and counted:
            total += int(rest[0])
    return total * 1.024  # smaps writes kB for 1,024 bytes


def private_mb(process: psutil.Process) -> float:
    """Resident memory without files and shared memory: quick to read; 0 for one that has ended."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0
    return float(memory.rss - memory.shared) / 1e6


class Peak:
    """The most private memory that all processes held together, so far."""

    def __init__(self) -> None:
        self.before_mb = sum(map(private_mb, processes()))
        self.mb = self.before_mb


@contextmanager
def watching(every_s: float = 0.1) -> Iterator[Peak]:
    """Look at all processes for the length of a block."""
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.wait(every_s):
            peak.mb = max(peak.mb, sum(map(private_mb, processes())))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def store_mb() -> float:
    """What the object store of this machine holds, as Ray counts it. Ray must be running."""
    import ray

    whole, left = ray.cluster_resources(), ray.available_resources()  # type: ignore[no-untyped-call]
    return float(whole["object_store_memory"] - left.get("object_store_memory", 0.0)) / 1e6


def store_pages_mb() -> float:
    """The memory that the object store has taken from the machine, now or for what it held before."""
    raylets = [process for process in processes() if "raylet" in name_of(process).rsplit("/", 1)[-1]]
    found = {}
    for raylet in raylets:
        for link in Path(f"/proc/{raylet.pid}/fd").iterdir():
            try:
                if str(link.readlink()).startswith(f"{SHARED_MEMORY}/plasma"):
                    status = link.stat()
                    found[status.st_ino] = 512 * status.st_blocks
            except OSError:  # closed meanwhile
                continue
    return sum(found.values()) / 1e6


def settled_mb(pids: list[int], *, within_s: float = 5.0) -> float:
    """The proportional memory of some processes, once it has stopped moving."""
    end, last = time.monotonic() + within_s, -1.0
    while True:
        now = sum(map(proportional_mb, pids))
        if abs(now - last) < 1.0 or time.monotonic() > end:
            return now
        last = now
        time.sleep(0.3)
