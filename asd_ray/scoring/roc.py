"""Areas under the ROC curves of many resamples at once.

scikit-learn's roc_auc_score takes 3 ms a call, mostly to check its input; every scored epoch would call it some
two hundred times, a report a thousand times.
Axes: N normal clips, A anomalous clips, R resamples, U thresholds.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def roc_areas(
    count_RN: Floats, count_RA: Floats, normal_N: Floats, anomaly_A: Floats, *, max_fprs: Sequence[float] = (1.0,)
) -> list[Floats]:
    """area_R under the ROC curve up to each of `max_fprs`, where the counts say how often each clip counts.

    Equals scikit-learn's roc_auc_score, also with ties; the area of a partial curve is standardised after McClish
    (1989). Every row needs clips of both kinds.

    >>> ones = np.ones((1, 2))
    >>> roc_areas(ones, ones, np.array([0.1, 0.3]), np.array([0.2, 0.4]), max_fprs=(1.0, 0.1))
    [array([0.75]), array([0.73684211])]
    """
    threshold_U = np.unique(np.concatenate([normal_N, anomaly_A]))[::-1]
    fpr_RU = _share_at_least(threshold_U, count_RN, normal_N)
    tpr_RU = _share_at_least(threshold_U, count_RA, anomaly_A)
    return [_area(fpr_RU, tpr_RU, max_fpr) for max_fpr in max_fprs]


def roc_curve(is_anomaly_B: npt.NDArray[np.bool_], score_B: Floats) -> tuple[Floats, Floats]:
    """The corners of the ROC curve and its first step: false-positive and true-positive rates, from 0 to 1.

    Equals scikit-learn's roc_curve, which takes a second to import. It needs clips of both kinds.

    >>> roc_curve(np.array([False, True, True]), np.array([0.1, 0.2, 0.3]))
    (array([0., 0., 0., 1.]), array([0. , 0.5, 1. , 1. ]))
    """
    order = np.argsort(-score_B, kind="stable")
    last = np.append(np.flatnonzero(np.diff(score_B[order])), len(order) - 1)  # of clips that score alike
    found = np.cumsum(is_anomaly_B[order])[last]
    alarms = 1 + last - found
    turns = (np.diff(alarms, 2) != 0) | (np.diff(found, 2) != 0)  # a point on a straight line is no corner
    corner = np.concatenate([[True], turns, [True]]) if len(found) > 2 else np.ones(len(found), dtype=bool)
    false_rate, true_rate = (np.append(0, count[corner]) / count[-1] for count in (alarms, found))
    return false_rate, true_rate


def _area(fpr_RU: Floats, tpr_RU: Floats, max_fpr: float) -> Floats:
    if max_fpr == 1.0:
        whole_R: Floats = np.einsum("ru,ru->r", np.diff(fpr_RU, axis=1), tpr_RU[:, 1:] + tpr_RU[:, :-1]) / 2
        return whole_R
    needed = int(np.max(np.sum(fpr_RU < max_fpr, axis=1))) + 1  # the curve ends there in every row
    fpr_RU, tpr_RU = fpr_RU[:, :needed], tpr_RU[:, :needed]
    rise_RU, run_RU = np.diff(tpr_RU, axis=1), np.diff(fpr_RU, axis=1)
    kept_RU = np.diff(np.minimum(fpr_RU, max_fpr), axis=1)
    slope_RU = np.divide(rise_RU, run_RU, out=np.zeros_like(rise_RU), where=run_RU > 0)
    area_R: Floats = (kept_RU * (tpr_RU[:, :-1] + slope_RU * kept_RU / 2)).sum(axis=1)
    least = max_fpr**2 / 2
    standard_R: Floats = 0.5 * (1 + (area_R - least) / (max_fpr - least))
    return standard_R


def _share_at_least(threshold_U: Floats, count_RN: Floats, score_N: Floats) -> Floats:
    """The share of the clips that score at least each threshold; 0 comes first."""
    order = np.argsort(-score_N, kind="stable")
    total_RN = np.cumsum(count_RN[:, order], axis=1)
    total_RN = np.concatenate([np.zeros((len(count_RN), 1)), total_RN], axis=1)
    reached_U = np.searchsorted(-score_N[order], -threshold_U, side="right")
    share: Floats = total_RN[:, np.concatenate([[0], reached_U])] / total_RN[:, -1:]
    return share
