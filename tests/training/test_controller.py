"""A Train run ends when its owner wants it to, wherever it waits; and one worker starts no process to wait for."""

from typing import Any

import pytest
from ray.train.v2._internal.execution.worker_group import state, worker_group

from asd_ray.training import controller
from asd_ray.training.controller import AbandonedError, AloneConfig, Tether, _needed, _Room


class Group:
    """A placement group that never comes up."""

    def wait(self, seconds: float) -> bool:
        return False


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    monkeypatch.setattr(controller, "remove_placement_group", found.append)
    return found


def test_cutting_a_tether_frees_what_the_workers_hold(freed: list[Any]) -> None:
    tether, group = Tether(), Group()
    tether.attach(group)  # type: ignore[arg-type]
    assert (tether.is_cut(), freed) == (False, [])
    tether.cut()
    assert (tether.is_cut(), freed) == (True, [group])


def test_room_that_is_asked_for_after_the_cut_is_given_back_and_nobody_waits_for_it(freed: list[Any]) -> None:
    tether, group = Tether(), Group()
    tether.cut()
    with pytest.raises(AbandonedError):
        tether.attach(group)  # type: ignore[arg-type]
    assert freed == [group]


def test_whoever_waits_for_room_returns_when_the_run_is_ended(
    freed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tether, group = Tether(), Group()

    def wait(seconds: float) -> bool:
        tether.cut()  # from another thread, meanwhile
        return False

    monkeypatch.setattr(group, "wait", wait)
    with pytest.raises(AbandonedError):
        _Room(group, tether).wait(300.0)  # type: ignore[arg-type]
    monkeypatch.setattr(group, "wait", lambda seconds: True)
    assert _Room(group, Tether()).wait(300.0)  # type: ignore[arg-type]


def test_one_worker_starts_no_process_to_wait_at_and_two_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = vars(worker_group)["SynchronizationActor"]
    monkeypatch.setattr(_needed, "workers", 1, raising=False)
    handle = ours.options(label_selector={}).remote(timeout_s=1.0)
    vars(state)["_shutdown_sync_actor"](handle)  # there is nothing to end
    monkeypatch.setattr(_needed, "workers", 2)
    assert ours.options(num_cpus=0) is not ours


def test_one_worker_listens_to_nobody() -> None:
    backend = AloneConfig().backend_cls()
    assert backend.on_start(None, AloneConfig()) is None  # type: ignore[func-returns-value, arg-type]
    assert backend.share_cuda_visible_devices
