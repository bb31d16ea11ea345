"""A Train run that its owner can end at once, and that says why a worker died."""

import threading
from typing import Any

import ray
from ray.train import Result, UserCallback
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.constants import get_env_vars_to_propagate
from ray.train.v2._internal.execution.controller import TrainController

from asd_ray.training.link import Handle

NODE_ID = "ray.io/node-id"  # the label that Ray gives every node


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


class OwnedTrainer(TorchTrainer):
    """A TorchTrainer whose controller can be killed from another thread.

    Ray 2.60 has no public way to end `fit()` outside the main thread, so this replaces a private method of it.
    """

    def __init__(self, *arguments: Any, abandoned: Abandoned, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._abandoned = abandoned

    def _initialize_and_run_controller(self, **options: Any) -> Result:
        here = {NODE_ID: ray.get_runtime_context().get_node_id()}
        actor: Any = ray.remote(
            num_cpus=0, label_selector=here, runtime_env={"env_vars": get_env_vars_to_propagate()}
        )(TrainController)
        controller = actor.remote(**options)
        self._abandoned.attach(controller)
        ray.get(controller.run.remote())
        result: Result = ray.get(controller.get_result.remote())
        return result


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
