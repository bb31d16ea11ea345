"""The scripted worlds are what they are said to be: noise, optima, inert numbers, starts that mislead."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.quality.worlds import (
    BEST,
    EPOCHS,
    KINDS,
    PUBLISHED,
    REPORTS,
    TYPES,
    World,
    auc_deviation,
    unit_point,
)


def random_points(count: int, *, seed: int = 0) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "mix_prob": 1.0,
            "margin": float(rng.uniform(0.1, 1.0)),
            "scale": float(8 * 8 ** rng.uniform()),
            "mixup_alpha": float(0.1 * 20 ** rng.uniform()),
            "noise_prob": float(rng.uniform()),
        }
        for _ in range(count)
    ]


def test_the_deviation_of_an_auc_is_that_of_ranks_drawn_from_exponential_scores() -> None:
    """Anomalous scores are exponential with mean AUC / (1 - AUC) times that of normal ones."""
    rng = np.random.default_rng(0)
    for points in (60.0, 85.0):
        auc = points / 100
        normal = rng.exponential(size=(3000, 100, 1))
        anomalous = rng.exponential(auc / (1 - auc), size=(3000, 1, 100))
        found = 100 * (anomalous > normal).mean(axis=(1, 2))
        assert found.mean() == pytest.approx(points, abs=0.3)
        assert found.std() == pytest.approx(auc_deviation(points), rel=0.05)


def test_a_perfect_auc_has_no_deviation_and_fewer_clips_have_a_larger_one() -> None:
    assert auc_deviation(100.0) == 0.0
    assert auc_deviation(85.0, normal=25, anomalous=25) == pytest.approx(2 * auc_deviation(85.0), rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_no_point_is_better_than_the_best_and_some_point_is_nearly_as_good(kind: str) -> None:
    world = World(kind, seed=3)
    for name in TYPES:
        values = [world.truth(name, point) for point in random_points(300)]
        assert max(values) <= world.best(name) + 1e-9
        assert np.mean(values) < world.best(name) - 1.5


def test_the_optimum_has_the_best_value_and_ripples_do_not_move_it() -> None:
    for kind in ("smooth", "rough", "late"):
        world = World(kind, seed=1)
        u = world.optimum["fan"]
        point = {
            "mix_prob": 1.0,
            "margin": 0.1 + 0.9 * float(u[0]),
            "scale": 8 * 8 ** float(u[1]),
            "mixup_alpha": 0.1 * 20 ** float(u[2]),
            "noise_prob": float(u[3]),
        }
        assert world.truth("fan", point) == pytest.approx(BEST)
        assert unit_point(point, world.space.of("fan")) == pytest.approx(u)


def test_optima_have_the_more_in_common_the_higher_their_share() -> None:
    def spread(corr: float) -> float:
        return float(
            np.mean([np.std(list(World("smooth", seed=s, corr=corr).optimum.values()), axis=0) for s in range(20)])
        )

    assert spread(1.0) == pytest.approx(0.0)
    assert 0 < spread(0.9) < spread(0.5) < spread(0.0)


def test_inert_numbers_change_nothing_where_they_are_inert() -> None:
    cube, inert = World("cube", seed=0), World("inert", seed=0)
    unmixed = {"mix_prob": 0.0, "margin": 0.5, "scale": 30.0}
    assert cube.truth("fan", unmixed) == cube.truth("fan", {**unmixed, "noise_prob": 1.0, "mixup_alpha": 2.0})
    low, high = ({**PUBLISHED, "margin": margin} for margin in (0.3, 0.9))
    for point, same in ((low, True), (high, False)):
        values = {inert.truth("fan", {**point, "noise_prob": noise}) for noise in (0.0, 0.3)}
        assert (len(values) == 1) is same


def test_the_same_draw_gives_the_same_curves_and_the_noise_is_as_large_as_said() -> None:
    world = World("smooth", seed=0)
    assert world.curves(PUBLISHED, draw=1) == world.curves(PUBLISHED, draw=1) != world.curves(PUBLISHED, draw=2)
    ends = [world.curves(PUBLISHED, draw=draw)[EPOCHS]["fan"] for draw in range(1500)]
    truth = world.truth("fan", PUBLISHED)
    assert np.mean(ends) == pytest.approx(truth, abs=0.3)
    assert np.std(ends) == pytest.approx(auc_deviation(truth), rel=0.06)
    again = [world.retrained("fan", PUBLISHED, seeds=4, rng=np.random.default_rng(n)) for n in range(1500)]
    assert np.std(again) == pytest.approx(auc_deviation(truth) / 2, rel=0.06)


def test_early_values_tell_much_little_or_the_contrary() -> None:
    points = random_points(200)
    ranks = {}
    for kind in ("early", "smooth", "late"):
        found = []
        for seed in range(4):
            world = World(kind, seed=seed)
            truth = [world.truth("fan", point) for point in points]
            found.append(spearmanr(truth, [world.expected("fan", point, 3) for point in points]).statistic)
        ranks[kind] = float(np.mean(found))
    assert ranks["early"] > 0.9 > ranks["smooth"] > 0.3 > ranks["late"]


def test_a_curve_ends_at_the_truth_and_only_rises() -> None:
    world = World("smooth", seed=0)
    for point in random_points(20):
        values = [world.expected("pump", point, epoch) for epoch in REPORTS]
        assert values == sorted(values)
        assert values[-1] == pytest.approx(world.truth("pump", point))


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"kind 'bumpy'; known: smooth"):
        World("bumpy", seed=0)
