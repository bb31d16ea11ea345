"""A Gaussian process over the trials of a search: the surface that noisy objectives lie around.

It is apart from `surface`, which uses it, so that scipy is imported only if there are enough trials to fit it to.
"""

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from asd_ray.search.studies.surface import FEWEST, Array

JITTER = 1e-6


class Surface:
    """A Gaussian process fitted to noisy values (N,) at points (N, D) of the unit cube; N is at least FEWEST.

    The kernel is Matern 5/2 with a length per axis. Lengths, scale and noise variance maximise likelihood times
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
        """The share of the values' variance that the surface predicts, each value from all others; at least 0.

        The predictions are leave-one-out means (equation 5.12 there), with lengths and noise fitted to all values.
        """
        with _one_thread():
            inverse = cho_solve((self._factor, True), np.eye(len(self._weights)))
        missed = self._weights / np.diag(inverse)  # each value minus what the others say, in standard deviations
        return max(0.0, 1.0 - float(np.mean(missed**2)))

    def mean_and_sd(self, points: Array) -> tuple[Array, Array]:
        """The value without noise at points (M, D): posterior means (M,) and standard deviations (M,).

        Both are in the values' unit (equations 2.25 and 2.26 there).
        """
        with _one_thread():
            cross, _ = _matern(self._logs, _squares(points, self._points))  # (M, N)
            known = solve_triangular(self._factor, cross.T, lower=True)
            variance = np.exp(self._logs[-2]) - (known**2).sum(axis=0)
            means = self._mean + self._spread * (cross @ self._weights)
            return means, self._spread * np.sqrt(np.maximum(variance, 0.0))


def _one_thread() -> threadpool_limits:
    """Use one thread: sharing out matrices this small slows them down, tenfold on a busy machine."""
    return threadpool_limits(limits=1)


def _squares(some: Array, others: Array) -> Array:
    """Squared distances per axis, (M, N, D)."""
    return np.asarray((some[:, None, :] - others[None, :, :]) ** 2)


def _matern(logs: Array, squares: Array) -> tuple[Array, Array]:
    """The kernel (N, N), and its derivative with respect to the weighted squared distance.

    `logs`: of the axes' weights (1 / length^2), of the kernel's scale, and of the noise variance (not used here).
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
