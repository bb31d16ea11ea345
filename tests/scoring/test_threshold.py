"""The threshold of a score."""

import math

import numpy as np
import pytest

from asd_ray.errors import InputError
from asd_ray.scoring.threshold import fit_threshold

RNG = np.random.default_rng(0)


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
