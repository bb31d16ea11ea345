"""Several detectors as one."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from asd_ray.scoring.ensemble import choose_members, combined, rank_normalised

TRUTH = np.repeat([0, 1], 40)


def objective(score_SB):
    return float(np.mean([roc_auc_score(TRUTH, row) for row in score_SB]))


def noisy(seed, noise, seeds=2):
    rng = np.random.default_rng(seed)
    return TRUTH + noise * rng.standard_normal((seeds, len(TRUTH)))


def test_ranks_ignore_the_unit_of_a_score():
    score_SB = noisy(0, 1.0)
    np.testing.assert_allclose(rank_normalised(np.exp(50 * score_SB)), rank_normalised(score_SB))


def test_a_member_with_huge_scores_counts_no_more_than_another():
    one, other = noisy(0, 1.0), noisy(1, 1.0)
    np.testing.assert_allclose(combined([one, 1e9 * other]), combined([one, other]))
    np.testing.assert_allclose(combined([one, other]), combined([other, one]))


def test_members_that_err_apart_are_better_together():
    members = [noisy(seed, 1.5) for seed in range(6)]
    alone = max(objective(one) for one in members)
    assert objective(combined(members)) > alone + 0.05


def test_members_are_added_while_the_objective_rises():
    configs = [noisy(0, 1.0), noisy(1, 1.0), 10 * noisy(2, 20.0), -noisy(3, 0.5)]
    chosen = choose_members(configs, objective)
    assert chosen[:2] == (0, 1)
    assert 3 not in chosen  # turned the wrong way round, it would do harm
    assert objective(combined([configs[one] for one in chosen])) > objective(configs[0])


@pytest.mark.parametrize("first", [0, 1])
def test_a_config_that_nothing_helps_stays_alone(first):
    perfect = [TRUTH[None] + 0.0, TRUTH[None] + 0.0]
    assert choose_members(perfect, objective, first=first) == (first,)
