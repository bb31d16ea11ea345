"""Ray Train's controller in a thread of the driver: it can be ended at once, leaves nothing behind, and says why
a worker died.

By default Train runs its controller in an actor. That adds a process to every lane, which takes four seconds of a
core before it does anything, and which can die.
"""

import asyncio
import threading
from concurrent.futures import Future, wait
from typing import Any, NoReturn

import ray
from ray.train import BackendConfig, Result, UserCallback
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import ControllerError
from ray.util.placement_group import PlacementGroup, remove_placement_group

from asd_ray.cluster.ray_internals import (
    DatasetsCallback,
    DefaultPlacementGroupHandle,
    FixedScalingPolicy,
    PlacementGroupCleanerCallback,
    TrainController,
    WorkerGroup,
    WorkerGroupCallback,
    WorkerGroupStartupFailedError,
    replace_synchronizer,
)
from asd_ray.data.bank import Bank
from asd_ray.lanes.handover import LaneWork, get_ready, hand_over
from asd_ray.lanes.link import Handle
from asd_ray.lanes.mailbox import Closing, LaneEnd

WORK = "work"  # key of the loop's config, which Train wants to be a dict
LOOK_S = 0.5  # a thread that waits for clips checks this often whether its run has been ended


class AbandonedError(BaseException):
    """The owner of a Train run has ended it. It is not an Exception: Train would catch that and try again."""


class Tether:
    """Lets the owner of a Train run end it from another thread, and free what its workers hold."""

    def __init__(self) -> None:
        self._cut = threading.Event()
        self._group: PlacementGroup | None = None

    def is_cut(self) -> bool:
        return self._cut.is_set()

    @property
    def group(self) -> PlacementGroup | None:
        """The placement group that the workers hold or wait for, or the last one that they held."""
        return self._group

    def attach(self, group: PlacementGroup) -> None:
        """Note the group that the workers will wait for. Raises AbandonedError if the run has been ended."""
        self._group = group
        # `cut` takes these steps in the opposite order, so whichever thread comes second sees what the other did.
        if self.is_cut():
            self.free()
            raise AbandonedError

    def cut(self) -> None:
        """End the run. Freeing their room ends its workers, and every call that waits for them returns."""
        self._cut.set()
        self.free()

    def free(self) -> None:
        if self._group is not None:
            remove_placement_group(self._group)


class AsksNothing(FixedScalingPolicy):
    """A worker group of fixed size that asks the autoscaler for nothing beyond its placement group.

    Train's own policy also sends the autoscaler a request to keep room for the group, which outlives a killed
    driver by minutes.
    """

    def after_controller_start(self, train_run_context: Any) -> None:
        """Do nothing; Train's policy registers with the autoscaler here."""

    def _maybe_send_resource_request(self) -> None:
        """Do nothing; Train's policy sends its request here, again and again."""


class _Room(DefaultPlacementGroupHandle):
    """A placement group whose `wait` raises AbandonedError within a second once the owner has ended the run."""

    def __init__(self, group: PlacementGroup, tether: Tether) -> None:
        super().__init__(group)
        self._tether = tether

    def wait(self, timeout_seconds: float = 30) -> bool:
        for _ in range(max(1, round(timeout_seconds))):
            if self._tether.is_cut():
                raise AbandonedError
            if super().wait(1):  # Ray counts whole seconds
                return True
        return False


_GONE = (
    ray.exceptions.RayActorError,
    ray.exceptions.ActorPlacementGroupRemoved,
    ray.exceptions.ActorUnschedulableError,
)


class LaneWorkerGroup(WorkerGroup):
    """The workers of a lane; their owner can end them from the moment that the group asks for room."""

    tether: Tether
    mailbox: Handle

    def _start(self) -> None:
        """Bring the workers up, and correct two things that Train does when that fails.

        Train does not free the room of workers that die before their loop begins: this method gives it back. And
        Train ends the run for good when an actor or its room disappears between two steps: this method has the
        group started anew, as when it dies at any other time.
        """
        try:
            super()._start()  # type: ignore[no-untyped-call]
        except _GONE as error:
            self.tether.free()
            if self.tether.is_cut():
                raise AbandonedError from error
            raise WorkerGroupStartupFailedError(cause_of(error)) from error
        except BaseException:
            self.tether.free()
            raise

    def _start_impl(self, *arguments: Any) -> None:
        _needed.workers = self._worker_group_context.num_workers
        super()._start_impl(*arguments)

    def _create_placement_group(self, *arguments: Any) -> DefaultPlacementGroupHandle:
        group: PlacementGroup = super()._create_placement_group(*arguments).placement_group
        self.tether.attach(group)
        return _Room(group, self.tether)

    @staticmethod
    def _get_worker_runtime_env(custom_runtime_env: Any) -> dict[str, Any]:
        """Leave out Train's switches: asd_ray.cluster.runtime has set them for all processes of a search, and Ray
        takes a second longer to start a process that has an environment of its own."""
        return dict(custom_runtime_env)

    def _init_train_context_on_workers(
        self, workers: list[Any], sync_actor: Any, train_context_args: dict[str, list[Any]]
    ) -> None:
        """Do as Train does, but pass the mailbox to the workers, as there is no controller actor."""
        ray.get(
            [
                worker.actor.init_train_context.remote(
                    train_run_context=self._train_run_context,
                    distributed_context=worker.distributed_context,
                    synchronization_actor=sync_actor,
                    storage_context=self._storage_context,
                    worker_callbacks=self._worker_callbacks_to_propagate,
                    controller_actor=self.mailbox,
                    **{name: values[number] for name, values in train_context_args.items()},
                )
                for number, worker in enumerate(workers)
            ]
        )


class HandsOverClips(WorkerGroupCallback):
    """Has the workers get ready while the clips are read, and hands over the clips before the loop begins."""

    def __init__(self, clips: "Future[Bank]", tether: Tether, mailbox: Handle) -> None:
        self._clips, self._tether, self._mailbox = clips, tether, mailbox

    def after_worker_group_start(self, worker_group: WorkerGroup) -> None:
        ready: Any = worker_group.execute_async(get_ready)
        clips = self._wait()
        try:
            ray.get(ready)
        except ray.exceptions.RayTaskError as error:  # an import that failed would fail at every try
            self._give_up(LaneEnd.NOT_STARTED, f"{type(error.cause).__name__}: {error.cause}")
        worker_group.execute(hand_over, clips)

    def _wait(self) -> "Bank":
        while not self._clips.done():
            if self._tether.is_cut():
                raise AbandonedError
            wait([self._clips], timeout=LOOK_S)
        error = self._clips.exception()
        if error is not None:  # the reader of the clips reports the error itself
            self._give_up(LaneEnd.NO_CLIPS, str(error))
        return self._clips.result()

    def _give_up(self, end: LaneEnd, details: str) -> NoReturn:
        """End the lane, and say why. AbandonedError does it: Train would answer an Exception with another try."""
        ray.get(self._mailbox.close.remote(Closing(end, details)))
        self._tether.cut()
        raise AbandonedError


_needed = threading.local()  # `workers`: the size of the worker group that this thread is starting


class _Synchronizer:
    """Replaces Train's class of actors at which workers wait for each other; a single worker needs no actor."""

    def __init__(self, of_train: Any) -> None:
        self._of_train = of_train

    def options(self, **options: Any) -> Any:
        return self if getattr(_needed, "workers", 0) == 1 else self._of_train.options(**options)

    def remote(self, **options: Any) -> str:
        """Return a string in place of an actor's handle."""
        return "a single worker waits for no other"


def _shut_down_synchronizer(actor: Any) -> None:
    if not isinstance(actor, str):
        ray.kill(actor)


replace_synchronizer(_Synchronizer, _shut_down_synchronizer)


class _Alone(Backend):
    """A backend without a process group: a single worker has nobody to talk to, and need not listen to anybody."""

    share_cuda_visible_devices = True


class AloneConfig(TorchConfig):
    """Configures the backend of a group with one worker."""

    @property
    def backend_cls(self) -> type[Backend]:
        return _Alone


class LaneController(TrainController):
    """A controller that its owner can end."""

    def __init__(self, *, tether: Tether, mailbox: Handle, **options: Any) -> None:
        self._tether = tether
        # Train makes the group by a class method, so the group gets its tether and mailbox from its class.
        own: Any = type("LaneWorkerGroup", (LaneWorkerGroup,), {"tether": tether, "mailbox": mailbox})
        self.worker_group_cls = own
        super().__init__(**options)

    async def _run_control_loop_iteration(self) -> None:
        if self._tether.is_cut():
            raise AbandonedError
        await super()._run_control_loop_iteration()  # type: ignore[no-untyped-call]


class OwnedTrainer(TorchTrainer):
    """A TorchTrainer whose `fit` runs in the calling thread, and that can be ended from another one."""

    def __init__(
        self, *arguments: Any, clips: "Future[Bank]", tether: Tether, mailbox: Handle, **options: Any
    ) -> None:
        workers = options["scaling_config"].num_workers
        backend: BackendConfig = AloneConfig() if workers == 1 else TorchConfig()
        super().__init__(*arguments, torch_config=backend, **options)  # type: ignore[arg-type]
        self._clips, self._tether, self._mailbox = clips, tether, mailbox

    def _create_default_callbacks(self) -> list[Any]:
        """Train's callbacks without two that each start a process, for what lanes do themselves or do not need."""
        callbacks = super()._create_default_callbacks()  # type: ignore[misc]
        unneeded = (PlacementGroupCleanerCallback, DatasetsCallback)
        hands_over = HandsOverClips(self._clips, self._tether, self._mailbox)
        return [*(callback for callback in callbacks if not isinstance(callback, unneeded)), hands_over]

    def _initialize_and_run_controller(self, **options: Any) -> Result:
        policy = AsksNothing(scaling_config=self.scaling_config)  # type: ignore[arg-type]  # the one of Train
        owned = {**options, "scaling_policy": policy}
        controller = LaneController(tether=self._tether, mailbox=self._mailbox, **owned)
        try:
            asyncio.run(controller.run())  # type: ignore[no-untyped-call]
        finally:  # also when the run has ended with an error: `run` does not raise it
            self._tether.free()
        result: Result = controller.get_result()
        return result


def serve_in_worker(loop_config: dict[str, LaneWork]) -> None:
    """The Train loop. It imports `serve` late, because the driver passes it on without running it."""
    from asd_ray.lanes.serve import serve

    serve(loop_config[WORK])


class TellDeath(UserCallback):
    """Tells the mailbox why workers died. It runs in Train's controller."""

    def __init__(self, mailbox: Handle) -> None:
        self._mailbox = mailbox

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        causes = [cause_of(error) for _, error in sorted(worker_exceptions.items())]
        self._mailbox.died.remote(causes[0] if causes else "")


def controller_failure(error: Exception) -> Exception:
    """The error behind a ControllerError; any other error is returned as it is."""
    return error.controller_failure if isinstance(error, ControllerError) else error


def cause_of(error: Exception) -> str:
    """Why a worker died, in one line."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "it ran out of memory"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
