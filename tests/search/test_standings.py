"""Ranking a rung at once gives the verdicts of the rule as it is written down."""

import random

import pytest

from asd_ray.search.pruning import survives
from asd_ray.search.standings import Standings

TYPES = ("fan", "pump", "slider", "valve")


def arrivals(seed: int, *, levels: int, absent: float) -> dict[str, dict[str, float]]:
    """Trials with values of a few levels, so that ties are common, and some studies left out."""
    rng = random.Random(seed)
    found = {}
    for number in range(rng.randint(1, 40)):
        values = {name: rng.randint(0, levels) / levels for name in TYPES if rng.random() >= absent}
        found[str(number)] = values or {"fan": 0.5}
    return found


@pytest.mark.parametrize("absent", [0.0, 0.4])
@pytest.mark.parametrize("levels", [2, 7, 10**6])
def test_verdicts_are_those_of_the_rule_for_every_trial_at_every_arrival(levels: int, absent: float) -> None:
    for seed in range(12):
        standings = Standings(TYPES)
        arrived: dict[str, dict[str, float]] = {}
        for uid, values in arrivals(seed, levels=levels, absent=absent).items():
            arrived[uid] = values
            standings.arrive(uid, values)
            for eta in (2, 3):
                for other in {uid, "0"}:
                    assert standings.survives(other, eta=eta) == survives(other, arrived, eta=eta)


def test_a_trial_that_arrives_again_is_one_trial_with_its_later_values() -> None:
    standings = Standings(TYPES)
    for uid, value in (("a", 0.1), ("b", 0.5), ("c", 0.6)):
        standings.arrive(uid, {"fan": value})
    assert not standings.survives("a", eta=3)
    standings.arrive("a", {"fan": 0.9})
    assert len(standings) == 3
    assert standings.survives("a", eta=3)


def test_the_first_survives_and_a_trial_without_rivals_in_a_study_ranks_first_there() -> None:
    standings = Standings(TYPES)
    standings.arrive("a", {"fan": 0.0})
    assert standings.survives("a", eta=3)
    standings.arrive("b", {"valve": 0.0})
    standings.arrive("c", {"fan": 0.5})
    assert standings.survives("b", eta=3)
    assert not standings.survives("a", eta=3)
