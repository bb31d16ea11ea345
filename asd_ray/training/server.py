"""Carries out commands in a lane's worker. Plain torch; an inline search uses it in one process, without lanes."""

from collections.abc import Callable
from functools import partial
from typing import overload

import torch

from asd_ray.data.resident import Clips
from asd_ray.errors import EnvironmentFailure
from asd_ray.training.loop import DivergedError
from asd_ray.training.messages import Answer, End, Ending, EpochReport, Start, Started, TrainTo, TrialOrder
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

    @overload
    def do(self, command: Start) -> Started | Ending: ...
    @overload
    def do(self, command: TrainTo) -> EpochReport | Ending: ...
    def do(self, command: Start | TrainTo) -> Answer:
        """Run a command. The failure of a trial is an answer and no exception, so that the group stays warm."""
        try:
            match command:
                case Start(order):
                    return self._start(order)
                case TrainTo(epoch):
                    assert self._trial is not None, "start comes before epoch"
                    return self._trial.epoch(epoch)
        except DivergedError as error:
            return Ending(End.FAILED, str(error))
        except EnvironmentFailure as error:  # not the trial's fault: a full disk, for example
            return Ending(End.BROKEN, str(error))
        except Exception as error:  # whatever the trial does wrong, the lane lives on and reports it
            return Ending(End.FAILED, f"{type(error).__name__}: {error}")

    def _start(self, order: TrialOrder) -> Started:
        self._trial = None  # frees the memory of the previous trial
        self._trial = self._new_trial(order)
        return Started(self._trial.training.epoch)
