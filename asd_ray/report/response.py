"""How a machine type's objective changes with the searched numbers: importance, slices and contours.

All of this is computed from the complete trials of the machine type's study, on the choosing clips. Curves are the
means of a Gaussian process fitted to them (`search.surface`), through the chosen config: all other numbers keep
their values there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from asd_ray.config import Param
from asd_ray.search.ranges import Choices, Names, Range
from asd_ray.search.space import StudySpace
from asd_ray.search.studies.surface import FEWEST, fitted, to_unit_cube, unit_axes, unit_points
from asd_ray.search.studies.trial_store import worth

PAIRS = (("margin", "scale"), ("mixup_alpha", "noise_prob"))  # the loss of one clip; how clips are mixed
RESAMPLES = 20  # of the trials, to estimate the spread of the importances
TREES = 16  # in each resample's forest
CONFIDENCE = 0.9  # as much as 20 resamples can resolve
SURE = 1.96  # standard deviations around a slice: 95 % of a normal distribution
STEPS, CELLS = 41, 25  # points of a slice, and of each side of a contour

NAMES = {"mixup_alpha": "mixup alpha", "noise_prob": "noise probability", "mix_prob": "mixing probability"}

Array = NDArray[np.float64]


def spoken(name: str) -> str:
    """The name of a searched number in a sentence.

    >>> spoken("noise_prob"), spoken("batch_size")
    ('noise probability', 'batch size')
    """
    return NAMES.get(name, name.replace("_", " "))


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """One number's share, from 0 to 1, of the trials' variance that the searched numbers explain together.

    90 % of bootstrap resamples of the trials lie between `low` and `high`.
    """

    name: str
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Along one number: mean and 95 % interval of the noise-free objective; trials as (value, objective)."""

    name: str
    log: bool
    chosen: float | None
    values: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    trials: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """Over two numbers: the mean objective, one row per value of `y`, and where the trials lie."""

    x: str
    y: str
    log: tuple[bool, bool]
    chosen: tuple[float, float] | None
    x_values: tuple[float, ...]
    y_values: tuple[float, ...]
    mean: tuple[tuple[float, ...], ...]
    trials: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The response of one machine type; `why_not` says why it holds only the number of complete trials.

    `explained`: the share, from 0 to 1, of the objective's variance over trials that the surface predicts for
    trials that it was not fitted to.
    """

    num_trials: int
    why_not: str = ""
    explained: float = 0.0
    importances: tuple[Importance, ...] = ()
    slices: tuple[Slice, ...] = ()
    contours: tuple[Contour, ...] = ()


def response_of(trials: Sequence[FrozenTrial], space: StudySpace, *, chosen: Mapping[str, Param]) -> Response:
    """The response of the study that holds these trials, through the chosen config.

    If systems are searched, it covers the numbers of the chosen system.
    """
    able = fitted(trials)
    values = np.array([worth(trial) for trial in able])
    if len(able) < FEWEST:
        return Response(num_trials=len(able), why_not=f"{len(able)} complete trials, {FEWEST} at least are needed")
    if np.ptp(values) == 0.0:
        return Response(num_trials=len(able), why_not="all complete trials have the same objective")
    view = _View(able, values, space, chosen)
    names = [
        name
        for name in space.searched()
        if not isinstance(space.spec(name), Names) and (name in chosen or "system" not in chosen)
    ]
    ranges = [name for name in names if isinstance(space.spec(name), Range)]
    pairs = [pair for pair in PAIRS if set(pair) <= set(ranges)] or [*pairwise(ranges[:2])]
    return Response(
        num_trials=len(able),
        explained=view.surface.explained,
        importances=importances(able, values, space),
        slices=tuple(map(view.slice, names)),
        contours=tuple(view.contour(*pair) for pair in pairs),
    )


class _View:
    """A fitted surface, cut through the chosen config."""

    def __init__(
        self, trials: Sequence[FrozenTrial], values: Array, space: StudySpace, chosen: Mapping[str, Param]
    ) -> None:
        from asd_ray.search.studies.gaussian import Surface  # here: a small search has too few trials for it

        self.surface = Surface(unit_points(trials, space), values)
        self._space, self._point = space, dict(chosen)
        self._chosen = _numbers(chosen)
        self._points = [_numbers(space.active(trial.params)) for trial in trials]
        self._values = values

    def slice(self, name: str) -> Slice:
        values = self._values_of(name, STEPS)
        mean, sd = self._ask([{name: value} for value in values])
        return Slice(
            name=name,
            log=self._is_log(name),
            chosen=self._chosen.get(name),
            values=values,
            mean=tuple(mean.tolist()),
            low=tuple((mean - SURE * sd).tolist()),
            high=tuple((mean + SURE * sd).tolist()),
            trials=tuple(
                (point[name], float(value))
                for point, value in zip(self._points, self._values, strict=True)
                if name in point
            ),
        )

    def contour(self, x: str, y: str) -> Contour:
        x_values, y_values = self._values_of(x, CELLS), self._values_of(y, CELLS)
        mean, _ = self._ask([{x: one, y: other} for other in y_values for one in x_values])
        chosen = (self._chosen[x], self._chosen[y]) if {x, y} <= set(self._chosen) else None
        return Contour(
            x=x,
            y=y,
            log=(self._is_log(x), self._is_log(y)),
            chosen=chosen,
            x_values=x_values,
            y_values=y_values,
            mean=tuple(map(tuple, mean.reshape(len(y_values), len(x_values)).tolist())),
            trials=tuple((point[x], point[y]) for point in self._points if x in point and y in point),
        )

    def _ask(self, changes: Sequence[Mapping[str, float]]) -> tuple[Array, Array]:
        points = [self._space.active({**self._point, **change}) for change in changes]
        return self.surface.mean_and_sd(to_unit_cube(points, self._space))

    def _values_of(self, name: str, steps: int) -> tuple[float, ...]:
        spec = self._space.spec(name)
        if isinstance(spec, Choices):
            return tuple(sorted(spec.choices))
        assert isinstance(spec, Range)
        spaced = np.geomspace if spec.log else np.linspace
        return tuple(spaced(spec.low, spec.high, steps).tolist())

    def _is_log(self, name: str) -> bool:
        spec = self._space.spec(name)
        return isinstance(spec, Range) and spec.log


def _numbers(point: Mapping[str, Param]) -> dict[str, float]:
    return {name: value for name, value in point.items() if not isinstance(value, str)}


def importances(trials: Sequence[FrozenTrial], values: Array, space: StudySpace) -> tuple[Importance, ...]:
    """Mean decrease of impurity in random forests over bootstrap resamples of the trials, most important first.

    It covers only numbers that act in every trial: one that is inert in some cannot be weighed against the others.
    It follows Optuna's evaluator of that name, which would first copy every trial of every resample.
    Axes: N trials, D axes of the unit cube, K searched numbers, R resamples.
    """
    names = [name for name in space.searched() if all(name in trial.params for trial in trials)]
    if len(names) < 2:
        return ()
    from sklearn.ensemble import RandomForestRegressor  # here: a small search has too few trials for it

    axes = [unit_axes([trial.params[name] for trial in trials], space.spec(name)) for name in names]
    point_ND = np.concatenate(axes, axis=1)
    owner_D = np.repeat(np.arange(len(names)), [one.shape[1] for one in axes])
    rng, rows = np.random.default_rng(0), []
    for seed in range(RESAMPLES):
        drawn = rng.integers(len(trials), size=len(trials))
        forest = RandomForestRegressor(TREES, random_state=seed).fit(point_ND[drawn], values[drawn])
        rows.append(np.bincount(owner_D, forest.feature_importances_, minlength=len(names)))
    share_RK = np.array(rows)
    low_K, high_K = np.quantile(share_RK, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    every = [
        Importance(name=name, share=float(share), low=float(low), high=float(high))
        for name, share, low, high in zip(names, share_RK.mean(axis=0), low_K, high_K, strict=True)
    ]
    return tuple(sorted(every, key=lambda one: -one.share))
