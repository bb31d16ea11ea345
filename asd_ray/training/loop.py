"""One trial's epochs in plain torch: no ray, no logger, no clock. The loop yields, the caller reports.

All randomness in an epoch follows from (seed, epoch). So a trial that goes on from its state after epoch n
computes, on a CPU, bit for bit what it would have computed without the break.

Axes: B batch, E embedding, K columns of a readout, N clips.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asd_ray.config import RunConfig, TrainConfig
from asd_ray.data.resident import Batch, Clips, Index
from asd_ray.losses.mixing import LossPoint, draw_mix
from asd_ray.models import build_module, find_system, mel_rows
from asd_ray.models.folding import folded
from asd_ray.models.precision import precision_of, set_precision
from asd_ray.training.averaging import Mean
from asd_ray.training.rungs import rungs_of
from asd_ray.training.scored import Reading, Scored, Scorer
from asd_ray.training.step import batch_loss, compiled_batch_loss, compiles

# Clips scored at once. Fewer would leave a GPU idle. On a CPU torch would not use oneDNN for convolutions of fewer
# clips, and more clips are no faster.
SCORING_BATCH = {"cpu": 16, "cuda": 256}


class DivergedError(Exception):
    """The loss is not finite: this point of the search space cannot be trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochResult:
    """What an epoch gave; `scored` is None unless the caller asked for scoring after this epoch."""

    epoch: int
    learning_rate: float
    train_loss: float
    valid_loss: float | None  # None if no clips are held out
    valid_accuracy: float | None
    scored: Scored | None = None


def learning_rate(train: TrainConfig, epoch: int) -> float:
    """Cosine from `learning_rate` in epoch 1 to `final_learning_rate` after the last epoch; it never rises.

    >>> round(learning_rate(TrainConfig(epochs=2), 2), 7)
    5.5e-05
    >>> learning_rate(TrainConfig(epochs=2, learning_rate=1e-5, final_learning_rate=2e-5), 2)
    1e-05
    """
    final = min(train.final_learning_rate, train.learning_rate)
    span = train.learning_rate - final
    return final + 0.5 * span * (1 + math.cos(math.pi * (epoch - 1) / train.epochs))


class Training:
    """One trial's module, its optimizer, and the epoch that it has reached."""

    def __init__(
        self,
        config: RunConfig,
        clips: Clips,
        *,
        num_classes: int,
        machine_types: Collection[str],
        systems: Sequence[str] = (),
        device: torch.device | None = None,
        rank: int = 0,
        world: int = 1,
        wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
    ) -> None:
        """`wrap` makes the module data-parallel; `rank` and `world` say which part of each batch is ours.

        The clips carry the log-mels of all `systems`, this trial's among them; if empty, of its own system alone.
        """
        self.config, self.clips, self.machine_types = config, clips, tuple(machine_types)
        self.device = device or torch.device("cpu")
        self.rank, self.world = rank, world
        self.loss, self.system = LossPoint(**config.loss.model_dump()), find_system(config.model.name)
        self._rows = mel_rows(config.model.name, systems or [config.model.name])
        torch.manual_seed(config.train.seed)
        self.module = build_module(
            config.model.name, width=config.model.width, class_types=clips.labels.class_types(num_classes)
        ).to(self.device)
        # CPUs and GPUs convolve fastest with channels innermost.
        self.module.to(memory_format=torch.channels_last)
        self.trained = wrap(self.module)
        self._mean = Mean(self.module) if self.system.averages else None
        self.optimizer = torch.optim.AdamW(
            self.module.parameters(),
            lr=config.train.learning_rate,
            weight_decay=config.train.weight_decay,
            fused=True,
        )
        self.epoch = 0
        epochs = config.train.epochs
        judged_after = (*rungs_of(config.search, epochs), epochs)[0]
        self._pretraining_epochs = self.loss.pretraining_epochs(epochs, judged_after=judged_after)
        labels = clips.labels
        self.train_index = labels.where(splits=["train"], machine_types=machine_types)
        self.valid_index = labels.where(splits=["valid"], machine_types=machine_types)
        self.scorer = Scorer(config, labels, system=self.system, machine_types=self.machine_types)
        set_precision(config.train, self.device)
        self.compiled = world == 1 and compiles(config, clips=len(self.train_index), device=self.device)

    @property
    def pretrains(self) -> bool:
        """Whether this epoch belongs to pretraining, the first of two stages."""
        return self.epoch <= self._pretraining_epochs

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on; torch can load it with weights_only."""
        return {
            "module": self.module.state_dict(),  # scores and is handed over; a mean replaces it below
            **({} if self._mean is None else {"trained": self.module.state_dict(), **self._mean.state_dict()}),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"] if self._mean is None else state["trained"])
        if self._mean is not None:
            self._mean.load_state_dict(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]

    @property
    def reads(self) -> nn.Module:
        """The module that scores and that the search hands over: the trained one, or its mean."""
        return self.module if self._mean is None else self._mean.module

    def train_epoch(self) -> float:
        """Train on every training clip once; return the mean loss. Raises DivergedError."""
        train = self.config.train
        self.epoch += 1
        rng = np.random.default_rng([train.seed, self.epoch])
        torch.manual_seed(int(rng.integers(2**31)))  # for networks that draw (dropout)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(train, self.epoch)
        self.trained.train()
        total = torch.zeros((), device=self.device)
        count = 0
        batches = self.clips.train_batches(
            self.train_index, rng, batch_size=train.batch_size, smallest=2 * self.world
        )
        for batch in batches:
            size = len(batch.class_B)
            total += self._step(batch, rng) * size  # stays on the device, so no step waits for it
            count += size
        mean = total.item() / count
        if not math.isfinite(mean):
            raise DivergedError(f"the loss is {mean} in epoch {self.epoch}")
        return mean

    def _step(self, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Update the module on this rank's part of a batch; return the loss."""
        train, size = self.config.train, len(batch.class_B)
        mix_prob = self.loss.mix_prob if self.system.loss.mixes else 0.0
        mix = draw_mix(rng, size, mixup_alpha=self.loss.mixup_alpha, mix_prob=mix_prob)
        # A compiled step works for one batch size only, and the last batch of an epoch may have another.
        compiled = self.compiled and size == train.batch_size
        loss_of = compiled_batch_loss(self.device.type) if compiled else batch_loss
        loss = loss_of(
            self.trained,
            self._own(batch),
            mix.to(self.device),
            system_loss=self.system.loss,
            numbers=self.loss.tensors(self.device, pretrains=self.pretrains),
            train=train,
            part=slice(self.rank, None, self.world),
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        if self._mean is not None:
            self._mean.update(self.module)
        return loss.detach()

    def _own(self, batch: Batch) -> Batch:
        """The batch with the log-mel of this system alone, on the network's device."""
        return batch._replace(sgram_BFT=batch.sgram_BFT[:, self._rows]).to(self.device)

    def read(self, index_N: Index) -> Reading:
        """The present module's outputs for these clips, and their classes."""
        module = folded(self.reads)
        batch_size = SCORING_BATCH[self.device.type]
        places: list[Index] = []
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.inference_mode(), precision_of(self.config.train, self.device):
            for index_B, whole in self.clips.read_batches(index_N, batch_size=batch_size):
                batch = self._own(whole)
                embedding_BE, readout_BK = module(batch.wave_BL, batch.sgram_BFT, batch.class_B)
                places.append(index_B)
                parts.append((embedding_BE.float(), readout_BK, batch.class_B))
        came_N = np.concatenate(places)
        sorted_N = np.argsort(came_N)
        asked_N = torch.from_numpy(sorted_N[np.searchsorted(came_N, index_N, sorter=sorted_N)])
        return Reading(*(torch.cat(column).cpu()[asked_N] for column in zip(*parts, strict=True)))


def fit(training: Training, *, score_at: Collection[int]) -> Iterator[EpochResult]:
    """Train epoch by epoch up to the configured number; score the clips after the epochs in `score_at`."""
    while training.epoch < training.config.train.epochs:
        rate = learning_rate(training.config.train, training.epoch + 1)
        train_loss = training.train_epoch()
        valid_loss, valid_accuracy = _validate(training)
        result = EpochResult(
            epoch=training.epoch,
            learning_rate=rate,
            train_loss=train_loss,
            valid_loss=valid_loss,
            valid_accuracy=valid_accuracy,
        )
        # All ranks hold the same network, so only rank 0 reads the clips.
        if training.epoch in score_at and training.rank == 0:
            result = replace(result, scored=score_clips(training))
        yield result


def _validate(training: Training) -> tuple[float | None, float | None]:
    """The loss on the held-out normal clips and, for a classifier, the accuracy."""
    if not len(training.valid_index) or training.rank:
        return None, None
    reading = training.read(training.valid_index)
    return training.system.loss.validate(reading.readout_NK, reading.class_N, training.loss)


def score_clips(training: Training) -> Scored:
    """Score all clips that have to be scored, by every score. Raises DivergedError if an output is not finite."""
    reading = training.read(training.scorer.index)
    finite_N = reading.embedding_NE.isfinite().all(dim=1) & reading.readout_NK.isfinite().all(dim=1)
    if not finite_N.all():
        raise DivergedError(f"{(~finite_N).sum()} scores are not finite in epoch {training.epoch}")
    return training.scorer.score(reading)
