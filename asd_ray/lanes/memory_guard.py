"""A worker that is about to exhaust its machine's memory ends itself, and says so.

Ray's own memory monitor kills the process that began its work last. Here that is a mailbox or Tune's thin actor.
They hold nothing, so the monitor kills them again and again while the trial that eats the memory goes on. So each
worker watches its own memory, and acts a little before Ray's monitor would.
"""

import os
import threading
from collections.abc import Callable
from typing import NoReturn

import psutil

from asd_ray.cluster.ray_internals import memory_in_use

EARLIER = 0.05  # the share of the memory by which our limit lies below Ray's threshold
LOOK_S = 0.1
WORKER = "ray::RayTrainWorker"  # how Ray names the processes of Train's workers
FAIR = 0.25  # a worker with less than this part of an equal share is never to blame


def watch_memory(last_words: Callable[[str], None]) -> None:
    """Watch the memory of this process in a thread of its own, for as long as the process lives."""
    threading.Thread(target=_watch, args=(last_words,), daemon=True).start()


def _watch(last_words: Callable[[str], None]) -> NoReturn:
    _, total = memory_in_use()
    threshold = os.environ.get("RAY_memory_usage_threshold", "0.95")  # noqa: SIM112 - as Ray spells it
    limit = (float(threshold) - EARLIER) * total
    while True:
        used, _ = memory_in_use()
        held: int = psutil.Process().memory_info().rss
        if used > limit and _is_to_blame(held, limit=limit):
            try:
                last_words(
                    f"it ran out of memory: it held {held / 1e9:.1f} GB when {used / 1e9:.1f} of the machine's "
                    f"{total / 1e9:.1f} GB were in use"
                )
            finally:  # end even if nobody heard the words: Ray's monitor may have killed the mailbox by now
                os._exit(1)
        threading.Event().wait(LOOK_S)


def _is_to_blame(held: int, *, limit: float) -> bool:
    """Whether this worker holds more memory than any other process, and more than a fair part of the limit.

    If something else has filled the memory, ending a worker would help nobody, and its trial is not at fault.
    """
    workers, largest = 1, 0
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        cmdline, memory = process.info["cmdline"], process.info["memory_info"]
        if process.pid != os.getpid() and cmdline and memory is not None:
            largest = max(largest, memory.rss)
            workers += cmdline[0].startswith(WORKER)
    return held >= largest and held > FAIR * limit / workers
