"""Successive halving by best standing: hand-worked standings, and who lives over many trials."""

import random

import pytest

from asd_ray.search.pruning import rungs, standing, survives

TYPES = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")


@pytest.mark.parametrize(
    ("epochs", "eta", "expected"),
    [(1, 3, ()), (2, 3, (1,)), (3, 3, (1,)), (4, 3, (1,)), (9, 3, (3,)), (300, 3, (100,)), (9, 2, (4,))],
)
def test_the_rung_is_at_one_eta_th_of_the_budget_and_never_its_last_epoch(
    epochs: int, eta: int, expected: tuple[int, ...]
) -> None:
    assert rungs(epochs, eta) == expected


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


def test_the_first_to_arrive_survives_and_so_do_equals() -> None:
    assert survives("a", {"a": {"fan": 0.0}}, eta=3)
    equal = {str(number): {"fan": 0.5} for number in range(9)}
    assert all(survives(uid, equal, eta=3) for uid in equal)


@pytest.mark.parametrize(("count", "living"), [(3, 1), (4, 2), (6, 2), (7, 3), (9, 3)])
def test_of_n_in_one_study_the_best_nth_by_eta_rounded_up_survive(count: int, living: int) -> None:
    arrived = {str(number): {"fan": number / 100} for number in range(count)}
    alive = [uid for uid in arrived if survives(uid, arrived, eta=3)]
    assert alive == [str(number) for number in range(count - living, count)]


def judge_one_after_another(values: list[dict[str, float]], *, eta: int) -> list[bool]:
    arrived: dict[str, dict[str, float]] = {}
    verdicts = []
    for number, value in enumerate(values):
        arrived[str(number)] = value
        verdicts.append(survives(str(number), arrived, eta=eta))
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
