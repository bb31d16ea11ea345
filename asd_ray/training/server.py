"""What a lane's worker does with commands. Plain torch; also used without Ray Train, in one process."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from asd_ray.data.resident import Clips
from asd_ray.errors import InputError
from asd_ray.training.loop import DivergedError
from asd_ray.training.messages import Order, Report
from asd_ray.training.trial import Trial


class Server:
    """Serves one trial after another."""

    def __init__(
        self,
        clips: Clips,
        *,
        num_classes: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        wrap: Callable[[torch.nn.Module], torch.nn.Module] = lambda module: module,
    ) -> None:
        self._trial: Trial | None = None
        self._new_trial = partial(
            Trial, clips=clips, num_classes=num_classes, device=device, rank=rank, world=world, wrap=wrap
        )

    def start(self, order: Order) -> Report:
        self._trial = None  # frees the memory of the one before
        self._trial = self._new_trial(order)
        return {"epoch": self._trial.training.epoch}

    def epoch(self, to: int) -> Report:
        assert self._trial is not None, "start comes before epoch"
        return self._trial.epoch(to)

    def do(self, name: str, arguments: dict[str, Any]) -> Report:
        """Run a command; a trial that fails is an answer, so that it does not cost the warm group."""
        commands: dict[str, Callable[..., Report]] = {"start": self.start, "epoch": self.epoch}
        try:
            return commands[name](**arguments)
        except DivergedError as error:
            return {"failed": str(error)}
        except InputError as error:  # a full disk, say: not the trial's fault
            return {"broken": str(error)}
        except Exception as error:  # whatever the trial does wrong, the lane lives on and says what it was
            return {"failed": f"{type(error).__name__}: {error}"}
