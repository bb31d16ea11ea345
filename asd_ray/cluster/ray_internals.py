"""A mend of Ray Tune 2.60: an actor that Ray ends for want of memory costs its trial, not the whole search.

Ray's memory monitor answers with OutOfMemoryError, which is neither of the two kinds of error that Tune's actor
manager knows; it would raise RuntimeError out of `Tuner.fit`.
"""

from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

OUT_OF_MEMORY = "its process ran out of memory"


def mend_out_of_memory() -> None:
    """Have Tune take an OutOfMemoryError for the death of the actor. Calling it again does nothing."""
    as_shipped = RayActorManager._actor_task_failed
    if getattr(as_shipped, "mended", False):
        return

    def mended(manager: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=OUT_OF_MEMORY)
        as_shipped(manager, tracked_actor_task, exception)

    mended.mended = True  # type: ignore[attr-defined]
    RayActorManager._actor_task_failed = mended  # type: ignore[method-assign, assignment]
