"""AUC, pAUC and mAUC on examples worked by hand, and where they are undefined."""

import math

import numpy as np
import pytest

from asd_ray.errors import InputError
from asd_ray.scoring.metrics import (
    OBJECTIVES,
    Auc,
    MachineMetrics,
    auc_of,
    machine_metrics,
    objective_value,
)


def hand_made() -> MachineMetrics:
    """Id 00: 3 of 4 pairs in order. Id 02: all 2 in order. Id 04: no anomaly. Id 06: 1 of 2 in order."""
    clips = [
        ("id_00", 0, 0.1), ("id_00", 0, 0.3), ("id_00", 1, 0.2), ("id_00", 1, 0.4),
        ("id_02", 0, 10.0), ("id_02", 1, 11.0), ("id_02", 1, 12.0),
        ("id_04", 0, 0.0),
        ("id_06", 0, 1.0), ("id_06", 0, 3.0), ("id_06", 1, 2.0),
    ]  # fmt: skip
    ids, is_anomaly, score = zip(*clips, strict=True)
    return machine_metrics("fan", ids, is_anomaly=is_anomaly, score=score)


def test_auc_counts_the_pairs_in_order():
    assert auc_of([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.4]).auc == 0.75
    assert auc_of([0, 1, 0, 1], [1.0, 1.0, 1.0, 1.0]) == Auc(0.5, 0.5)
    assert auc_of([1, 0], [0.0, 1.0]).auc == 0.0


def test_partial_auc_is_standardised_so_that_chance_is_a_half_and_the_best_is_one():
    assert auc_of([0, 0, 1, 1], [1, 2, 3, 4]) == Auc(1.0, 1.0)
    # Half of the anomalies lie above every normal clip, the other half below: up to a false-positive rate of
    # 0.1 the area is 0.05, of at most 0.1 and by chance 0.005.
    score = [2.0] * 10 + [0.0] * 10 + [1.0] * 20
    expected = 0.5 * (1 + (0.05 - 0.005) / (0.1 - 0.005))
    # The ROC rises from the point (0, 0.5) in one slope to (1, 0.5), as the normal clips tie.
    assert auc_of([1] * 20 + [0] * 20, score).pauc == pytest.approx(expected)


def test_another_false_positive_rate_gives_another_partial_auc():
    rng = np.random.default_rng(0)
    is_anomaly, score = rng.integers(2, size=200), rng.normal(size=200)
    tenth, half = (auc_of(is_anomaly, score, max_fpr=rate).pauc for rate in (0.1, 0.5))
    assert tenth != half


@pytest.mark.parametrize("is_anomaly", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_alone_is_undefined_without_a_warning_or_nan(is_anomaly):
    assert auc_of(is_anomaly, [0.1 * clip for clip in range(len(is_anomaly))]) == Auc(None, None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused_even_where_the_metric_is_undefined(value):
    with pytest.raises(InputError, match="1 of 2 scores are not finite"):
        auc_of([0, 0], [1.0, value])
    with pytest.raises(InputError, match="1 of 2 scores are not finite"):
        machine_metrics("fan", ["id_00", "id_02"], is_anomaly=[0, 1], score=[1.0, value])


def test_ids_are_averaged_pooled_and_the_worst_is_named():
    metrics = hand_made()
    assert {name: found.auc for name, found in metrics.per_id.items()} == {
        "id_00": 0.75,
        "id_02": 1.0,
        "id_04": None,
        "id_06": 0.5,
    }
    assert metrics.averaged.auc == pytest.approx((0.75 + 1.0 + 0.5) / 3)
    assert metrics.minimum == 0.5
    # Pooled, 6 normal (.1 .3 10 0 1 3) and 5 anomalous: .2 beats 2, .4 beats 3, 11 and 12 beat 6, 2 beats 4.
    assert metrics.pooled.auc == pytest.approx((2 + 3 + 6 + 6 + 4) / 30)
    assert (metrics.num_normal, metrics.num_anomaly) == (6, 5)


def test_an_id_with_one_class_is_listed_and_left_out_of_mean_and_minimum():
    metrics = hand_made()
    assert metrics.undefined_ids == ("id_04",)
    assert metrics.per_id["id_04"] == Auc(None, None)
    paucs = [metrics.per_id[name].pauc for name in ("id_00", "id_02", "id_06")]
    assert metrics.averaged.pauc == pytest.approx(np.mean(paucs))


def test_pooling_is_another_number_where_ids_have_scores_of_other_heights():
    metrics = machine_metrics(
        "fan",
        np.array(["id_00"] * 2 + ["id_02"] * 2),
        is_anomaly=np.array([False, True, False, True]),
        score=np.array([0.0, 1.0, 5.0, 6.0]),
    )
    assert (metrics.averaged.auc, metrics.pooled.auc) == (1.0, 0.75)


def test_without_any_id_of_both_classes_mean_minimum_and_objectives_are_undefined():
    metrics = machine_metrics("fan", ["id_00", "id_02"], is_anomaly=[0, 1], score=[0.0, 1.0])
    assert metrics.averaged == Auc(None, None)
    assert metrics.minimum is None
    assert metrics.pooled == Auc(1.0, 1.0)
    assert [objective_value(metrics, name) for name in OBJECTIVES] == [None] * 5


def test_objectives_read_what_their_names_say():
    metrics = hand_made()
    auc, pauc = metrics.averaged.auc, metrics.averaged.pauc
    values = {name: objective_value(metrics, name) for name in OBJECTIVES}
    mean = (auc + pauc) / 2
    # `proxy` chooses by stand-ins, and reports as the mean does.
    assert values == {"mean": mean, "auc": auc, "pauc": pauc, "mauc": metrics.minimum, "proxy": mean}


def test_an_unknown_objective_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="objective 'paucs' is unknown; did you mean 'pauc'"):
        objective_value(hand_made(), "paucs")


def test_the_metrics_depend_only_on_the_order_of_the_scores():
    rng = np.random.default_rng(0)
    ids, is_anomaly = rng.choice(["id_00", "id_02"], size=60), rng.integers(2, size=60)
    score = rng.normal(size=60)
    assert machine_metrics("fan", ids, is_anomaly=is_anomaly, score=score) == machine_metrics(
        "fan", ids, is_anomaly=is_anomaly, score=np.exp(3 * score)
    )
