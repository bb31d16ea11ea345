"""How far a figure would move with other test clips and other seeds: means, deviations, 95 % intervals.

Two sources, each with an interval of its own:

- clips: bootstrap, BCa (Efron, "Better bootstrap confidence intervals", 1987); it resamples the clips within every
  stratum (machine id and label), with the same draw for all seeds and for both sides of a difference;
- seeds, where there are several: Student's t, wider where these seeds have chosen the config (`seeds`). We do not
  resample seeds with the clips: with two to ten seeds, a bootstrap gives intervals that are far too narrow.

The distances from the mean to either end add up as squares (Zou and Donner, "Construction of confidence limits
about effect measures", 2008). Every interval stands alone, and covers other clips and seeds like these, not other
machines or recording days.

In simulations (benchmarks/intervals.py: 2 to 10 seeds that scatter by 2 to 15 points, the best of four equal
configs chosen by its mean, 100 clips of either kind) they held the true mean in 95 to 100 of 100 cases, the true
difference in 96 to 100, and called the winner better in at most 2. Where one config scatters three times as much
as the others, they call a winner better that is not in up to 5 of 100 cases; seven times as much, in 9.

Axes: R resamples, N normal clips, A anomalous clips, U distinct scores, B clips, S seeds, C configs, K machine
ids.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asd_ray.scoring.metrics import MAX_FPR, OBJECTIVES, PROXY
from asd_ray.scoring.roc import Floats, roc_areas
from asd_ray.scoring.seeds import seed_margins

CONFIDENCE = 0.95
RESAMPLES = 2000
SAME = 1e-12  # smaller differences are rounding
# From the metrics of each machine id, auc_KR and pauc_KR, to the objective_R of a machine type.
COMBINE: dict[str, Callable[[Floats, Floats], Floats]] = {
    "mean": lambda auc_KR, pauc_KR: (auc_KR.mean(axis=0) + pauc_KR.mean(axis=0)) / 2,
    "auc": lambda auc_KR, _: auc_KR.mean(axis=0),
    "pauc": lambda _, pauc_KR: pauc_KR.mean(axis=0),
    "mauc": lambda auc_KR, _: auc_KR.min(axis=0),
}
COMBINE[PROXY] = COMBINE["mean"]
assert COMBINE.keys() == OBJECTIVES.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over seeds, its standard deviation (n - 1; None for one seed), and its interval if there is one.

    `method`: BCa over clips, or percentile where BCa is undefined; `and t` over seeds, where there are several.
    `note` says why there is no interval, or what the interval leaves out.
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    method: str
    note: str

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)


def mean_and_sd(values: npt.ArrayLike) -> tuple[float, float | None]:
    """The mean, and the standard deviation of the population that the values are drawn from.

    >>> mean_and_sd([1.0, 3.0]), mean_and_sd([5.0])
    ((2.0, 1.4142135623730951), (5.0, None))
    """
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else None


def estimate(
    machine_id_B: npt.ArrayLike,
    is_anomaly_B: npt.ArrayLike,
    score_SB: npt.ArrayLike,
    *,
    minus_SB: npt.ArrayLike | None = None,
    contenders: Sequence[npt.ArrayLike] = (),
    objective: str = "mean",
    max_fpr: float = MAX_FPR,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate | None:
    """The objective of one machine type, as a mean over seeds, or its paired difference to `minus_SB`.

    `score_SB` holds one row of scores per seed. `contenders`: the scores of all configs from which the same seeds
    chose this one, including itself (and `minus_SB`). The same arguments give the same interval. Ids without clips
    of both kinds are left out, as in `machine_metrics`; the result is None where no id remains.
    """
    ids_B = np.asarray(machine_id_B, dtype=str)
    strata = _strata(ids_B, np.asarray(is_anomaly_B, dtype=bool))
    if not strata:
        return None
    sides = [np.asarray(side, dtype=np.float64) for side in (score_SB, minus_SB) if side is not None]
    assert len({side.shape for side in sides}) == 1
    values = partial(_objectives, strata=strata, objective=objective, max_fpr=max_fpr)

    def per_seed(*drawn: npt.NDArray[np.int64]) -> Floats:
        """value_SR, given positions within the strata, alternately (R, N) and (R, A)."""
        first, *other = (values(side, drawn) for side in sides)
        return first - other[0] if other else first

    whole = tuple(np.arange(len(stratum))[None] for stratum in strata)
    value_S = per_seed(*whole)[:, 0]
    if note := _why_without(strata, ids_B):
        return _without_interval(value_S, note)
    paired, several = len(sides) > 1, len(value_S) > 1
    contender_CS = np.array([values(np.asarray(one, dtype=np.float64), whole)[:, 0] for one in contenders])
    below, above = seed_margins(value_S, contender_CS, paired=paired, confidence=CONFIDENCE)
    clips = _bootstrap(per_seed, [len(stratum) for stratum in strata], resamples=resamples, seed=seed)
    if clips is None and max(below, above) < SAME:
        return _without_interval(value_S, "nearly every resample gives the same value")
    mean, sd = mean_and_sd(value_S)
    low, high, method = clips or (mean, mean, "")
    return Estimate(
        mean=mean,
        sd=sd,
        low=max(mean - math.hypot(max(mean - low, 0.0), below), -1.0 if paired else 0.0),
        high=min(mean + math.hypot(max(high - mean, 0.0), above), 1.0),
        method=" and ".join(filter(None, [method, "t" if several else ""])),
        note="" if several else "one seed: the interval is for other clips only",
    )


def _without_interval(value_S: Floats, note: str) -> Estimate:
    mean, sd = mean_and_sd(value_S)
    return Estimate(mean=mean, sd=sd, low=None, high=None, method="", note=note)


def _why_without(strata: list[npt.NDArray[np.int64]], ids_B: npt.NDArray[np.str_]) -> str:
    """Why clips cannot be resampled; empty where they can."""
    for number, stratum in enumerate(strata):
        if len(stratum) < 2:
            kind = "anomalous" if number % 2 else "normal"
            return f"{ids_B[stratum[0]]} has a single {kind} clip, which says nothing of its spread"
    return ""


def _strata(id_B: npt.NDArray[np.str_], is_anomaly_B: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Positions of the normal clips, then of the anomalous clips, for every id that has both."""
    pairs = [
        (np.flatnonzero((id_B == name) & ~is_anomaly_B), np.flatnonzero((id_B == name) & is_anomaly_B))
        for name in np.unique(id_B)
    ]
    return [stratum for pair in pairs if all(map(len, pair)) for stratum in pair]


def _objectives(
    score_SB: Floats,
    drawn: tuple[npt.NDArray[np.int64], ...],
    *,
    strata: list[npt.NDArray[np.int64]],
    objective: str,
    max_fpr: float,
) -> Floats:
    """value_SR."""
    counts = [_counts(positions, len(stratum)) for positions, stratum in zip(drawn, strata, strict=True)]
    values = []
    for score_B in score_SB:
        areas = [
            roc_areas(
                counts[k],
                counts[k + 1],
                score_B[strata[k]],
                score_B[strata[k + 1]],
                max_fprs=(1.0, max_fpr),
            )
            for k in range(0, len(strata), 2)
        ]
        auc_KR, pauc_KR = (np.array(column) for column in zip(*areas, strict=True))
        combined = [COMBINE[name](auc_KR, pauc_KR) for name in objective.split(",")]
        values.append(np.mean(combined, axis=0))
    return np.array(values)


def _counts(position_RM: npt.NDArray[np.int64], size: int) -> Floats:
    """count_RN: how often each of `size` clips was drawn."""
    rows = len(position_RM)
    flat = (position_RM + size * np.arange(rows)[:, None]).ravel()
    count_RN: Floats = np.bincount(flat, minlength=rows * size).reshape(rows, size).astype(np.float64)
    return count_RN


def _bootstrap(
    per_seed: Callable[..., Floats], sizes: list[int], *, resamples: int, seed: int
) -> tuple[float, float, str] | None:
    """Ends of the interval over clips and its method; None where nearly all resamples give the same value."""
    from scipy import stats  # here: it takes half a second to import, and training and scoring need no interval

    def statistic(*drawn: npt.NDArray[np.int64], axis: int = -1) -> Floats:
        """The mean over seeds for every draw; scipy calls it with and without leading axes."""
        shape = drawn[0].shape[:-1]
        flat = [positions.reshape(-1, positions.shape[-1]) for positions in drawn]
        values: Floats = per_seed(*flat).mean(axis=0).reshape(shape)
        return values

    def ends(method: str, result: Any = None) -> Any:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            return stats.bootstrap(
                [np.arange(size) for size in sizes],
                statistic,
                vectorized=True,
                method=method,
                confidence_level=CONFIDENCE,
                n_resamples=0 if result else resamples,
                bootstrap_result=result,
                rng=np.random.default_rng(seed),
            )

    result = ends("BCa")
    method, interval = "BCa", result.confidence_interval
    if not np.isfinite(interval).all() or interval.low == interval.high:
        method, interval = "percentile", ends("percentile", result).confidence_interval
    if interval.high - interval.low < SAME:
        return None
    return float(interval.low), float(interval.high), method
