"""Tune's view of a trial: a thin Trainable that hands its epochs to a lane, or trains them itself (inline)."""

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, Protocol

import ray
import ray.data
import torch
from ray import tune

from asd_ray.config import RunConfig, with_params
from asd_ray.data.bank import place
from asd_ray.data.blocks import collect
from asd_ray.training.link import Handle, acquire
from asd_ray.training.server import Server
from asd_ray.training.trial import Order, Report


class Commander(Protocol):
    """What serves a trial: a link to a lane, or the trial's own process."""

    def start(self, order: Order) -> Report: ...
    def epoch(self, to: int) -> Report: ...
    def release(self) -> None: ...


class TrialRunner(tune.Trainable):
    """One trial after another, as Tune's `reuse_actors` has it; each step is one epoch.

    The result of a step is plain text, because Tune flattens nested results before its schedulers see them.
    """

    def setup(self, config: dict[str, Any], **fixed: Any) -> None:
        self._base: RunConfig = fixed["base"]
        self._trials: str = fixed["trials"]
        self._score_at: tuple[int, ...] = fixed["score_at"]
        self._corpus: str = fixed["corpus"]
        self._commander = self.connect(**fixed)
        self.reset_config(config)

    @abstractmethod
    def connect(self, **fixed: Any) -> Commander: ...

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial. One that was begun before replays its epochs, so that the studies see them all."""
        self._epoch = 0
        order = Order(
            config=with_params(self._base, new_config["params"]),
            machine_types=tuple(new_config["machine_types"]),
            score_at=self._score_at,
            folder=str(Path(self._trials) / new_config["uid"]),
            corpus=self._corpus,
        )
        self._failed: str | None = self._commander.start(order).get("failed")
        return True

    def step(self) -> dict[str, Any]:
        """A trial that fails is a result, not an exception: Tune would throw the warm process away."""
        if self._failed is None:
            self._epoch += 1
            report = self._commander.epoch(self._epoch)
            self._failed = report.get("failed")
        if self._failed is not None:
            return {"failed": self._failed, "done": True}
        return {"report": json.dumps(report), "done": self._epoch >= self._base.train.epochs}

    def cleanup(self) -> None:
        self._commander.release()


class LaneTrial(TrialRunner):
    def connect(self, **fixed: Any) -> Commander:
        mailboxes: list[Handle] = fixed["mailboxes"]
        return acquire(mailboxes, owner=ray.get_runtime_context().get_actor_id() or "")


class InlineTrial(TrialRunner):
    def connect(self, **fixed: Any) -> Commander:
        clips: ray.data.Dataset = fixed["clips"]
        return Inline(clips, self._base, num_classes=fixed["num_classes"])


class Inline:
    """Trains in this process: no Train, no mailbox; for tests and debuggers."""

    def __init__(self, clips: ray.data.Dataset, config: RunConfig, *, num_classes: int) -> None:
        torch.set_num_threads(max(1, int(config.lanes.cpus)))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        resident = collect(clips.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        placed, _ = place(resident, config.lanes.resident, device)
        self._server = Server(placed, num_classes=num_classes, device=device)

    def start(self, order: Order) -> Report:
        return self._server.do("start", {"order": order})

    def epoch(self, to: int) -> Report:
        return self._server.do("epoch", {"to": to})

    def release(self) -> None:
        """Nothing is held."""
