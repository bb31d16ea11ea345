"""Scores and thresholds."""

import math

import numpy as np
import pytest

from asd_ray.command import InputError
from asd_ray.scoring.anomaly import SCORES, MarginCrossEntropy, fit_threshold, make_score

RNG = np.random.default_rng(0)


def test_the_score_is_the_cross_entropy_of_the_own_class():
    logits_BC = np.log(np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]))
    score_B = MarginCrossEntropy().score(np.zeros((2, 4)), logits_BC, np.array([0, 2]))
    np.testing.assert_allclose(score_B, [-math.log(0.7), -math.log(0.1)])


def test_a_clip_that_looks_less_like_its_class_scores_higher():
    logits_BC = np.array([[9.0, 0.0], [5.0, 0.0], [-5.0, 0.0]])
    score_B = MarginCrossEntropy().score(np.zeros((3, 4)), logits_BC, np.zeros(3, dtype=int))
    assert (np.diff(score_B) > 0).all()


def test_huge_logits_overflow_nothing_and_small_scores_keep_their_order():
    logits_BC = np.array([[1e4, 0.0], [20.0, 0.0], [19.0, 0.0], [0.0, 1e4]], dtype=np.float32)
    score_B = MarginCrossEntropy().score(np.zeros((4, 4)), logits_BC, np.zeros(4, dtype=int))
    np.testing.assert_allclose(score_B, [0.0, math.exp(-20), math.exp(-19), 1e4], rtol=1e-4)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_every_score_of_the_table_gives_one_finite_number_per_clip(name):
    score = make_score(name)
    score.fit(RNG.normal(size=(20, 8)), RNG.integers(3, size=20))
    score_B = score.score(RNG.normal(size=(5, 8)), RNG.normal(size=(5, 3)), RNG.integers(3, size=5))
    assert score_B.shape == (5,)
    assert np.isfinite(score_B).all()


def test_an_unknown_score_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean margin_cross_entropy"):
        make_score("margin_crossentropy")


def test_the_threshold_is_the_quantile_of_the_gamma_distribution_that_made_the_scores():
    threshold = fit_threshold(RNG.gamma(2.0, 3.0, size=20_000))
    assert threshold.value == pytest.approx(11.669, rel=0.02)  # gamma(2, 3) exceeds it with probability 0.1
    assert (threshold.method, threshold.num_clips, threshold.quantile) == ("gamma", 20_000, 0.9)


def test_a_few_scores_of_zero_do_not_break_the_fit():
    scores = RNG.gamma(2.0, 3.0, size=1000)
    plain = fit_threshold(scores)
    scores[np.argsort(scores)[:3]] = 0.0
    with_zeros = fit_threshold(scores)
    assert with_zeros.method == "gamma"
    assert with_zeros.value == pytest.approx(plain.value, rel=0.02)


@pytest.mark.parametrize(
    "scores",
    [
        [3.0],
        [1.0, 2.0],
        [0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 2.0, 2.0],
        [-1.0, 0.5, 1.0, 2.0],
        [1.0, 1.0 + 2e-16, 1.0 + 5e-16, 1.0 + 9e-16],
        [1.0, 1.0 + 1e-9, 1.0 + 2e-9, 1.0 - 1e-9],
        np.exp(6 * np.random.default_rng(1).standard_normal(1000)),
    ],
)
def test_where_no_gamma_fits_the_empirical_quantile_stands_in_and_says_so(scores):
    threshold = fit_threshold(scores)
    assert threshold.method == "empirical"
    assert threshold.value == pytest.approx(np.quantile(scores, 0.9), rel=1e-12)


def test_a_higher_quantile_means_a_higher_threshold():
    scores = RNG.gamma(2.0, 3.0, size=500)
    values = [fit_threshold(scores, quantile=quantile).value for quantile in (0.5, 0.9, 0.99)]
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("scores", "quantile", "complaint"),
    [
        ([], 0.9, "no scores"),
        ([1.0, math.nan, math.inf], 0.9, "2 of 3 normal scores are not finite"),
        ([1.0, 2.0, 3.0], 1.0, "quantile 1.0"),
        ([1.0, 2.0, 3.0], 0.0, "quantile 0.0"),
    ],
)
def test_scores_that_no_threshold_can_come_from_are_refused(scores, quantile, complaint):
    with pytest.raises(InputError, match=complaint):
        fit_threshold(scores, quantile=quantile)
