"""How far a mean over seeds may be off: by hand, and never less than the config's own spread says."""

import numpy as np
import pytest
from scipy import stats

from asd_ray.scoring.roc import Floats
from asd_ray.scoring.seeds import seed_margins

NONE = np.empty((0, 2))


def t(probability: float, freedom: int) -> float:
    return float(stats.t.ppf(probability, freedom))


def test_alone_a_config_has_student_s_interval() -> None:
    # Mean 4, variance ((2 - 4)^2 + 0 + (6 - 4)^2) / 2 = 4; t for 2 degrees of freedom is 4.3027.
    margins = seed_margins(np.array([2.0, 4.0, 6.0]), NONE, paired=False, confidence=0.95)
    assert margins == pytest.approx((4.3027 * 2 / 3**0.5,) * 2, abs=1e-4)


def test_a_single_seed_says_nothing_of_others() -> None:
    assert seed_margins(np.array([0.8]), np.array([[0.8], [0.7]]), paired=True, confidence=0.95) == (0.0, 0.0)


def test_a_difference_pools_what_configs_and_seeds_do_not_explain() -> None:
    """Residuals of the two-way layout: 1/3, 2/3, 1/3 and their negatives; squares add up to 4/3, 2 are free."""
    start, winner, other = [0.0, 0.0], [1.0, 1.0], [2.0, 4.0]
    contenders = np.array([start, winner, other])
    below, above = seed_margins(np.subtract(winner, start), contenders, paired=True, confidence=0.95)
    sd = (2 * (4 / 3) / 2) ** 0.5
    assert below == pytest.approx(t(1 - 0.025 / 2, 2) * sd / 2**0.5)  # two were compared with the start
    assert above == pytest.approx(t(0.975, 2) * sd / 2**0.5)


def test_a_mean_pools_the_variances_of_the_configs() -> None:
    """Sums of squares within the configs 0, 0 and 2, with 3 (2 - 1) = 3 free."""
    contenders = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 4.0]])
    below, above = seed_margins(contenders[1], contenders, paired=False, confidence=0.95)
    assert below == pytest.approx(t(1 - 0.025 / 3, 3) * (2 / 3) ** 0.5 / 2**0.5)
    assert above == pytest.approx(t(0.975, 3) * (2 / 3) ** 0.5 / 2**0.5)


def test_seeds_that_are_good_or_bad_for_all_configs_do_not_widen_a_difference() -> None:
    noise = np.random.default_rng(0).normal(size=(4, 5))
    together = noise + np.array([0.0, 10.0, -20.0, 5.0, 30.0])
    one, other = (
        seed_margins(rows[1] - rows[0], rows, paired=True, confidence=0.95) for rows in (noise, together)
    )
    assert one == pytest.approx(other)


@pytest.mark.parametrize("paired", [True, False])
def test_a_margin_is_never_narrower_than_alone_nor_wider_upwards_than_downwards(paired: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        rows: Floats = rng.normal(size=(6, int(rng.integers(2, 8)))) * rng.uniform(0.1, 2.0, size=(6, 1))
        values = rows[1] - rows[0] if paired else rows[1]
        alone = seed_margins(values, rows[:0], paired=paired, confidence=0.95)
        below, above = seed_margins(values, rows, paired=paired, confidence=0.95)
        assert below >= above - 1e-12
        assert above >= alone[1] - 1e-12
