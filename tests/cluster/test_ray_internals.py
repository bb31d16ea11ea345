"""The mend of Tune's actor manager, against the real class."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

from asd_ray.cluster.ray_internals import OUT_OF_MEMORY, mend_out_of_memory


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> RayActorManager:
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", RayActorManager._actor_task_failed)
    return object.__new__(RayActorManager)


def task_of(errors: list[Exception]) -> Any:
    return SimpleNamespace(
        _tracked_actor=SimpleNamespace(actor_id=1, _on_error=None),
        _on_error=lambda actor, error: errors.append(error),
    )


def test_as_shipped_want_of_memory_would_end_the_search(manager: RayActorManager) -> None:
    with pytest.raises(RuntimeError, match="unexpected exception"):
        manager._actor_task_failed(tracked_actor_task=task_of([]), exception=OutOfMemoryError("killed"))


def test_mended_it_is_the_death_of_one_actor(manager: RayActorManager, monkeypatch: pytest.MonkeyPatch) -> None:
    mend_out_of_memory()
    mend_out_of_memory()
    manager._failed_actor_ids = set()
    monkeypatch.setattr(RayActorManager, "_cleanup_actor", lambda manager, tracked_actor: None)
    errors: list[Exception] = []
    manager._actor_task_failed(tracked_actor_task=task_of(errors), exception=OutOfMemoryError("killed"))
    assert [type(error) for error in errors] == [RayActorError]
    assert OUT_OF_MEMORY in str(errors[0])
