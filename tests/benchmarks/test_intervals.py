"""Intervals of confirmed winners, in simulations whose truth is known."""

import math

import numpy as np
import pytest

from asd_ray.scoring import intervals
from benchmarks.intervals import CASES, LABELS, Case, auc, draw, rule, simulate

ALIKE = Case.alike(5, 0.1)
SIMULATIONS = 120


def test_of_equal_configs_hardly_any_winner_is_called_better_and_the_intervals_hold_the_truth() -> None:
    """With the seeds drawn anew by a bootstrap, one winner in seven was."""
    found = simulate(ALIKE, SIMULATIONS)
    assert found.better <= 0.04
    assert found.difference_held >= 0.93
    assert found.mean_held >= 0.93


def test_the_rule_before_called_many_of_them_better_and_the_simulation_sees_it() -> None:
    with rule("drawn anew"):
        found = simulate(ALIKE, SIMULATIONS)
    assert found.better > 0.08
    assert found.difference_held < 0.88
    assert found.mean_held < 0.9
    assert intervals.seed_margins.__module__ == "asd_ray.scoring.seeds"  # put back


def test_a_config_that_is_ten_points_better_is_found_where_seeds_scatter_little() -> None:
    found = simulate(Case.alike(5, 0.02, gain=0.1), 40)
    assert found.better > 0.85


def test_networks_have_the_auc_and_the_spread_that_a_case_says() -> None:
    rng = np.random.default_rng(0)
    case = Case(40, (0.02, 0.1), (0.8, 0.7))
    chosen = np.concatenate([draw(case, rng)[0] for _ in range(40)], axis=1)
    assert chosen.mean(axis=1) == pytest.approx([0.8, 0.7], abs=0.01)
    # On top of a network's own spread: that of 100 clips of either kind, about three points.
    assert chosen.std(axis=1) == pytest.approx([math.hypot(0.02, 0.03), math.hypot(0.1, 0.035)], abs=0.008)
    assert auc(LABELS.astype(float)) == 1.0


def test_the_cases_are_those_that_the_docstrings_speak_of() -> None:
    alike = [case for case in CASES if len(set(case.sds)) == len(set(case.means)) == 1 and len(case.sds) == 4]
    assert {(case.seeds, case.sds[0]) for case in alike} == {
        (seeds, sd) for seeds in (2, 3, 5, 10) for sd in (0.02, 0.05, 0.1, 0.15)
    }
