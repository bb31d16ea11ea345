"""How well scores tell anomalies from normal clips: AUC, pAUC, mAUC, and which of them a search maximises.

A metric that is undefined (clips of one kind only) is None, never NaN.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from asd_ray.errors import InputError, suggestion
from asd_ray.scoring.roc import roc_areas

MAX_FPR = 0.1  # as in DCASE 2020 Task 2
PROXY = "proxy"  # the objective that needs no labels


@dataclass(frozen=True, slots=True)
class Auc:
    """Area under the whole ROC curve, and up to a false-positive rate; chance is 0.5 for both."""

    auc: float | None
    pauc: float | None


def auc_of(is_anomaly: npt.ArrayLike, score: npt.ArrayLike, *, max_fpr: float = MAX_FPR) -> Auc:
    """AUC, and the partial AUC up to `max_fpr`, standardised after McClish (1989) as scikit-learn does.

    Raises InputError where a score is not finite.

    >>> auc_of([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4])
    Auc(auc=0.75, pauc=0.7368421052631579)
    >>> auc_of([0, 0], [0.1, 0.3])
    Auc(auc=None, pauc=None)
    """
    truth, values = np.asarray(is_anomaly, dtype=bool), np.asarray(score, dtype=np.float64)
    assert truth.shape == values.shape
    if not np.isfinite(values).all():
        broken = int(np.sum(~np.isfinite(values)))
        raise InputError(f"{broken} of {values.size} scores are not finite; the training diverged")
    if truth.all() or not truth.any():  # this covers an empty set of clips
        return Auc(None, None)
    normal, anomalous = values[~truth], values[truth]
    once_1N, once_1A = np.ones((1, len(normal))), np.ones((1, len(anomalous)))
    (auc,), (pauc,) = roc_areas(once_1N, once_1A, normal, anomalous, max_fprs=(1.0, max_fpr))
    return Auc(float(auc), float(pauc))


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineMetrics:
    """The metrics of one machine type.

    `averaged`: mean over machine ids, as DCASE does. `pooled`: one ROC curve over the clips of all ids, which
    the published Noisy-ArcMix evaluation prints. `minimum`: the smallest AUC of an id, called mAUC. Ids with
    clips of one kind only are listed as undefined, and left out of mean and minimum.
    """

    machine_type: str
    per_id: dict[str, Auc]
    averaged: Auc
    pooled: Auc
    minimum: float | None
    undefined_ids: tuple[str, ...]
    num_normal: int
    num_anomaly: int


def machine_metrics(
    machine_type: str,
    machine_ids: Sequence[str] | npt.NDArray[np.str_],
    *,
    is_anomaly: npt.ArrayLike,
    score: npt.ArrayLike,
    max_fpr: float = MAX_FPR,
) -> MachineMetrics:
    """The metrics of the clips of one machine type, given one machine id, label and score per clip.

    Raises InputError where a score is not finite.
    """
    ids = np.asarray(machine_ids, dtype=str)
    truth, values = np.asarray(is_anomaly, dtype=bool), np.asarray(score, dtype=np.float64)
    assert ids.shape == truth.shape == values.shape
    pooled = auc_of(truth, values, max_fpr=max_fpr)
    per_id = {
        str(machine_id): auc_of(truth[ids == machine_id], values[ids == machine_id], max_fpr=max_fpr)
        for machine_id in np.unique(ids)
    }
    aucs = [found.auc for found in per_id.values() if found.auc is not None]
    paucs = [found.pauc for found in per_id.values() if found.pauc is not None]
    return MachineMetrics(
        machine_type=machine_type,
        per_id=per_id,
        averaged=Auc(fmean(aucs), fmean(paucs)) if aucs else Auc(None, None),
        pooled=pooled,
        minimum=min(aucs, default=None),
        undefined_ids=tuple(machine_id for machine_id, found in per_id.items() if found.auc is None),
        num_normal=int(np.sum(~truth)),
        num_anomaly=int(np.sum(truth)),
    )


@dataclass(frozen=True, slots=True)
class Objective:
    """What a search maximises, computed from the metrics of a machine type."""

    name: str
    of: Callable[[MachineMetrics], float | None]


def _mean(metrics: MachineMetrics) -> float | None:
    auc, pauc = metrics.averaged.auc, metrics.averaged.pauc
    return None if auc is None or pauc is None else (auc + pauc) / 2


_OBJECTIVES = (
    Objective("mean", _mean),  # of AUC and pAUC: the official score of DCASE
    Objective("auc", lambda metrics: metrics.averaged.auc),
    Objective("pauc", lambda metrics: metrics.averaged.pauc),
    Objective("mauc", lambda metrics: metrics.minimum),
    Objective(PROXY, _mean),  # stand-ins choose; labelled clips report
)
OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in _OBJECTIVES}


def objective_value(metrics: MachineMetrics, name: str) -> float | None:
    """The objective's value, or the mean of several (`auc,pauc`); None where one is undefined.

    Raises InputError for an unknown name.
    """
    values = []
    for part in name.split(","):
        if part not in OBJECTIVES:
            raise InputError(f"objective {part!r} is unknown{suggestion(part, OBJECTIVES)}")
        values.append(OBJECTIVES[part].of(metrics))
    defined = [value for value in values if value is not None]
    return fmean(defined) if len(defined) == len(values) else None
