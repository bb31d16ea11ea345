"""The score from which a clip counts as an anomaly."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from asd_ray.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A clip whose score exceeds `value` counts as an anomaly, as do the share `1 - quantile` of normal clips."""

    value: float
    quantile: float
    method: Literal["gamma", "empirical"]
    num_clips: int


def fit_threshold(normal_scores: npt.ArrayLike, *, quantile: float = 0.9) -> Threshold:
    """The quantile of a gamma distribution fitted to the scores of normal clips, as in DCASE's baseline.

    Where no gamma distribution fits, the threshold is the quantile of the scores themselves, and `method` says so:
    for fewer than 3 distinct scores, a negative score, or a fit with far too many or too few clips above it (as
    for cross entropies that span many powers of ten). Raises InputError for no scores, scores that are not finite,
    or a quantile outside (0, 1).
    """
    scores = np.asarray(normal_scores, dtype=np.float64).ravel()
    if not 0.0 < quantile < 1.0:
        raise InputError(f"quantile {quantile} of the threshold; use a number between 0 and 1")
    if scores.size == 0:
        raise InputError("no scores of normal clips to fit a threshold on; give at least one normal clip")
    if not np.isfinite(scores).all():
        raise InputError(f"{np.sum(~np.isfinite(scores))} of {scores.size} normal scores are not finite")
    value = _gamma_quantile(scores, quantile)
    if value is not None:
        return Threshold(value=value, quantile=quantile, method="gamma", num_clips=scores.size)
    value = float(np.quantile(scores, quantile))
    return Threshold(value=value, quantile=quantile, method="empirical", num_clips=scores.size)


def _gamma_quantile(scores: npt.NDArray[np.float64], quantile: float) -> float | None:
    """None where no gamma distribution fits."""
    if np.unique(scores).size < 3 or np.min(scores) < 0.0:
        return None
    from scipy import stats  # here: it takes half a second to import, and only judging needs it

    # The likelihood takes log(score): a score of zero, due to rounding, is raised to the smallest positive score.
    positive = np.maximum(scores, np.min(scores[scores > 0.0]))
    try:
        with np.errstate(all="ignore"):
            shape, _, scale = stats.gamma.fit(positive, floc=0.0)
            value = float(stats.gamma.ppf(quantile, shape, scale=scale))
    except (ValueError, RuntimeError):  # scores so close together that the solver finds no shape
        return None
    above, expected = float(np.mean(scores > value)), 1.0 - quantile
    standard_error = math.sqrt(quantile * expected / scores.size)
    return value if abs(above - expected) <= max(expected / 2, 3 * standard_error) else None
