"""Each private name of Ray that we use is there, and does what we rely on, in the Ray that is installed."""

import re
import signal
from importlib import import_module
from inspect import iscoroutinefunction, signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

from asd_ray.cluster import ray_internals
from asd_ray.cluster.ray_internals import BORROWED, OUT_OF_MEMORY, OVERRIDDEN, mend_out_of_memory


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


@pytest.mark.parametrize("name", BORROWED)
def test_a_borrowed_name_is_there(name: str) -> None:
    assert getattr(ray_internals, name) is getattr(import_module(BORROWED[name].module), name)


def test_what_is_not_borrowed_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Node'"):
        ray_internals.Node  # noqa: B018


def test_the_controller_of_train_is_a_coroutine_that_looks_again_and_again_at_a_group_of_our_class() -> None:
    controller = ray_internals.TrainController
    assert iscoroutinefunction(controller.run)
    assert iscoroutinefunction(controller._run_control_loop_iteration)
    assert controller.worker_group_cls is ray_internals.WorkerGroup


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_start", ["self"]),
        ("_create_placement_group", None),
        ("_get_worker_runtime_env", ["custom_runtime_env"]),
        ("_init_train_context_on_workers", ["self", "workers", "sync_actor", "train_context_args"]),
    ],
)
def test_a_worker_group_has_the_steps_that_lanes_change(name: str, parameters: list[str] | None) -> None:
    found = list(signature(getattr(ray_internals.WorkerGroup, name)).parameters)
    assert parameters is None or found == parameters


def test_a_policy_asks_the_autoscaler_in_these_two_methods() -> None:
    policy = ray_internals.FixedScalingPolicy
    assert callable(policy.after_controller_start)
    assert callable(policy._maybe_send_resource_request)


def test_a_node_starts_each_process_that_a_local_search_does_without_by_a_method_of_its_own() -> None:
    from ray._private.node import Node

    from asd_ray.cluster.runtime import UNNEEDED

    with ray_internals.without_processes(UNNEEDED):
        assert {getattr(Node, name)(None) for name in UNNEEDED} == {None}
    with pytest.raises(AttributeError), ray_internals.without_processes(["start_something_else"]):
        pass


def test_a_node_takes_the_loopback_address_where_ray_has_no_clusters() -> None:
    from ray._private import services

    before = services.get_node_ip_address()
    with ray_internals.on_loopback():
        assert services.get_node_ip_address() == "127.0.0.1"
    assert services.get_node_ip_address() == before


def test_lines_of_workers_go_through_what_is_silenced(capsys: pytest.CaptureFixture[str]) -> None:
    from ray._private import ray_logging

    with ray_internals.unprinted(re.compile("nothing")):
        ray_logging.global_worker_stdstream_dispatcher.emit({"lines": ["a worker says so"]})
        assert ray_logging.stdout_deduplicator.skip_re.pattern == "nothing"
    assert capsys.readouterr() == ("", "")


def test_memory_and_processors_are_counted() -> None:
    used, total = ray_internals.memory_in_use()
    assert 0 < used < total
    assert ray_internals.count_cpus() > 0


def test_a_job_sends_what_git_does_not_ignore(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("large\n")
    for name in ("large", "small"):
        (tmp_path / name).write_text("x")
    assert tmp_path / "small" in ray_internals.files_sent(tmp_path)
    assert tmp_path / "large" not in ray_internals.files_sent(tmp_path)


def test_ray_takes_sigterm_for_itself_which_is_why_it_is_given_back() -> None:
    from ray._private import utils

    before = signal.getsignal(signal.SIGTERM)
    try:
        utils.set_sigterm_handler(lambda number, frame: None)
        assert signal.getsignal(signal.SIGTERM) is not before
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("owner", "method"), OVERRIDDEN)
def test_a_method_that_is_replaced_is_there_to_be_replaced(owner: str, method: str) -> None:
    module, _, name = owner.rpartition(".")
    assert callable(getattr(getattr(import_module(module), name), method))
