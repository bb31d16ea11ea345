"""Applies every score that fits a system to one trained network, in one pass over the clips.

Scores of embeddings are fitted to a share of each machine id's training clips, separately for each machine type:
the score that suits one machine type may not suit another.

Axes: N clips, E embedding, K columns of a readout.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from asd_ray.config import RunConfig, ScoreConfig
from asd_ray.data.resident import Index, Labels
from asd_ray.losses.mixing import LossPoint
from asd_ray.models import System
from asd_ray.scoring.metrics import PROXY, MachineMetrics, machine_metrics, objective_value
from asd_ray.scoring.proxy import stand_ins
from asd_ray.scoring.scores import AUTO, OF_EMBEDDINGS, SCORES, Outputs, Score, best_score, make_score, outputs_of

MIN_REFERENCE = 10  # a gamma distribution fitted to fewer scores says little
FIT_SHARE = 0.1  # the share of training clips to fit to: reading all would cost a quarter of an epoch
FIT_LEAST = 16  # clips of a machine id to fit to at least, if it has so many

Doubles = npt.NDArray[np.float64]


class Reading(NamedTuple):
    """The module's outputs for N clips, on the CPU."""

    embedding_NE: Tensor  # noqa: N815
    readout_NK: Tensor  # noqa: N815
    class_N: Tensor  # noqa: N815

    def at(self, position_N: Index, *, heard_as: Index | None = None) -> "Reading":
        """The reading of the clips at these positions; `heard_as` replaces their own classes."""
        class_N = self.class_N[position_N] if heard_as is None else self.class_N.new_tensor(heard_as)
        return Reading(self.embedding_NE[position_N], self.readout_NK[position_N], class_N)


class Normals(NamedTuple):
    """The normal clips that scores are fitted to; a detector fits them anew."""

    embedding_NE: Tensor  # noqa: N815
    class_N: Tensor  # noqa: N815


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The scores of clips, and how well each score tells anomalies on the clips whose labels may be seen here."""

    index: Index  # which clips were scored
    by_score: dict[str, Doubles]  # score -> one value per clip
    metrics: dict[str, dict[str, MachineMetrics]]  # machine type -> score -> metrics on what chooses
    chosen: dict[str, str]  # machine type -> the score that counts
    normals: Normals | None  # None: no score of this system is fitted
    stand_ins: dict[str, "StandIns"]  # machine type -> its stand-ins, if it has two machine ids or more

    def of_record(self, machine_type_N: npt.NDArray[np.str_]) -> Doubles:
        """Each clip's value by the score that counts for its machine type, given the clips' machine types."""
        score_N = np.empty(len(self.index))
        for machine_type, name in self.chosen.items():
            mine_N = machine_type_N == machine_type
            score_N[mine_N] = self.by_score[name][mine_N]
        return score_N

    @property
    def counted(self) -> dict[str, MachineMetrics]:
        """The metrics of each machine type, by the score that counts for it."""
        return {machine_type: self.metrics[machine_type][name] for machine_type, name in self.chosen.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIns:
    """A machine type's held-out clips, each heard as its own and as all other machine ids (`scoring.proxy`)."""

    clip_id: npt.NDArray[np.str_]
    machine_id: npt.NDArray[np.str_]  # the id that the clip is heard as
    is_stand_in: npt.NDArray[np.bool_]
    by_score: dict[str, Doubles]  # score -> one value per row

    def metrics(self, name: str, *, machine_type: str, max_fpr: float) -> MachineMetrics:
        """How well a score tells stand-ins from held-out clips of the id that the stand-ins are heard as."""
        return machine_metrics(
            machine_type,
            self.machine_id,
            is_anomaly=self.is_stand_in,
            score=self.by_score[name],
            max_fpr=max_fpr,
        )


def scores_that_fit(system: System) -> tuple[str, ...]:
    """The names of the scores that fit a system."""
    return (system.score,) if system.score else OF_EMBEDDINGS


def clips_to_fit(labels: Labels, machine_types: Collection[str]) -> Index:
    """The training clips to fit scores to: spread evenly over each machine id's clips, and always the same."""
    train_N = labels.where(splits=["train"], machine_types=machine_types)
    class_N = labels.class_index[train_N]
    parts = [np.empty(0, np.int64)]
    for class_index in np.unique(class_N):
        mine = train_N[class_N == class_index]
        count = min(len(mine), max(FIT_LEAST, round(FIT_SHARE * len(mine))))
        parts.append(mine[np.linspace(0, len(mine) - 1, count).round().astype(np.int64)])
    return np.concatenate(parts)


def clips_to_score(labels: Labels, machine_types: Collection[str]) -> Index:
    """The clips to judge, and the normal clips that set the thresholds."""
    judged = labels.where(splits=["test", "eval"], machine_types=machine_types)
    return np.concatenate([judged, *(reference_clips(labels, machine_type) for machine_type in machine_types)])


def reference_clips(labels: Labels, machine_type: str) -> Index:
    """The normal clips to which a machine type's threshold is fitted: the held-out ones.

    If fewer than MIN_REFERENCE are held out, the training clips join them. The threshold is then too low, because
    a network knows the clips that it was trained on.
    """
    held_out = labels.where(splits=["valid"], machine_types=[machine_type])
    if len(held_out) >= MIN_REFERENCE:
        return held_out
    return labels.where(splits=["train", "valid"], machine_types=[machine_type])


class Scorer:
    """Knows which clips to read, and scores them once they have been read."""

    def __init__(
        self, config: RunConfig, labels: Labels, *, system: System, machine_types: Collection[str]
    ) -> None:
        self._config, self._labels, self._system = config.score, labels, system
        self._point = LossPoint(**config.loss.model_dump())
        self._types = tuple(machine_types)
        self._valid_index = labels.where(splits=["valid"], machine_types=machine_types)
        self._names = scores_that_fit(system)
        self.scored_index = clips_to_score(labels, machine_types)
        fits = any(SCORES[name]().fitted for name in self._names)
        self._fit_index = clips_to_fit(labels, machine_types) if fits else np.empty(0, np.int64)
        every = np.concatenate([self.scored_index, self._fit_index, self._valid_index])
        self.index = np.unique(every)  # the clips to read

    def score(self, reading: Reading) -> Scored:
        """Score the clips at `scored_index`, from a reading of the clips at `index`."""
        fitted = reading.at(np.searchsorted(self.index, self._fit_index))
        outputs = self._outputs(reading.at(np.searchsorted(self.index, self.scored_index)))
        by_score = {name: np.empty(len(self.scored_index)) for name in self._names}
        metrics: dict[str, dict[str, MachineMetrics]] = {}
        standing_in: dict[str, StandIns] = {}
        for machine_type in self._types:
            scores = self._fit(machine_type, fitted)
            mine_N = self._labels.machine_type[self.scored_index] == machine_type
            own = Outputs(*(column[mine_N] for column in outputs))
            for name, score in scores.items():
                by_score[name][mine_N] = score.score(own)
            if found := self._stand_ins(machine_type, reading, scores):
                standing_in[machine_type] = found
            metrics[machine_type] = self._metrics(machine_type, by_score, found)
        return Scored(
            index=self.scored_index,
            by_score=by_score,
            metrics=metrics,
            chosen={machine_type: self._choose(found) for machine_type, found in metrics.items()},
            normals=Normals(fitted.embedding_NE, fitted.class_N) if len(self._fit_index) else None,
            stand_ins=standing_in,
        )

    def _fit(self, machine_type: str, fitted: Reading) -> dict[str, Score]:
        """All scores of the system, fitted to the normal clips of a machine type."""
        normal_N = self._labels.machine_type[self._fit_index] == machine_type
        scores = {name: make_score(name) for name in self._names}
        for score in scores.values():
            score.fit(fitted.embedding_NE.numpy()[normal_N], fitted.class_N.numpy()[normal_N])
        return scores

    def _metrics(
        self, machine_type: str, by_score: dict[str, Doubles], stand_ins: StandIns | None
    ) -> dict[str, MachineMetrics]:
        """The metrics by each score, on what chooses: the clips whose labels may be seen, or the stand-ins."""
        if self._config.objective == PROXY and stand_ins is not None:
            max_fpr = self._config.max_fpr
            return {name: stand_ins.metrics(name, machine_type=machine_type, max_fpr=max_fpr) for name in by_score}
        return {
            name: choosing_metrics(
                self._labels, self.scored_index, scores=scores, machine_type=machine_type, config=self._config
            )
            for name, scores in by_score.items()
        }

    def _stand_ins(self, machine_type: str, reading: Reading, scores: dict[str, Score]) -> StandIns | None:
        """The stand-ins of a machine type; None if it has one machine id only, or if the system has a score of its
        own, which judges a clip by its own id alone."""
        labels, valid = self._labels, self._valid_index
        valid = valid[labels.machine_type[valid] == machine_type]
        class_N = labels.class_index[valid]
        position_P, class_P = stand_ins(class_N)
        if self._system.score or not len(position_P):
            return None
        clip = np.concatenate([valid, valid[position_P]])
        heard_as = np.concatenate([class_N, class_P])
        outputs = self._outputs(reading.at(np.searchsorted(self.index, clip), heard_as=heard_as))
        ids = dict(zip(class_N.tolist(), labels.machine_id[valid].tolist(), strict=True))
        return StandIns(
            clip_id=labels.clip_id[clip],
            machine_id=np.array([ids[number] for number in heard_as.tolist()]),
            is_stand_in=np.arange(len(clip)) >= len(valid),
            by_score={name: score.score(outputs) for name, score in scores.items()},
        )

    def _outputs(self, reading: Reading) -> Outputs:
        embedding_BE, readout_BK, class_B = reading
        return outputs_of(
            self._system.loss, self._point, embedding_BE=embedding_BE, readout_BK=readout_BK, class_B=class_B
        )

    def _choose(self, metrics: dict[str, MachineMetrics]) -> str:
        """The score that counts: the one that the config names, or the best on what chooses."""
        if len(self._names) == 1:
            return self._names[0]
        if self._config.name != AUTO:
            return self._config.name
        return best_score(
            {name: objective_value(found, self._config.objective) for name, found in metrics.items()}
        )


def choosing_metrics(
    labels: Labels, index_N: Index, *, scores: Doubles, machine_type: str, config: ScoreConfig
) -> MachineMetrics:
    """The metrics of a machine type on the clips whose labels may be seen here."""
    judged = np.isin(labels.split[index_N], ["test", "eval"]) & (labels.is_anomaly[index_N] >= 0)
    chosen = judged & (labels.machine_type[index_N] == machine_type)
    clips = index_N[chosen]
    return machine_metrics(
        machine_type,
        labels.machine_id[clips],
        is_anomaly=labels.is_anomaly[clips] == 1,
        score=scores[chosen],
        max_fpr=config.max_fpr,
    )
