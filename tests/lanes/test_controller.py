"""A Train run ends when its owner wants it to, wherever it waits; and one worker starts no process to wait for."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorPlacementGroupRemoved, ActorUnschedulableError, RayTaskError
from ray.train.v2._internal.execution.worker_group import state, worker_group
from ray.train.v2.api.exceptions import ControllerError

from asd_ray.cluster.ray_internals import WorkerGroup, WorkerGroupStartupFailedError
from asd_ray.errors import InputError
from asd_ray.lanes import controller
from asd_ray.lanes.controller import (
    AbandonedError,
    AloneConfig,
    HandsOverClips,
    LaneWorkerGroup,
    Tether,
    _needed,
    _Room,
)
from asd_ray.lanes.mailbox import Closing, LaneEnd


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


class Call:
    """A method of an actor that answers at once."""

    def __init__(self, answer: Any) -> None:
        self.remote = answer


class Workers:
    """A worker group whose workers do what the test wants."""

    def __init__(self, ready: Any) -> None:
        self.ready = ready
        self.given: list[Any] = []

    def execute_async(self, function: Any) -> Any:
        return self.ready

    def execute(self, function: Any, clips: Any) -> None:
        self.given.append(clips)


@pytest.fixture
def handing_over(
    freed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> tuple[HandsOverClips, "Future[Any]", Tether, list[str]]:
    """The callback, the clips to come, its tether, and what the mailbox was closed with."""

    def answer(what: Any) -> Any:
        if isinstance(what, Exception):
            raise what
        return what

    monkeypatch.setattr(controller.ray, "get", answer)
    monkeypatch.setattr(controller, "LOOK_S", 0.01)
    closed: list[Closing] = []
    clips: Future[Any] = Future()
    tether = Tether()
    mailbox = SimpleNamespace(close=Call(closed.append))
    return HandsOverClips(clips, tether, mailbox), clips, tether, closed


def test_clips_are_handed_over_to_workers_that_are_ready(handing_over: Any) -> None:
    callback, clips, tether, closed = handing_over
    clips.set_result("clips")
    workers = Workers(ready=[None])
    callback.after_worker_group_start(workers)
    assert (workers.given, tether.is_cut(), closed) == (["clips"], False, [])


def test_a_lane_whose_clips_cannot_be_read_ends_for_good_and_says_why(handing_over: Any) -> None:
    callback, clips, tether, closed = handing_over
    clips.set_exception(InputError("a shard is damaged"))
    with pytest.raises(AbandonedError):
        callback.after_worker_group_start(Workers(ready=[None]))
    assert (tether.is_cut(), closed) == (True, [Closing(LaneEnd.NO_CLIPS, "a shard is damaged")])


def test_an_import_that_fails_in_a_worker_is_not_tried_for_ever(handing_over: Any) -> None:
    callback, clips, tether, closed = handing_over
    clips.set_result("clips")
    broken = RayTaskError("get_ready", "", ImportError("no libgomp"))
    with pytest.raises(AbandonedError):
        callback.after_worker_group_start(Workers(ready=broken))
    assert (tether.is_cut(), closed) == (True, [Closing(LaneEnd.NOT_STARTED, "ImportError: no libgomp")])


def test_whoever_waits_for_clips_returns_when_the_run_is_ended(handing_over: Any) -> None:
    callback, _, tether, closed = handing_over
    tether.cut()
    with pytest.raises(AbandonedError):
        callback.after_worker_group_start(Workers(ready=[None]))
    assert closed == []


def test_one_worker_listens_to_nobody() -> None:
    backend = AloneConfig().backend_cls()
    assert backend.on_start(None, AloneConfig()) is None  # type: ignore[func-returns-value, arg-type]
    assert backend.share_cuda_visible_devices


@pytest.mark.parametrize(
    "error", [ActorDiedError(), ActorPlacementGroupRemoved(), ActorUnschedulableError("gone")]
)
def test_a_group_whose_worker_goes_before_its_loop_begins_gives_its_room_back_and_is_started_anew(
    error: Exception, freed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(group: WorkerGroup) -> None:
        raise error

    monkeypatch.setattr(WorkerGroup, "_start", die)
    workers = LaneWorkerGroup.__new__(LaneWorkerGroup)
    workers.tether, group = Tether(), Group()
    workers.tether.attach(group)  # type: ignore[arg-type]
    with pytest.raises(WorkerGroupStartupFailedError):
        workers._start()
    assert freed == [group]
    workers.tether.cut()
    with pytest.raises(AbandonedError):  # its owner has taken the room away: nothing to start anew
        workers._start()


def test_a_run_that_ends_with_an_error_gives_its_room_back(
    freed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tether, group = Tether(), Group()
    tether.attach(group)  # type: ignore[arg-type]

    async def fail() -> None:
        raise ControllerError(ValueError("no such device"))

    def controller_of(**options: Any) -> Any:
        return SimpleNamespace(run=fail)

    monkeypatch.setattr(controller, "LaneController", controller_of)
    monkeypatch.setattr(controller, "AsksNothing", lambda **options: None)
    trainer = controller.OwnedTrainer.__new__(controller.OwnedTrainer)
    trainer._tether, trainer._mailbox, trainer.scaling_config = tether, None, None  # type: ignore[assignment]
    with pytest.raises(ControllerError) as raised:
        trainer._initialize_and_run_controller()
    assert freed == [group]
    assert controller.cause_of(controller.controller_failure(raised.value)) == "no such device"
