"""Choosing without labels: stand-ins, agreement, and what a proxy is worth."""

import math

import numpy as np
import pytest
from scipy import stats

from asd_ray.scoring.proxy import agreement, rank_correlation, stand_ins


def test_every_clip_stands_in_for_an_anomaly_of_every_other_id():
    class_N = np.array([2, 5, 5, 9])
    position, heard_as = stand_ins(class_N)
    pairs = set(zip(position.tolist(), heard_as.tolist(), strict=True))
    assert pairs == {(n, c) for n in range(4) for c in (2, 5, 9) if c != class_N[n]}
    assert len(position) == len(pairs)


@pytest.mark.parametrize("class_N", [[], [3, 3, 3]])
def test_one_id_alone_has_no_stand_ins(class_N):
    position, heard_as = stand_ins(np.array(class_N, dtype=np.int64))
    assert len(position) == len(heard_as) == 0


def test_a_correlation_is_spearmans_with_the_interval_of_bonett_and_wright():
    rng = np.random.default_rng(0)
    one = rng.standard_normal(30)
    other = one + rng.standard_normal(30)
    found = rank_correlation(one, np.exp(other))  # only the order counts
    r = stats.spearmanr(one, other).statistic
    assert found.value == pytest.approx(r)
    reach = 1.959964 * math.sqrt((1 + r * r / 2) / 27)
    assert found.low == pytest.approx(math.tanh(math.atanh(r) - reach), rel=1e-5)
    assert found.high == pytest.approx(math.tanh(math.atanh(r) + reach), rel=1e-5)


def test_the_interval_holds_the_true_correlation_as_often_as_it_says():
    rng, held, rho = np.random.default_rng(1), 0, 0.6
    true = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a bivariate normal distribution
    for _ in range(400):
        one = rng.standard_normal(20)
        other = rho * one + math.sqrt(1 - rho**2) * rng.standard_normal(20)
        found = rank_correlation(one, other)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize(("one", "other"), [([1, 2, 3], [1, 2, 3]), ([1, 2, 3, 4], [5, 5, 5, 5])])
def test_too_few_trials_or_a_value_that_never_changes_give_no_correlation(one, other):
    assert rank_correlation(one, other)[:3] == (None, None, None)


def test_seeds_that_order_the_clips_alike_agree():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(50)
    noise = rng.standard_normal((3, 50))
    close, far = agreement(truth + 0.1 * noise), agreement(truth + 3 * noise)
    assert close is not None
    assert far is not None
    assert close > 0.95 > far
    assert agreement(np.exp(9 * (truth + 0.1 * noise))) == pytest.approx(close)
    assert agreement(truth[None]) is None
    assert agreement(np.zeros((2, 5))) is None
