"""ROC curves are those of scikit-learn, to the last digit."""

import numpy as np
import pytest
from sklearn import metrics

from asd_ray.scoring.roc import roc_curve


@pytest.mark.parametrize("values", [2, 5, 1000], ids=["mostly ties", "some ties", "hardly a tie"])
@pytest.mark.parametrize("clips", [2, 3, 40])
def test_a_roc_curve_has_the_corners_that_scikit_learn_finds(clips: int, values: int):
    rng = np.random.default_rng([clips, values])
    for _ in range(20):
        is_anomaly_B = rng.permutation(np.arange(clips) < max(1, clips // 3))
        score_B = rng.integers(values, size=clips) / 7
        for mine, theirs in zip(
            roc_curve(is_anomaly_B, score_B), metrics.roc_curve(is_anomaly_B, score_B)[:2], strict=True
        ):
            assert np.array_equal(mine, theirs)
