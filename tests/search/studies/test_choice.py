"""Who wins, and the Pareto set: hand-worked."""

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from asd_ray.search.space import StudySpace
from asd_ray.search.studies.surface import ranked
from asd_ray.search.studies.trial_store import TAUGHT, pareto_set, worth


def trial(
    number: int, *values: float, state: TrialState = TrialState.COMPLETE, taught: bool = False
) -> FrozenTrial:
    made = optuna.create_trial(
        state=state, values=list(values) or None, user_attrs={TAUGHT: "runs/old:fan-0"} if taught else {}
    )
    made.number = number
    return made


SPACE = StudySpace({})  # of fewer than eight trials none is smoothed


def test_of_few_trials_the_highest_mean_is_first_and_the_earliest_of_equals() -> None:
    trials = [trial(0, 0.9, 0.1), trial(1, 0.625, 0.625), trial(2, 0.75, 0.5)]
    assert worth(trials[0]) == pytest.approx(0.5)
    assert [found.number for found in ranked(trials, SPACE)] == [1, 2, 0]


def test_only_trials_that_were_completed_here_win() -> None:
    taught = trial(0, 0.9, taught=True)
    pruned = trial(1, 0.8, state=TrialState.PRUNED)
    assert ranked([taught, pruned], SPACE) == []
    assert len(ranked([taught, pruned, trial(2, 0.1)], SPACE)) == 1
    assert pareto_set([taught, pruned]) == []


def test_the_pareto_set_leaves_out_what_another_beats_and_keeps_equals() -> None:
    trials = [
        trial(0, 0.5, 0.9),
        trial(1, 0.7, 0.7),
        trial(2, 0.7, 0.6),  # beaten by 1
        trial(3, 0.9, 0.5),
        trial(4, 0.4, 0.4),  # beaten by all
        trial(5, 0.7, 0.7),
    ]
    assert [found.number for found in pareto_set(trials)] == [3, 1, 5, 0]


def test_of_one_objective_the_pareto_set_is_the_best() -> None:
    assert [found.number for found in pareto_set([trial(0, 0.5), trial(1, 0.7), trial(2, 0.6)])] == [1]
