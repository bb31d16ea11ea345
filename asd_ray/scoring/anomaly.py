"""Anomaly scores of clips, and the score from which a clip counts as an anomaly.

Arrays here are numpy: a score is computed once per clip, after the network, in float64.
Axes: N normal clips to fit on, B clips to score, E embedding, C classes.
"""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from asd_ray.command import InputError

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


class Score(Protocol):
    """One way to score a clip; higher is more anomalous.

    `fit` sees the embeddings of normal training clips once; `score` may then be called on any clips.
    """

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None: ...

    def score(self, embedding_BE: Floats, logits_BC: Floats, class_B: Ints) -> npt.NDArray[np.float64]:
        """score_B. `logits_BC` carry the margin on the clip's own class."""
        ...


class MarginCrossEntropy:
    """-log softmax(logits)[own class], with the margin of training on the own class, as published."""

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None:
        """Nothing to fit."""

    def score(self, embedding_BE: Floats, logits_BC: Floats, class_B: Ints) -> npt.NDArray[np.float64]:
        """score_B.

        >>> MarginCrossEntropy().score(np.zeros((1, 2)), np.log([[1.0, 3.0]]), np.array([0])).round(6)
        array([1.386294])
        """
        logits_BC = logits_BC.astype(np.float64)
        own_B = np.take_along_axis(logits_BC, class_B[:, None], axis=1)[:, 0]
        score_B: npt.NDArray[np.float64] = special.logsumexp(logits_BC, axis=1) - own_B
        return score_B.clip(min=0.0)  # rounding can leave -1e-16


class OwnEvidence:
    """What the system itself has against a clip: an error, or how unlikely it is; its logits are that, (B, 1)."""

    def fit(self, embedding_NE: Floats, class_N: Ints) -> None:
        """Nothing to fit."""

    def score(self, embedding_BE: Floats, logits_BC: Floats, class_B: Ints) -> npt.NDArray[np.float64]:
        """score_B.

        >>> OwnEvidence().score(np.zeros((1, 2)), np.array([[3.5]]), np.array([0]))
        array([3.5])
        """
        score_B: npt.NDArray[np.float64] = logits_BC[:, 0].astype(np.float64)
        return score_B


SCORES: dict[str, Callable[[], Score]] = {
    "margin_cross_entropy": MarginCrossEntropy,
    "own_evidence": OwnEvidence,
}


def make_score(name: str) -> Score:
    """A fresh score. Raises InputError, with the nearest name, for an unknown one."""
    if name not in SCORES:
        near = difflib.get_close_matches(name, SCORES, n=1)
        mend = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(SCORES))}"
        raise InputError(f"score {name!r} is unknown; {mend}")
    return SCORES[name]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A clip whose score exceeds `value` counts as an anomaly; `1 - quantile` of normal clips do so."""

    value: float
    quantile: float
    method: Literal["gamma", "empirical"]
    num_clips: int


def fit_threshold(normal_scores: npt.ArrayLike, *, quantile: float = 0.9) -> Threshold:
    """The quantile of a gamma distribution fitted to the scores of normal clips, as DCASE's baseline does.

    Where no gamma distribution fits it is the quantile of the scores themselves, and `method` says so: fewer
    than 3 distinct scores, a negative one, or a fit that leaves far too many or too few clips above it (cross
    entropies that span many powers of ten do that). Raises InputError for no scores, scores that are not
    finite, or a quantile outside (0, 1).
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
    if np.unique(scores).size < 3 or scores.min() < 0.0:
        return None
    # The likelihood has log(score): a score of zero, which rounding makes, stands at the smallest above it.
    positive = np.maximum(scores, scores[scores > 0.0].min())
    try:
        with np.errstate(all="ignore"):
            shape, _, scale = stats.gamma.fit(positive, floc=0.0)
            value = float(stats.gamma.ppf(quantile, shape, scale=scale))
    except (ValueError, RuntimeError):  # scores so close together that the solver finds no shape
        return None
    above, expected = float(np.mean(scores > value)), 1.0 - quantile
    standard_error = math.sqrt(quantile * expected / scores.size)
    return value if abs(above - expected) <= max(expected / 2, 3 * standard_error) else None
