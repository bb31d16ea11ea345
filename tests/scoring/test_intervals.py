"""Bootstrap intervals: the areas are scikit-learn's, the draws are stratified and paired, and nothing is NaN."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from asd_ray.scoring.intervals import COMBINE, Estimate, estimate
from asd_ray.scoring.metrics import machine_metrics, objective_value
from asd_ray.scoring.roc import Floats, roc_areas

IDS = np.repeat(["id_00", "id_02"], 60)
LABELS = np.tile(np.repeat([False, True], 30), 2)


def scores(seeds: int, *, signal: float = 1.0, seed: int = 0) -> Floats:
    """One row per seed: what a clip sounds like is common to all, what a training makes of it is its own."""
    rng = np.random.default_rng(seed)
    clip = signal * LABELS + rng.normal(size=len(LABELS))
    return clip + 0.3 * rng.normal(size=(seeds, len(LABELS)))


def found(*arguments: object, **named: object) -> Estimate:
    result = estimate(*arguments, **named)  # type: ignore[arg-type]
    assert result is not None
    return result


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_areas_under_the_curve_are_those_of_scikit_learn_with_ties_and_repeated_clips(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for _ in range(40):
        normal, anomaly = (rng.integers(0, levels, size=rng.integers(1, 12)) / 7 for _ in range(2))
        counts = [rng.integers(0, 4, size=(3, len(values))) for values in (normal, anomaly)]
        for count in counts:
            count[:, 0] += 1
        max_fpr = float(rng.choice([0.01, 0.1, 1 / 3, 0.5, 0.999]))
        areas = roc_areas(*(count.astype(float) for count in counts), normal, anomaly, max_fprs=(1.0, max_fpr))
        for row in range(3):
            drawn = [
                np.repeat(values, count[row]) for values, count in zip((normal, anomaly), counts, strict=True)
            ]
            truth = np.repeat([False, True], [len(values) for values in drawn])
            for area_R, limit in zip(areas, (None, max_fpr), strict=True):
                expected = roc_auc_score(truth, np.concatenate(drawn), max_fpr=limit)
                assert area_R[row] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("objective", [*COMBINE, "auc,pauc", "auc,mauc"])
def test_the_mean_is_that_of_the_objective_over_seeds(objective: str) -> None:
    score_SB = scores(3)
    values = [
        objective_value(machine_metrics("fan", IDS, is_anomaly=LABELS, score=score_B), objective)
        for score_B in score_SB
    ]
    result = found(IDS, LABELS, score_SB, objective=objective, resamples=100)
    assert result.mean == pytest.approx(np.mean(values))
    assert result.sd == pytest.approx(np.std(values, ddof=1))


def test_the_difference_is_paired_by_seed() -> None:
    one, other = scores(3), scores(3, signal=0.5)
    values = [
        [roc_auc_score(LABELS[name == IDS], row[name == IDS]) for row in side]
        for name in ("id_00", "id_02")
        for side in (one, other)
    ]
    difference = (np.array(values[0]) + values[2] - values[1] - values[3]) / 2
    result = found(IDS, LABELS, one, minus_SB=other, objective="auc", resamples=100)
    assert result.mean == pytest.approx(difference.mean())
    assert result.sd == pytest.approx(difference.std(ddof=1))


def delong_error(normal: Floats, anomaly: Floats) -> float:
    """Standard error of an AUC after DeLong, DeLong and Clarke-Pearson (1988)."""
    wins = (anomaly[:, None] > normal) + 0.5 * (anomaly[:, None] == normal)
    return float(
        np.sqrt(wins.mean(axis=1).var(ddof=1) / len(anomaly) + wins.mean(axis=0).var(ddof=1) / len(normal))
    )


def test_an_interval_over_clips_is_as_wide_as_delongs_formula_says() -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat([False, True], 150)
    score = truth + rng.normal(size=300)
    result = found(["id_00"] * 300, truth, [score], objective="auc")
    assert result.interval is not None
    assert result.method == "BCa"
    low, high = result.interval
    expected = 2 * stats.norm.ppf(0.975) * delong_error(score[~truth], score[truth])
    assert high - low == pytest.approx(expected, rel=0.1)
    assert low < result.mean < high


def test_the_interval_is_scipys_own_where_scipy_can_compute_it() -> None:
    rng = np.random.default_rng(4)
    normal, anomaly = rng.normal(size=20), 1 + rng.normal(size=25)

    def auc(normal_RN: Floats, anomaly_RA: Floats, axis: int = -1) -> Floats:
        return (anomaly_RA[..., :, None] > normal_RN[..., None, :]).mean(axis=(-2, -1))

    expected = stats.bootstrap(
        (normal, anomaly), auc, vectorized=True, n_resamples=500, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    truth = np.repeat([False, True], [20, 25])
    result = found(["x"] * 45, truth, [np.concatenate([normal, anomaly])], objective="auc", resamples=500)
    assert result.interval == pytest.approx((expected.low, expected.high))


def test_clips_are_drawn_within_their_machine_id_and_label() -> None:
    """Each id is told apart perfectly, at a level of its own: only a draw across strata could make an error."""
    score = LABELS + 10.0 * (IDS == "id_02") + 0.1 * scores(1)[0] % 0.5
    result = found(IDS, LABELS, [score, score], resamples=200)
    assert (result.mean, result.interval) == (1.0, None)
    assert result.note == "nearly every resample gives the same value"


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = scores(1).repeat(4, axis=0)
    unlike = alike + np.array([0.0, 0.0, 3.0, 3.0])[:, None] * LABELS
    narrow, wide = (found(IDS, LABELS, rows, objective="auc").interval for rows in (alike, unlike))
    assert narrow is not None
    assert wide is not None
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_the_seeds_count_by_student_s_t_however_few_they_are() -> None:
    """Scores that only their seed moves: the clips add next to nothing to the interval."""
    spread = np.array([-0.1, 0.1])[:, None] * LABELS
    values = np.array([[roc_auc_score(LABELS, row) for row in scores(1).repeat(2, axis=0) + spread]])
    result = found(["x"] * len(LABELS), LABELS, scores(1).repeat(2, axis=0) + spread, objective="auc")
    alone = found(["x"] * len(LABELS), LABELS, scores(1), objective="auc")
    assert (result.method, alone.method) == ("BCa and t", "BCa")
    assert result.interval is not None
    assert alone.interval is not None
    margin = stats.t.ppf(0.975, 1) * values.std(ddof=1) / 2**0.5
    assert result.mean - result.interval[0] == pytest.approx(
        np.hypot(margin, alone.mean - alone.interval[0]), rel=0.05
    )


def test_a_config_that_its_seeds_have_chosen_gets_a_wider_interval_downwards() -> None:
    rows = [scores(5, seed=number) for number in range(4)]
    rows[3] = rows[3] + np.array([-0.5, 0.5, -0.5, 0.5, 0.0])[:, None] * LABELS  # seeds move these configs
    alone = found(IDS, LABELS, rows[1], minus_SB=rows[0], objective="auc").interval
    chosen = found(IDS, LABELS, rows[1], minus_SB=rows[0], contenders=rows, objective="auc").interval
    assert alone is not None
    assert chosen is not None
    assert chosen[0] < alone[0]
    assert chosen[1] >= alone[1]


def test_no_interval_leaves_the_range_of_what_it_is_of() -> None:
    near = scores(2, signal=4.0) - np.array([[0.0], [3.0]]) * LABELS
    assert found(IDS, LABELS, near, objective="auc").interval == (0.0, 1.0)
    difference = found(IDS, LABELS, near, minus_SB=near[::-1], objective="auc").interval
    assert difference == (-1.0, 1.0)


def test_a_paired_difference_sees_what_two_intervals_that_overlap_do_not() -> None:
    better = scores(5, signal=0.6)
    worse = better - 0.4 * LABELS
    one, other = (found(IDS, LABELS, rows, objective="auc").interval for rows in (better, worse))
    paired = found(IDS, LABELS, better, minus_SB=worse, objective="auc").interval
    assert one is not None
    assert other is not None
    assert paired is not None
    assert one[0] < other[1]
    assert paired[0] > 0


def test_the_same_call_gives_the_same_interval_and_another_seed_nearly_the_same() -> None:
    first = found(IDS, LABELS, scores(3))
    assert found(IDS, LABELS, scores(3)) == first
    second = found(IDS, LABELS, scores(3), seed=1).interval
    assert first.interval is not None
    assert first.interval != second
    assert second == pytest.approx(first.interval, abs=0.02)


def test_ids_with_clips_of_one_kind_are_left_out_and_without_any_other_nothing_is_estimated() -> None:
    only_normal = np.concatenate([IDS, ["id_04"] * 5])
    labels = np.concatenate([LABELS, [False] * 5])
    more = np.concatenate([scores(2), np.full((2, 5), 99.0)], axis=1)
    assert found(only_normal, labels, more, resamples=100) == found(IDS, LABELS, scores(2), resamples=100)
    assert estimate(["id_00"] * 3, [False] * 3, [[1.0, 2.0, 3.0]]) is None
    assert estimate([], [], np.empty((1, 0))) is None


def test_a_single_clip_of_a_kind_gives_no_interval_and_says_why() -> None:
    result = found(["id_00"] * 4, [False, False, False, True], [[0.1, 0.5, 0.2, 0.4], [0.1, 0.2, 0.3, 0.4]])
    assert result.mean == pytest.approx((np.mean([2 / 3, 1]) + np.mean([(1 + 7 / 19) / 2, 1])) / 2, abs=0.2)
    assert result.interval is None
    assert result.note == "id_00 has a single anomalous clip, which says nothing of its spread"


def test_one_seed_gives_an_interval_for_other_clips_and_says_so() -> None:
    result = found(IDS, LABELS, scores(1))
    assert result.sd is None
    assert result.interval is not None
    assert result.note == "one seed: the interval is for other clips only"


def test_whatever_the_scores_an_interval_is_finite_or_absent_and_never_warned_of() -> None:
    rng = np.random.default_rng(5)
    methods = set()
    for _ in range(60):
        size, seeds = int(rng.integers(2, 12)), int(rng.integers(1, 4))
        labels = rng.random(size) < 0.5
        rows = rng.integers(0, rng.integers(1, 5), size=(seeds, size)) / 3
        other = rng.integers(0, 3, size=(seeds, size)) / 3 if rng.random() < 0.5 else None
        result = estimate(["a"] * size, labels, rows, minus_SB=other, resamples=50)
        if result is not None:
            methods.add(result.method)
            numbers = [result.mean, *(result.interval or ())]
            assert np.isfinite(numbers).all()
            assert result.interval is None or result.interval[0] < result.interval[1]
            assert (result.interval is None) == (result.method == "")
            assert result.interval is not None or result.note
    assert {"BCa", ""} <= methods
