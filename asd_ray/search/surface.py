"""The objective as a smooth surface: what each trial's value was before noise, as far as its neighbours tell.

The best of many noisy values is mostly a lucky one. A Gaussian process over the trials, its noise fitted along,
gives each of them a posterior mean, and where many are complete, the best of those is a better choice.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from asd_ray.config import Param
from asd_ray.search.choice import may_win, worth
from asd_ray.search.ranges import Choices, Names, Searched
from asd_ray.search.space import StudySpace

Array = NDArray[np.float64]
MOST = 500  # trials that a surface is fitted to: it costs their cube
FEWEST = 8  # trials; below, five or more numbers of a surface cannot be told
JITTER = 1e-6


class Surface:
    """A Gaussian process fitted to noisy values (N,) at points (N, D) of the unit cube, FEWEST of them at least.

    Matern 5/2 kernel with a length per axis; lengths, scale and noise variance at the maximum of likelihood times
    weak log-normal priors (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 5.4.1).
    """

    def __init__(self, points: Array, values: Array) -> None:
        assert len(values) >= FEWEST
        self._points, self._mean = points, float(values.mean())
        self._spread = float(values.std()) or 1.0
        centred = (values - self._mean) / self._spread
        with _one_thread():
            squares = _squares(points, points)
            start = np.concatenate([np.full(points.shape[1], np.log(2.0)), [0.0, np.log(0.3)]])
            bounds = [(-9.0, 9.0)] * len(start)  # far beyond the priors: keeps exp() finite on the way
            found = minimize(
                _loss, start, args=(squares, centred, start), jac=True, method="L-BFGS-B", bounds=bounds
            )
            self._logs: Array = found.x
            kernel, _ = _matern(self._logs, squares)
            noisy = kernel + (np.exp(self._logs[-1]) + JITTER) * np.eye(len(values))
            self._factor = cholesky(noisy, lower=True)
            self._weights = cho_solve((self._factor, True), centred)

    @property
    def explained(self) -> float:
        """The share of the values' variance that the surface foretells of one value from all others; at least 0.

        Leave-one-out means (equation 5.12 there), with the lengths and the noise fitted to all.
        """
        with _one_thread():
            inverse = cho_solve((self._factor, True), np.eye(len(self._weights)))
        missed = self._weights / np.diag(inverse)  # each value minus what the others say, in standard deviations
        return max(0.0, 1.0 - float(np.mean(missed**2)))

    def mean_and_sd(self, points: Array) -> tuple[Array, Array]:
        """What the value without noise is at points (M, D): posterior means (M,) and standard deviations (M,).

        Both in the values' unit (equations 2.25 and 2.26 there).
        """
        with _one_thread():
            cross, _ = _matern(self._logs, _squares(points, self._points))  # (M, N)
            known = solve_triangular(self._factor, cross.T, lower=True)
            variance = np.exp(self._logs[-2]) - (known**2).sum(axis=0)
            means = self._mean + self._spread * (cross @ self._weights)
            return means, self._spread * np.sqrt(np.maximum(variance, 0.0))


def smoothed(points: Array, values: Array) -> Array:
    """Posterior means (N,) of noisy values (N,) at points (N, D) of the unit cube, in the values' unit.

    The values themselves where there are too few to fit a surface to.
    """
    if len(values) < FEWEST or np.ptp(values) == 0.0:
        return values.copy()
    return Surface(points, values).mean_and_sd(points)[0]


def _one_thread() -> threadpool_limits:
    """Matrices this small lose by being shared out, tenfold on a busy machine."""
    return threadpool_limits(limits=1)


def _squares(some: Array, others: Array) -> Array:
    """Squared distances per axis, (M, N, D)."""
    return np.asarray((some[:, None, :] - others[None, :, :]) ** 2)


def ranked(trials: Sequence[FrozenTrial], space: StudySpace) -> list[FrozenTrial]:
    """The trials that may win, best smoothed value first: whom to confirm, or to choose without confirmation.

    Measured with the noise of 100 normal and 100 anomalous clips (docs/LOG.md): of 48 complete trials the first is
    0.4 to 0.5 AUC points better than the best observed one, of 144 0.6; with three of them confirmed, 0.1 to 0.25,
    and 0.3. Pruning, the default, leaves a third of the trials to smooth: the first is then 0.1 better on average,
    in some worlds not at all, and with three of them confirmed nothing is gained.
    """
    able = fitted(trials)
    values = np.array([worth(trial) for trial in able])
    if len(able) and len(able[0].values) == 1:  # of several objectives the choice lies in the Pareto set observed
        values = smoothed(unit_points(able, space), values)
    return [able[index] for index in np.argsort(-values, kind="stable")]


def fitted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that may win, best first: what a surface is fitted to. Of very many, the better half of MOST and a
    sample of all others: what is bad shapes the surface too."""
    able = sorted(filter(may_win, trials), key=lambda trial: (-worth(trial), trial.number))
    if len(able) <= MOST:
        return able
    best, rest = able[: MOST // 2], able[MOST // 2 :]
    return [*best, *rest[:: -(-len(rest) // (MOST // 2))]]


def unit_points(trials: Sequence[FrozenTrial], space: StudySpace) -> Array:
    """The trials' points (N, D) in the unit cube: see `to_unit_cube`."""
    return to_unit_cube([trial.params for trial in trials], space)


def to_unit_cube(points: Sequence[Mapping[str, Param]], space: StudySpace) -> Array:
    """Points (N, D) in the unit cube, one axis per searched number and one more per choice.

    A number that is inert, and so not given, lies in the middle of its axis.
    """
    axes = [unit_axes([point.get(name) for point in points], space.spec(name)) for name in space.searched()]
    return np.concatenate([np.empty((len(points), 0)), *axes], axis=1)


def unit_axes(values: Sequence[Param | None], spec: Searched) -> Array:
    """The axes (N, D) of one searched number."""
    if isinstance(spec, Choices | Names):
        rows = [[float(value == choice) for choice in spec.choices] for value in values]
        return np.array(rows, dtype=np.float64).reshape(len(values), len(spec.choices))
    return np.array([[0.5 if value is None else spec.place(float(value))] for value in values]).reshape(-1, 1)


def _matern(logs: Array, squares: Array) -> tuple[Array, Array]:
    """The kernel (N, N), and its derivative by the weighted squared distance.

    logs: of the axes' weights (1 / length^2), of the kernel's scale, and of the noise variance, which is not used.
    """
    root = np.sqrt(5.0 * (squares @ np.exp(logs[:-2])))
    decay = np.exp(logs[-2] - root)
    return decay * (1 + root + root**2 / 3), -5 / 6 * decay * (1 + root)


def _loss(logs: Array, squares: Array, values: Array, centre: Array) -> tuple[float, Array]:
    """The negative log posterior and its gradient (equations 5.8 and 5.9 there)."""
    kernel, slope = _matern(logs, squares)
    noise = np.exp(logs[-1])
    identity = np.eye(len(values))
    factor = cholesky(kernel + (noise + JITTER) * identity, lower=True)
    inverse = cho_solve((factor, True), identity)
    alpha = inverse @ values
    widths = np.concatenate([np.full(len(logs) - 2, 2.0), [1.0, 1.0]])  # standard deviations of the priors
    away = (logs - centre) / widths
    loss = 0.5 * values @ alpha + np.log(np.diag(factor)).sum() + 0.5 * away @ away
    matrix = 0.5 * (inverse - np.outer(alpha, alpha))
    by_axis = np.einsum("ij,ijd->d", matrix * slope, squares) * np.exp(logs[:-2])
    gradient = np.concatenate([by_axis, [(matrix * kernel).sum(), noise * np.trace(matrix)]])
    return float(loss), gradient + away / widths
