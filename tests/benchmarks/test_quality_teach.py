"""What was tried for the Gaussian process does what it says, though it did not help."""

import random

import numpy as np
import optuna
import pytest
from optuna.samplers import GPSampler, RandomSampler
from optuna.trial import TrialState

from benchmarks.quality.teach import NoisyGPSampler, predicted, with_predictions
from tests.scripted import AXIS, trial

optuna.logging.set_verbosity(optuna.logging.WARNING)
COMPLETE, PRUNED, RUNNING = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING


def test_a_prediction_follows_the_lines_of_those_that_went_further_rung_by_rung() -> None:
    """From epoch 1 to 3 values double, from 3 to 9 they gain 10."""
    further = [trial(n, {1: n, 3: 2.0 * n, 9: 2.0 * n + 10}) for n in range(5)]
    stopped = [trial(5, {1: 7.0}, state=PRUNED), trial(6, {1: 1.0, 3: 20.0}, state=PRUNED)]
    found = predicted([*further, trial(7, {1: 3.0, 3: 6.0}, state=PRUNED), *stopped])
    assert found[7] == pytest.approx((16.0, 0.0), abs=3)
    exact = predicted([*further, stopped[0], trial(8, {1: 1.0, 3: 2.0}, state=PRUNED)])
    assert exact[5] == pytest.approx((24.0, 0.0), abs=1e-6)
    assert exact[8] == pytest.approx((12.0, 0.0), abs=1e-6)


def test_what_scatters_about_the_lines_becomes_the_predictions_deviation() -> None:
    """Two stages with residual variances 4 and 1 and slope 2 in the second one: 2**2 * 4 + 1 = 17."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=4000)
    second = first + 2 * rng.normal(size=4000)
    third = 2 * second + rng.normal(size=4000)
    curves = zip(first.tolist(), second.tolist(), third.tolist(), strict=True)
    trials = [trial(n, {1: a, 3: b, 9: c}) for n, (a, b, c) in enumerate(curves)]
    trials += [trial(4000, {1: 0.0}, state=PRUNED), trial(4001, {1: 0.0, 3: 0.0}, state=PRUNED)]
    found = predicted(trials)
    assert found[4000][1] == pytest.approx(17**0.5, rel=0.05)
    assert found[4001][1] == pytest.approx(1.0, rel=0.05)


def test_pruning_by_the_rungs_value_does_not_bias_the_predictions_though_survivors_are_better() -> None:
    rng = np.random.default_rng(1)
    early = rng.normal(size=9000)
    late = 0.5 * early + rng.normal(size=9000)
    goes_on = early > np.quantile(early, 2 / 3)
    trials = [
        trial(n, {1: float(early[n]), 3: float(late[n])})
        if goes_on[n]
        else trial(n, {1: float(early[n])}, state=PRUNED)
        for n in range(9000)
    ]
    errors = [mean - late[n] for n, (mean, _) in predicted(trials).items()]
    assert len(errors) == 6000
    assert abs(np.mean(errors)) < 0.15
    assert np.mean(late[goes_on]) - np.mean(late[~goes_on]) > 0.6  # the error of putting in the survivors' mean


def test_early_values_that_go_against_the_end_predict_its_mean_and_no_reversal() -> None:
    further = [trial(n, {1: float(n), 3: float(-n)}) for n in range(6)]
    found = predicted([*further, trial(6, {1: -5.0}, state=PRUNED), trial(7, {1: 9.0}, state=PRUNED)])
    assert found[6][0] == found[7][0] == pytest.approx(-2.5)


def test_without_enough_trials_that_went_further_there_is_no_prediction_and_the_trial_is_left_out() -> None:
    rng = np.random.default_rng(0)
    further = [trial(n, {1: float(n), 3: float(n)}) for n in range(4)]
    stopped = trial(9, {1: 1.0}, state=PRUNED)
    silent = optuna.create_trial(state=PRUNED, params={"x": 0.5}, distributions=AXIS)
    assert predicted([*further, stopped]) == {}
    assert with_predictions([*further, stopped, silent], rng=rng) == further
    assert predicted([stopped]) == predicted([]) == {}


def test_taught_trials_are_complete_and_the_studys_own_stay_as_they_were() -> None:
    further = [trial(n, {1: float(n), 3: n + float(n % 2)}) for n in range(8)]
    stopped, runs = trial(8, {1: 3.0}, state=PRUNED, x=0.25), trial(9, {1: 1.0}, state=RUNNING)
    *same, twin, last = with_predictions([*further, stopped, runs], rng=np.random.default_rng(0))
    assert same == further
    assert last is runs
    assert (twin.state, twin.params, twin.number) == (COMPLETE, {"x": 0.25}, 8)
    assert twin.value == pytest.approx(3.5, abs=3)
    assert (stopped.state, stopped.value) == (PRUNED, None)


def test_draws_spread_as_the_prediction_says() -> None:
    rng = np.random.default_rng(0)
    trials = [trial(n, {1: 0.0, 3: float(n % 2)}) for n in range(20)] + [trial(20, {1: 0.0}, state=PRUNED)]
    mean, deviation = predicted(trials)[20]
    drawn = [with_predictions(trials, rng=rng)[-1].value for _ in range(400)]
    assert np.mean(drawn) == pytest.approx(mean, abs=0.1)
    assert np.std(drawn) == pytest.approx(deviation, rel=0.1)


def noise_share(sampler: GPSampler) -> float:
    """What part of the values' variance a Gaussian process takes for noise, of 24 trials that are half noise."""
    rng = random.Random(0)
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=1))
    for _ in range(24):
        trial = study.ask()
        x, _ = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        study.tell(trial, -((x - 0.5) ** 2) * 3.4 + rng.gauss(0, 0.25))
    study.sampler = sampler
    last = study.ask()
    last.suggest_float("x", 0, 1)
    assert sampler._gprs_cache_list is not None
    return float(sampler._gprs_cache_list[0].noise_var)


def test_the_gaussian_process_expects_noise_where_optunas_takes_it_for_shape() -> None:
    assert noise_share(GPSampler(seed=0, n_startup_trials=4)) < 0.2
    assert 0.25 < noise_share(NoisyGPSampler(seed=0, startup=4)) < 0.8
