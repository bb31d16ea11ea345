#!/usr/bin/env python
"""Do the intervals hold? Confirmations of configs whose true AUCs are known, many times over, without training.

    python benchmarks/intervals.py                          # about a minute: a rough table
    python benchmarks/intervals.py --simulations 500        # the table in docs/LOG.md
    python benchmarks/intervals.py --rule "drawn anew"      # the seeds as the bootstrap has them

Each simulation draws the clips that choose and those that report, and for every config and seed a network with a
true AUC of its own (beta distributed, so never above 1); lets the best mean on the choosing clips win; and asks
whether the winner is called better than the starting configuration, and whether the intervals hold what is true.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported; small matrices gain nothing from more

import numpy as np
from scipy import stats

from asd_ray.scoring import intervals
from asd_ray.scoring.intervals import estimate
from asd_ray.scoring.roc import Floats, roc_areas

CLIPS = 100  # of either kind, among those that choose and among those that report
RESAMPLES = 200
COMMON, OWN = 0.8, 0.6  # standard deviations of a clip's score: what all networks share, and what each adds
LABELS = np.repeat([False, True], CLIPS)
IDS = np.repeat("id_00", 2 * CLIPS)


@dataclass(frozen=True, slots=True)
class Case:
    """Configs by their true AUC and its standard deviation over seeds; the starting one comes first."""

    seeds: int
    sds: tuple[float, ...]
    means: tuple[float, ...]

    @classmethod
    def alike(cls, seeds: int, sd: float, *, candidates: int = 3, gain: float = 0.0) -> "Case":
        """Equal configs but for the last, which is better by `gain`."""
        return cls(seeds, (sd,) * (candidates + 1), (*(0.8,) * candidates, 0.8 + gain))

    def __str__(self) -> str:
        spread = "/".join(f"{sd:g}" for sd in dict.fromkeys(self.sds))
        gain = self.means[-1] - self.means[0]
        return f"{self.seeds} | {len(self.means) - 1} | {spread} | {gain:+.2f}"


CASES = (
    *(Case.alike(seeds, sd) for seeds in (2, 3, 5, 10) for sd in (0.02, 0.05, 0.1, 0.15)),
    *(Case.alike(5, 0.05, candidates=count) for count in (1, 8)),
    *(Case(5, sds, (0.8,) * 4) for sds in ((0.02, 0.02, 0.02, 0.15), (0.15, 0.02, 0.02, 0.02))),
    *(Case.alike(seeds, sd, gain=gain) for seeds in (2, 3, 5, 10) for sd in (0.02, 0.05) for gain in (0.05, 0.1)),
)


@dataclass(frozen=True, slots=True)
class Shares:
    """Of the simulations of a case."""

    better: float  # the winner is called better than the starting configuration
    difference_held: float  # of those whose winner is another one
    mean_held: float
    width: float  # mean, of the interval of the difference


def simulate(case: Case, simulations: int, *, seed: int = 0) -> Shares:
    rng = np.random.default_rng(seed)
    means, differences = [], []  # held; called better, held, width
    for _ in range(simulations):
        chosen_CS, score_CSB = draw(case, rng)
        winner = int(chosen_CS.mean(axis=1).argmax())
        low, high = interval(score_CSB[winner], list(score_CSB))
        means.append(low <= case.means[winner] <= high)
        if winner:
            low, high = interval(score_CSB[winner], list(score_CSB), minus_SB=score_CSB[0])
            held = low <= case.means[winner] - case.means[0] <= high
            differences.append((low > 0, held, high - low))
    better, held, width = np.array(differences, dtype=np.float64).reshape(-1, 3).T
    return Shares(
        better=better.sum() / simulations,
        difference_held=float(held.mean()),
        mean_held=float(np.mean(means)),
        width=float(width.mean()),
    )


def draw(case: Case, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """AUCs on the choosing clips, chosen_CS, and scores of the reporting clips, score_CSB."""
    clip_2B = COMMON * rng.normal(size=(2, len(LABELS)))
    chosen, scores = [], []
    for mean, sd in zip(case.means, case.sds, strict=True):
        weight = mean * (1 - mean) / sd**2 - 1
        auc_S = np.clip(rng.beta(mean * weight, (1 - mean) * weight, size=case.seeds), 1e-6, 1 - 1e-6)
        # Two normal distributions of variance 1 that lie so far apart have this AUC.
        apart_S1 = np.sqrt(2) * stats.norm.ppf(auc_S)[:, None]
        choosing_SB, reporting_SB = (
            clip_B + apart_S1 * LABELS + OWN * rng.normal(size=(case.seeds, len(LABELS))) for clip_B in clip_2B
        )
        chosen.append([auc(score_B) for score_B in choosing_SB])
        scores.append(reporting_SB)
    return np.array(chosen), np.array(scores)


def auc(score_B: Floats) -> float:
    once = np.ones((1, CLIPS))
    return float(roc_areas(once, once, score_B[~LABELS], score_B[LABELS])[0][0])


def interval(
    score_SB: Floats, contenders: Sequence[Floats], *, minus_SB: Floats | None = None
) -> tuple[float, float]:
    found = estimate(
        IDS, LABELS, score_SB, minus_SB=minus_SB, contenders=contenders, objective="auc", resamples=RESAMPLES
    )
    assert found is not None
    assert found.interval is not None
    return found.interval


Margins = Callable[..., tuple[float, float]]


def own_spread(value_S: Floats, contender_CS: Floats, *, paired: bool, confidence: float) -> tuple[float, float]:
    """As if nothing had been chosen."""
    return intervals.seed_margins(value_S, contender_CS[:0], paired=paired, confidence=confidence)


def drawn_anew(value_S: Floats, contender_CS: Floats, *, paired: bool, confidence: float) -> tuple[float, float]:
    """What a bootstrap over seeds comes to: their variance without the correction for having few."""
    margin = stats.norm.ppf((1 + confidence) / 2) * value_S.std() / np.sqrt(len(value_S))
    return margin, margin


RULES: dict[str, Margins] = {
    "shipped": intervals.seed_margins,
    "own spread": own_spread,
    "drawn anew": drawn_anew,
}


@contextmanager
def rule(name: str) -> Iterator[None]:
    """Let `estimate` take margins from another rule for a while."""
    shipped = intervals.seed_margins
    intervals.seed_margins = RULES[name]
    try:
        yield
    finally:
        intervals.seed_margins = shipped


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=40, help="of each case (default 40)")
    parser.add_argument("--rule", choices=RULES, default="shipped", help="how far a mean over seeds may be off")
    options = parser.parse_args(arguments)
    print("| seeds | candidates | sd over seeds | gain | better | difference held | mean held | width |")
    print("|---|---|---|---|---|---|---|---|")
    with rule(options.rule):
        for case in CASES:
            found = simulate(case, options.simulations)
            shares = (found.better, found.difference_held, found.mean_held)
            cells = [str(case), *(f"{share:.3f}" for share in shares), f"{found.width:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
