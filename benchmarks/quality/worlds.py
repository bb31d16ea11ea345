"""Scripted objectives: six correlated response surfaces, learning curves, and the noise of a test set.

Everything is in AUC points (100 = perfect). A world stands for a corpus: per machine type an optimum, weights of
the four searched numbers, and how fast a configuration learns. True values are known, so a search can be judged.
"""

import math
from collections.abc import Mapping

import numpy as np

from asd_ray.search.space import Params, SearchSpace, StudySpace, load_space

TYPES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
AXES = ("margin", "scale", "mixup_alpha", "noise_prob")
EPOCHS = 27
REPORTS = (1, 3, 9, 27)  # the rungs of eta 3, and the end
BEST = 90.0  # of every machine type, at its optimum
STEEPNESS = 48.0  # points lost per unit of weighted squared distance; the weights of the four axes add up to 1
PUBLISHED: Params = {
    "margin": 0.7,
    "scale": 30.0,
    "mixup_alpha": 0.5,
    "noise_prob": 1.0,
    "mix_prob": 1.0,
}
KINDS = ("smooth", "edges", "rough", "inert", "early", "late", "cube")


def auc_deviation(points: float, *, normal: int = 100, anomalous: int = 100) -> float:
    """Standard deviation of an AUC in points, by Hanley and McNeil, Radiology 143 (1982), for exponential scores.

    >>> round(auc_deviation(85.0), 2)
    2.75
    """
    auc = points / 100
    both_anomalous = auc / (2 - auc)  # P(two anomalous clips rank above one normal clip)
    both_normal = 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (anomalous - 1) * (both_anomalous - auc**2) + (normal - 1) * (both_normal - auc**2)
    ) / (normal * anomalous)
    return 100 * math.sqrt(variance)


class World:
    """One drawn corpus.

    `corr` is the share of an optimum's position that all machine types have in common; `noise` multiplies the
    deviation of an AUC of 100 normal and 100 anomalous clips (0.5: the mean over four machine ids).

    smooth: a quadratic; its best points lie rather in the middle.
    edges: they lie anywhere, a sixth of their coordinates at the ends of the ranges.
    rough: with ripples of up to 3 points, four to an axis.
    inert: noise_prob does nothing where the margin is below 0.5 of its range, mixup_alpha nothing where noise_prob
    is above 0.7 of its.
    early: much is learnt in few epochs, so early values tell much.
    late: what is good learns slowly, so early values mislead.
    cube: the shipped space with parameters that exist only where they act.
    """

    def __init__(self, kind: str, *, seed: int, corr: float = 0.5, noise: float = 1.0) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}; known: {', '.join(KINDS)}")
        self.kind, self.seed, self.noise = kind, seed, noise
        rng = np.random.default_rng([seed, 1])
        common = rng.uniform(size=4)
        self.optimum = {name: 0.1 + 0.8 * (corr * common + (1 - corr) * rng.uniform(size=4)) for name in TYPES}
        self.weights = {name: rng.dirichlet(np.ones(4)) for name in TYPES}
        self.pace = {name: rng.normal(size=4) for name in TYPES}
        self.unmixed_loss = {name: rng.uniform(0, 6) for name in TYPES}
        if kind == "edges":
            for name in TYPES:
                mixed = np.where(rng.uniform(size=4) < corr, common, rng.uniform(size=4))
                self.optimum[name] = np.clip(1.2 * mixed - 0.1, 0.0, 1.0)
        if kind == "late":  # high margins are good, and slow
            for name in TYPES:
                self.optimum[name][0] = 0.6 + 0.3 * rng.uniform()
        self.space: SearchSpace = load_space("cube" if kind == "cube" else "noisy_arcmix")[0]
        self._ranges = self.space.of("")

    def unit(self, params: Mapping[str, float]) -> np.ndarray:
        """The point in the unit cube of AXES; what is absent lies in the middle."""
        return unit_point(params, self._ranges)

    def truth(self, machine_type: str, params: Mapping[str, float]) -> float:
        """The expected AUC after the last epoch."""
        point, best = self.unit(params), self.optimum[machine_type]
        weights = self.weights[machine_type].copy()
        lost = 0.0
        if self.kind == "cube":
            if params["mix_prob"] == 0.0:
                weights[2:] = 0.0
                lost = self.unmixed_loss[machine_type]
            elif params["margin"] == 0.0:
                weights[3] = 0.0
        elif self.kind == "inert":  # stands still at a distance of 0.25 from the best value
            point[3] = best[3] + 0.25 if point[0] < 0.5 else point[3]
            point[2] = best[2] + 0.25 if point[3] > 0.7 else point[2]
        away = point - best
        lost += STEEPNESS * float(weights @ away**2)
        if self.kind == "rough":
            lost += 1.5 * float(np.mean(1 - np.cos(2 * np.pi * 4 * away)))
        return max(BEST - lost, 50.0)

    def expected(self, machine_type: str, params: Mapping[str, float], epoch: int) -> float:
        """The expected AUC after an epoch: from 50 to the final one, at a pace that depends on the point."""
        point = self.unit(params)
        slow = 1 / (1 + math.exp(-float(self.pace[machine_type] @ (point - 0.5))))
        if self.kind == "late":
            slow = float(point[0])
        tau = 0.5 + slow if self.kind == "early" else 1.5 + 7.5 * slow  # epochs
        share = (1 - math.exp(-epoch / tau)) / (1 - math.exp(-EPOCHS / tau))
        return 50 + (self.truth(machine_type, params) - 50) * share

    def curves(self, params: Mapping[str, float], *, draw: int) -> dict[int, dict[str, float]]:
        """What one training reports at each epoch of REPORTS; the same `draw` gives the same noise.

        Half of the noise's variance (early: nine tenths) is the training's own, the rest is fresh at each report:
        the test clips stay the same, the weights move on.
        """
        lasting = 0.9 if self.kind == "early" else 0.5
        rng = np.random.default_rng([self.seed, 2, draw])
        own = rng.normal(size=len(TYPES))
        found: dict[int, dict[str, float]] = {}
        for epoch in REPORTS:
            z = math.sqrt(lasting) * own + math.sqrt(1 - lasting) * rng.normal(size=len(TYPES))
            found[epoch] = {}
            for index, name in enumerate(TYPES):
                value = self.expected(name, params, epoch)
                noisy = value + self.noise * auc_deviation(value) * z[index]
                found[epoch][name] = float(min(noisy, 100.0))
        return found

    def retrained(
        self, machine_type: str, params: Mapping[str, float], *, seeds: int, rng: np.random.Generator
    ) -> float:
        """The mean final value of fresh trainings."""
        value = self.truth(machine_type, params)
        return value + self.noise * auc_deviation(value) * float(rng.normal(size=seeds).mean())

    def best(self, machine_type: str) -> float:
        """The highest true value: that of the optimum, inside the ranges (cube: at the nearest step of margin)."""
        if self.kind != "cube":
            return BEST
        return max(self.truth(machine_type, point) for point in self._cube_corners(machine_type))

    def _cube_corners(self, machine_type: str) -> list[Params]:
        ranges = {"scale": (8.0, 64.0), "mixup_alpha": (0.1, 2.0)}
        u = self.optimum[machine_type]
        inner = {name: low * (high / low) ** u[AXES.index(name)] for name, (low, high) in ranges.items()}
        point = {**inner, "noise_prob": float(u[3])}
        return [
            {**point, "mix_prob": mixed, "margin": margin}
            for mixed in (0.0, 1.0)
            for margin in (0.0, round(float(u[0]) / 0.05) * 0.05)
        ]


def unit_point(params: Mapping[str, float], ranges: StudySpace) -> np.ndarray:
    """Where a point lies in the unit cube of AXES, log ranges by ratio; what is absent lies in the middle."""
    point = np.full(len(AXES), 0.5)
    for index, name in enumerate(AXES):
        if name in params:
            low, high = ranges.spec(name).limits()
            value = params[name]
            if getattr(ranges.spec(name), "log", False):
                low, high, value = math.log(low), math.log(high), math.log(value)
            point[index] = (value - low) / (high - low)
    return point
