"""What a sampler sees of a long study: an excerpt, and through it the same as directly."""

import itertools

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from asd_ray.search.studies.samplers import ViewSampler, excerpt
from tests.scripted import AXIS, trial

optuna.logging.set_verbosity(optuna.logging.WARNING)
PRUNED, RUNNING = TrialState.PRUNED, TrialState.RUNNING


def grown(size: int, *, objectives: int = 1) -> optuna.Study:
    """A study of complete trials at random points, each its own value."""
    rng = np.random.default_rng(size)
    study = optuna.create_study(directions=["maximize"] * objectives, sampler=RandomSampler(seed=0))
    for x in rng.uniform(size=size):
        values = [float(x)] * objectives
        study.add_trial(optuna.create_trial(values=values, params={"x": float(x)}, distributions=AXIS))
    return study


def test_an_excerpt_holds_the_best_the_newest_and_all_that_run_in_their_order() -> None:
    trials = [trial(n, {1: value}) for n, value in enumerate([1.0, 9.0, 2.0, 8.0, 3.0, 4.0, 5.0])]
    trials += [trial(7, {1: 9.9}, state=PRUNED), trial(8, {}, state=RUNNING)]
    trials.insert(0, trial(9, {}, state=RUNNING))
    assert [found.number for found in excerpt(trials, 4, best=2)] == [9, 1, 3, 6, 7, 8]


def test_an_excerpt_with_room_for_all_leaves_out_only_what_failed() -> None:
    trials = [trial(0, {1: 1.0}), trial(1, {}, state=TrialState.FAIL), trial(2, {1: 0.5}, state=PRUNED)]
    assert [found.number for found in excerpt(trials, 10, best=1)] == [0, 2]


# -- sampling through a view


def asked(study: optuna.Study, sampler: BaseSampler) -> float:
    study.sampler = sampler
    return study.ask().suggest_float("x", 0.0, 1.0)


@pytest.mark.parametrize("make", [TPESampler, GPSampler])
def test_a_view_of_everything_gives_the_proposal_of_the_study_itself(make: type[BaseSampler]) -> None:
    direct = asked(grown(20), make(seed=3))
    trials = grown(20).get_trials()
    assert asked(grown(20), ViewSampler(make(seed=3), trials)) == direct


def test_the_sampler_knows_nothing_but_the_view() -> None:
    """All values of the study rise to the right, those of the view to the left."""
    left = [trial(n, {1: -float(x)}, x=float(x)) for n, x in enumerate(np.linspace(0, 1, 20))]
    assert asked(grown(20), GPSampler(seed=0)) > 0.8
    assert asked(grown(20), ViewSampler(GPSampler(seed=0), left)) < 0.2


def test_a_view_of_two_objectives_can_be_sampled_from() -> None:
    study = grown(30, objectives=2)
    shown = excerpt(study.get_trials(), 20, best=10)
    assert 0 <= asked(study, ViewSampler(TPESampler(seed=0), shown, directions=study.directions)) <= 1


def test_the_numbers_of_a_view_stay_those_of_the_study() -> None:
    shown = excerpt(grown(40).get_trials(), 12, best=6)
    assert len(shown) == 12
    assert all(before.number < after.number for before, after in itertools.pairwise(shown))
