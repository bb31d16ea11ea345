"""Train trials in Tune's own processes, without lanes: for tests and debuggers."""

from typing import Any

import torch

from asd_ray.config import RunConfig
from asd_ray.data.bank import Bank, take_in
from asd_ray.search.trial_runner import Commander, TrialRunner
from asd_ray.training.messages import Ending, EpochReport, Start, Started, TrainTo, TrialOrder
from asd_ray.training.server import Server


class InlineTrial(TrialRunner):
    def connect(self, **fixed: Any) -> Commander:
        clips: Bank = fixed["clips"]
        return self._commander or Inline(clips, self._base, num_classes=fixed["num_classes"])


class Inline:
    """Serves trials in this process."""

    lane = ""

    def __init__(self, clips: Bank, config: RunConfig, *, num_classes: int) -> None:
        torch.set_num_threads(max(1, int(config.lanes.cpus)))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        taken = take_in(clips, config.lanes.resident, device)
        self._server = Server(taken, num_classes=num_classes, device=device)

    def start(self, order: TrialOrder) -> Started | Ending:
        return self._server.do(Start(order))

    def epoch(self, to: int) -> EpochReport | Ending:
        return self._server.do(TrainTo(to))

    def release(self) -> None:
        """Do nothing: it holds no lane."""
