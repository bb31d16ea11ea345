"""Smoothed values are nearer to the truth than observed ones, and the arithmetic behind them is right."""

import math

import numpy as np
import optuna
import pytest
from scipy.optimize import check_grad

from asd_ray.search.space import SearchSpace
from asd_ray.search.studies.gaussian import Surface, _loss
from asd_ray.search.studies.surface import ranked, smoothed, unit_points
from asd_ray.search.studies.trial_store import TAUGHT

SPACE = SearchSpace.model_validate(
    {
        "question": "?",
        "params": {
            "mix_prob": {"choices": [0.0, 1.0]},
            "margin": {"low": 0.0, "high": 0.5},
            "scale": {"low": 4.0, "high": 64.0, "log": True},
            "mixup_alpha": {"low": 0.1, "high": 2.0, "when": {"mix_prob": {"above": 0.0}}},
        },
    }
).of("fan")


def noisy_hill(size: int, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 3), true values with their best in the middle, and what is observed of them."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(size=(size, 3))
    truth = 80 - 25 * ((points - 0.5) ** 2 @ np.array([1.0, 0.5, 0.1]))
    return points, truth, truth + 2.0 * rng.normal(size=size)


@pytest.mark.parametrize("size", [30, 100])
def test_smoothed_values_are_much_nearer_to_the_truth_than_observed_ones(size: int) -> None:
    ratios = []
    for seed in range(5):
        points, truth, observed = noisy_hill(size, seed=seed)
        off = smoothed(points, observed) - truth
        ratios.append(math.sqrt(np.mean(off**2) / np.mean((observed - truth) ** 2)))
    assert np.mean(ratios) < (0.75 if size == 30 else 0.5)


def test_the_best_smoothed_trial_is_better_than_the_best_observed_one() -> None:
    gains = []
    for seed in range(20):
        points, truth, observed = noisy_hill(120, seed=seed)
        gains.append(truth[smoothed(points, observed).argmax()] - truth[observed.argmax()])
    assert np.mean(gains) > 0.3


def test_where_no_trial_lies_the_surface_is_near_the_truth_and_knows_how_far_off_it_may_be() -> None:
    inside = []
    for seed in range(10):
        points, _, observed = noisy_hill(60, seed=seed)
        elsewhere, truth, _ = noisy_hill(200, seed=100 + seed)
        mean, sd = Surface(points, observed).mean_and_sd(elsewhere)
        assert np.sqrt(np.mean((mean - truth) ** 2)) < 2.0
        inside.append(np.mean(np.abs(mean - truth) < 1.96 * sd))
    assert 0.85 < np.mean(inside) <= 1.0
    far, near = (Surface(points, observed).mean_and_sd(np.full((1, 3), at))[1][0] for at in (3.0, 0.5))
    assert far > 1.5 * near


def test_what_a_surface_explains_is_the_share_that_is_no_noise() -> None:
    points, truth, observed = noisy_hill(200, seed=0)
    rng = np.random.default_rng(0)
    assert Surface(points, truth).explained > 0.98
    assert Surface(points, observed).explained == pytest.approx(truth.var() / observed.var(), abs=0.08)
    assert Surface(points, rng.normal(size=200)).explained < 0.05


def test_values_without_noise_stay_what_they_are() -> None:
    points, truth, _ = noisy_hill(60, seed=0)
    assert np.abs(smoothed(points, truth) - truth).max() < 0.3


def test_other_units_smooth_alike() -> None:
    points, _, observed = noisy_hill(25, seed=0)
    assert smoothed(points, 100 + 3 * observed) == pytest.approx(100 + 3 * smoothed(points, observed), rel=1e-6)


@pytest.mark.parametrize("values", [[], [0.7], [0.1, 0.9, 0.5], [0.5] * 20])
def test_few_values_or_equal_ones_are_left_alone(values: list[float]) -> None:
    points = np.random.default_rng(0).uniform(size=(len(values), 3))
    assert smoothed(points, np.array(values)).tolist() == values


def test_the_same_point_many_times_gets_one_value() -> None:
    points, _, observed = noisy_hill(12, seed=0)
    points[:6] = points[0]
    assert np.ptp(smoothed(points, observed)[:6]) < 1e-6


def test_the_gradient_is_that_of_the_loss() -> None:
    points, _, observed = noisy_hill(15, seed=0)
    squares = (points[:, None] - points[None]) ** 2
    values = (observed - observed.mean()) / observed.std()
    for seed in range(3):
        logs = np.random.default_rng(seed).normal(size=5)
        off = check_grad(
            lambda x: _loss(x, squares, values, np.zeros(5))[0],
            lambda x: _loss(x, squares, values, np.zeros(5))[1],
            logs,
        )
        assert off < 1e-3


def test_points_lie_in_the_unit_cube_by_ratio_where_the_range_is_logarithmic_and_in_the_middle_where_inert() -> (
    None
):
    trials = [
        optuna.trial.create_trial(value=0.0, params=params, distributions=SPACE.distributions(params))
        for params in (
            {"mix_prob": 0.0, "margin": 0.5, "scale": 16.0},
            {"mix_prob": 1.0, "margin": 0.0, "scale": 64.0, "mixup_alpha": 2.0},
        )
    ]
    assert unit_points(trials, SPACE).tolist() == [
        [1.0, 0.0, 1.0, pytest.approx(0.5), 0.5],
        [0.0, 1.0, 0.0, pytest.approx(1.0), 1.0],
    ]
    assert unit_points([], SPACE).shape == (0, 5)


def test_a_lucky_trial_among_poor_neighbours_ranks_below_a_good_one_among_good_neighbours() -> None:
    rng = np.random.default_rng(0)
    trials = []
    for number in range(40):
        margin = 0.5 * number / 39
        value = 90 - 40 * (margin - 0.4) ** 2 + 0.3 * float(rng.normal()) + (8.0 if number == 4 else 0.0)
        params = {"mix_prob": 0.0, "margin": margin, "scale": 16.0}
        made = optuna.create_trial(value=value, params=params, distributions=SPACE.distributions(params))
        made.number = number
        trials.append(made)
    assert max(trials, key=lambda trial: trial.value or 0.0).number == 4
    assert ranked(trials, SPACE)[0].params["margin"] > 0.25


def test_only_trials_that_may_win_are_ranked_all_of_them_and_few_by_what_was_observed() -> None:
    def trial(value: float | None, **attributes: str) -> optuna.trial.FrozenTrial:
        params = {"mix_prob": 0.0, "margin": 0.1, "scale": 16.0}
        state = optuna.trial.TrialState.PRUNED if value is None else optuna.trial.TrialState.COMPLETE
        return optuna.create_trial(
            state=state,
            value=value,
            params=params,
            distributions=SPACE.distributions(params),
            user_attrs=attributes,
        )

    trials = [trial(1.0), trial(3.0), trial(None), trial(9.0, **{TAUGHT: "elsewhere"}), trial(2.0)]
    assert [found.value for found in ranked(trials, SPACE)] == [3.0, 2.0, 1.0]
    assert ranked([], SPACE) == []
