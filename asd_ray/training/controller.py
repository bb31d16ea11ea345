"""A Train run that its owner can end at once, that leaves nothing behind, and that says why a worker died."""

import threading
from typing import Any

import ray
from ray._raylet import PlacementGroupID
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
from ray.train import Result, UserCallback
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from asd_ray.placement import on_this_node
from asd_ray.training.link import Handle, kept_under


class Abandoned:
    """Ends the thread of a Train run, which otherwise waits for its controller however long that lives.

    A thread that waits in Ray while Ray shuts down takes the process with it: Ray exits with status 1, without a
    word. So the controller is killed first, which lets the thread return.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._controller: Handle | None = None

    def is_set(self) -> bool:
        return self._event.is_set()

    def attach(self, controller: Handle) -> None:
        """Raises RuntimeError if the run is abandoned already."""
        self._controller = controller
        if self.is_set():
            raise RuntimeError("abandoned")

    def abandon(self) -> None:
        # In this order: whichever of two threads comes second sees what the other has done.
        self._event.set()
        if self._controller is not None:
            ray.kill(self._controller)


class AsksNothing(FixedScalingPolicy):
    """The fixed size of a worker group, without a word to the autoscaler but the group's placement group.

    Train would have the autoscaler keep room for the group by a request of its own, which outlives a killed
    controller for minutes.
    """

    def after_controller_start(self, train_run_context: Any) -> None:
        """Train would register here."""

    def _maybe_send_resource_request(self) -> None:
        """Train would ask here, again and again."""


class LaneController(TrainController):
    """A controller that notes the placement group of its workers where it outlives the controller.

    Ray's own store keeps it: controller and mailbox may be killed together, for want of memory.

    And one that gives its workers no environment of their own: all processes of a search have Train's switches
    already (asd_ray.runtime), and one with an environment takes Ray a second longer to start.
    """

    def __init__(self, *, lane: str, **options: Any) -> None:
        def noted(**request: Any) -> PlacementGroup:
            group: PlacementGroup = placement_group(**request)
            _internal_kv_put(kept_under(lane, "placement_group"), group.id.binary(), overwrite=True)
            return group

        # This process has this one controller.
        vars(worker_group)["placement_group"] = noted
        vars(worker_group)["get_env_vars_to_propagate"] = dict
        super().__init__(**options)


def placement_group_of(lane: str) -> PlacementGroup | None:
    """What a lane's workers hold or wait for, or held last."""
    found: bytes | None = _internal_kv_get(kept_under(lane, "placement_group"))
    return None if found is None else PlacementGroup(PlacementGroupID(found))


def free_placement_group(lane: str) -> None:
    """A killed controller leaves its placement group behind, and with it the CPUs of the lane."""
    if (group := placement_group_of(lane)) is not None:
        remove_placement_group(group)


class OwnedTrainer(TorchTrainer):
    """A TorchTrainer whose controller can be killed from another thread.

    Ray 2.60 has no public way to end `fit()` outside the main thread, so this replaces a private method of it.
    """

    def __init__(self, *arguments: Any, lane: str, abandoned: Abandoned, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lane, self._abandoned = lane, abandoned

    def _create_default_callbacks(self) -> list[Any]:
        """Train's, without the process that frees placement groups of dead controllers: lanes do so themselves."""
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in callbacks if not isinstance(callback, PlacementGroupCleanerCallback)]

    def _initialize_and_run_controller(self, **options: Any) -> Result:
        actor: Any = ray.remote(num_cpus=0, label_selector=on_this_node())(LaneController)
        policy = AsksNothing(scaling_config=self.scaling_config)  # type: ignore[arg-type]  # the one of Train
        controller = actor.remote(lane=self._lane, **{**options, "scaling_policy": policy})
        self._abandoned.attach(controller)
        ray.get(controller.run.remote())
        result: Result = ray.get(controller.get_result.remote())
        return result


def serve_in_worker(loop_config: dict[str, Any]) -> None:
    """The Train loop. The controller, which passes it on, is spared what the workers import: five seconds."""
    from asd_ray.training.serve import serve

    serve(loop_config)


class TellDeath(UserCallback):
    """Tells the mailbox why workers died; runs in Train's controller."""

    def __init__(self, mailbox: Handle) -> None:
        self._mailbox = mailbox

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        causes = [cause_of(error) for _, error in sorted(worker_exceptions.items())]
        self._mailbox.died.remote(causes[0] if causes else "")


def cause_of(error: Exception) -> str:
    """Why a worker died, in one line."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "it ran out of memory"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
