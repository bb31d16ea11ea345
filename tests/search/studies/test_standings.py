"""Successive halving by best standing: the rule written down plainly, the same verdicts at once, and who lives."""

import random
from collections.abc import Mapping

import pytest

from asd_ray.search.studies.standings import Standings

TYPES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
Values = Mapping[str, float]  # machine type -> objective


# -- the rule


def standing(uid: str, arrived: Mapping[str, Values]) -> tuple[float, ...]:
    """The trial's percentile ranks among those that arrived, over its studies, best first; ties count half."""
    ranks = []
    for machine_type, value in arrived[uid].items():
        others = [
            values[machine_type] for other, values in arrived.items() if other != uid and machine_type in values
        ]
        if others:
            worse = sum(other < value for other in others) + 0.5 * sum(other == value for other in others)
            ranks.append(worse / len(others))
        else:
            ranks.append(1.0)
    return tuple(sorted(ranks, reverse=True))


def survives(uid: str, arrived: Mapping[str, Values], *, eta: int) -> bool:
    """Whether the trial is among the best 1/eta of those that have arrived, itself included."""
    mine = standing(uid, arrived)
    better = sum(standing(other, arrived) > mine for other in arrived if other != uid)
    return better < -(-len(arrived) // eta)


def test_a_standing_lists_the_share_of_worse_trials_best_first() -> None:
    arrived = {
        "a": {"fan": 0.9, "pump": 0.1},
        "b": {"fan": 0.5, "pump": 0.5},
        "c": {"fan": 0.7, "pump": 0.3},
    }
    assert standing("a", arrived) == (1.0, 0.0)
    assert standing("b", arrived) == (1.0, 0.0)
    assert standing("c", arrived) == (0.5, 0.5)


def test_a_tie_counts_half() -> None:
    arrived = {"a": {"fan": 0.5}, "b": {"fan": 0.5}, "c": {"fan": 0.1}}
    assert standing("a", arrived) == standing("b", arrived) == (0.75,)
    assert standing("c", arrived) == (0.0,)


def test_a_trial_is_compared_only_where_another_has_a_value() -> None:
    arrived = {"a": {"fan": 0.1, "pump": 0.4}, "b": {"fan": 0.5}, "c": {"valve": 0.9}}
    assert standing("a", arrived) == (1.0, 0.0)  # alone in pump, worse than b in fan
    assert standing("c", arrived) == (1.0,)


# -- the same verdicts


def ranked(arrived: Mapping[str, Values]) -> Standings:
    standings = Standings(TYPES)
    for uid, values in arrived.items():
        standings.arrive(uid, values)
    return standings


def alive(arrived: Mapping[str, Values], *, eta: int) -> list[str]:
    """Who survives, by the rule and by the standings alike."""
    standings = ranked(arrived)
    found = [uid for uid in arrived if standings.survives(uid, eta=eta)]
    assert found == [uid for uid in arrived if survives(uid, arrived, eta=eta)]
    return found


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
    standings = ranked({"a": {"fan": 0.1}, "b": {"fan": 0.5}, "c": {"fan": 0.6}})
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


# -- who lives


def test_the_first_to_arrive_survives_and_so_do_equals() -> None:
    assert alive({"a": {"fan": 0.0}}, eta=3) == ["a"]
    equal = {str(number): {"fan": 0.5} for number in range(9)}
    assert alive(equal, eta=3) == list(equal)


@pytest.mark.parametrize(("count", "living"), [(3, 1), (4, 2), (6, 2), (7, 3), (9, 3)])
def test_of_n_in_one_study_the_best_nth_by_eta_rounded_up_survive(count: int, living: int) -> None:
    arrived = {str(number): {"fan": number / 100} for number in range(count)}
    assert alive(arrived, eta=3) == [str(number) for number in range(count - living, count)]


def judge_one_after_another(values: list[dict[str, float]], *, eta: int) -> list[bool]:
    standings = Standings(TYPES)
    verdicts = []
    for number, value in enumerate(values):
        standings.arrive(str(number), value)
        verdicts.append(standings.survives(str(number), eta=eta))
    return verdicts


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_only_about_one_in_eta_survives_though_six_studies_have_six_winners(eta: int) -> None:
    rng = random.Random(eta)
    values = [{name: rng.random() for name in TYPES} for _ in range(120)]
    share = sum(judge_one_after_another(values, eta=eta)) / len(values)
    assert share == pytest.approx(1 / eta, abs=0.07)


def test_a_trial_that_is_best_for_one_machine_type_survives_though_it_is_worst_for_the_others() -> None:
    rng = random.Random(0)
    values = [{name: rng.uniform(0.4, 0.6) for name in TYPES} for _ in range(60)]
    specialist = dict.fromkeys(TYPES, 0.1) | {"valve": 0.9}
    assert judge_one_after_another([*values, specialist], eta=3)[-1]
    assert not judge_one_after_another([*values, dict.fromkeys(TYPES, 0.1)], eta=3)[-1]
