"""Choosing without labels: other ids of the machine type stand in for anomalies.

A held-out normal clip, scored as another id of its machine type, is a sound that is wrong for that id. How well a
score tells such stand-ins from the id's own held-out clips can be measured without labelled anomalies. Whether
that says anything about real anomalies, `rank_correlation` measures; docs/label-free.md has the findings.

Axes: N held-out clips, P stand-ins, S seeds, B clips, T trials.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]
CONFIDENCE = 0.95
FEWEST = 4  # trials: the interval of a correlation divides by the root of n - 3


def stand_ins(class_N: Ints) -> tuple[Ints, Ints]:
    """Every held-out clip as every other class among them: its position_P, and the class_P that it is scored as.

    >>> position, heard_as = stand_ins(np.array([4, 4, 7]))
    >>> position.tolist(), heard_as.tolist()
    ([0, 1, 2], [7, 7, 4])
    """
    pairs = [
        (position, other)
        for other in np.unique(class_N)[::-1].tolist()
        for position in np.flatnonzero(class_N != other).tolist()
    ]
    position_P, class_P = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return position_P, class_P


class Correlation(NamedTuple):
    """Spearman's rank correlation of two values over trials, with its 95 % interval; None where undefined."""

    value: float | None
    low: float | None
    high: float | None
    trials: int

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "undefined"
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"

    @property
    def verdict(self) -> str:
        """What the correlation says about the proxy.

        >>> Correlation(0.5, 0.1, 0.8, 20).verdict, Correlation(0.1, -0.4, 0.5, 20).verdict
        ('of some use', 'no evidence of use')
        """
        if self.low is None or self.high is None:
            return f"{self.trials} complete trials say nothing"
        return "of some use" if self.low > 0 else "misleading" if self.high < 0 else "no evidence of use"


def rank_correlation(one_T: npt.ArrayLike, other_T: npt.ArrayLike) -> Correlation:
    """How similarly two values order the trials, with an interval by Fisher's z.

    The standard error is that of Bonett and Wright, "Sample size requirements for estimating Pearson, Kendall and
    Spearman correlations", 2000: sqrt((1 + r^2 / 2) / (T - 3)). Undefined for fewer than FEWEST trials, or where
    one of the values never changes.

    >>> rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 5, 4]).value
    0.9
    """
    one, other = np.asarray(one_T, dtype=np.float64), np.asarray(other_T, dtype=np.float64)
    assert one.shape == other.shape
    count = len(one)
    if count < FEWEST or np.ptp(one) == 0.0 or np.ptp(other) == 0.0:
        return Correlation(None, None, None, count)
    from scipy import stats  # here and below: a report needs it; a training, which uses stand-ins, does not

    value = round(float(stats.spearmanr(one, other).statistic), 12)
    middle = math.atanh(max(-1 + 1e-9, min(1 - 1e-9, value)))
    reach = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt((1 + value**2 / 2) / (count - 3))
    return Correlation(value, math.tanh(middle - reach), math.tanh(middle + reach), count)


def agreement(score_SB: npt.ArrayLike) -> float | None:
    """The mean rank correlation of the scores of the same clips between seeds; None for one seed.

    A config whose seeds order the clips similarly has learnt something about the clips. This needs no labels.

    >>> agreement([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    -0.3333333333333333
    """
    score_SB = np.asarray(score_SB, dtype=np.float64)
    if len(score_SB) < 2 or score_SB.shape[1] < 2 or (np.ptp(score_SB, axis=1) == 0.0).any():
        return None
    from scipy import stats

    ranks_SB = stats.rankdata(score_SB, axis=1)
    between_SS = np.corrcoef(ranks_SB)
    return float(between_SS[np.triu_indices(len(score_SB), k=1)].mean())
