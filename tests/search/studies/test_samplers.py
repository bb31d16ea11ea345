"""Which sampler proposes what: it follows from the studies alone, and moves on with them."""

import warnings

import optuna
import pytest
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.space import SearchSpace, StudySpace, load_space
from asd_ray.search.studies.samplers import GP_LIMIT, TPE_GOOD, TPE_LIMIT, ViewSampler, make_sampler

optuna.logging.set_verbosity(optuna.logging.WARNING)
PLAIN = SearchSpace.model_validate(
    {
        "question": "?",
        "params": {"margin": {"low": 0.0, "high": 1.0}, "scale": {"low": 8.0, "high": 64.0, "log": True}},
    }
).of("fan")


def study_with(space: StudySpace, *, complete: int = 0, pruned: int = 0) -> optuna.Study:
    """A study that holds some trials; every trial is drawn, and judged, in the same way."""
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=1))
    for number in range(complete + pruned):
        trial = study.ask()
        point = space.suggest(trial)
        trial.report(point["margin"], 1)
        if number < complete:
            study.tell(trial, 1.0 - abs(point["margin"] - 0.3))
        else:
            study.tell(trial, state=TrialState.PRUNED)
    return study


def sampler_for(
    study: optuna.Study, space: StudySpace = PLAIN, *, stream: int = 0, **search: object
) -> BaseSampler:
    return make_sampler(SearchConfig.model_validate(search), study, space, stream=stream)


def kind_of(sampler: BaseSampler) -> type[BaseSampler]:
    return type(sampler.inner if isinstance(sampler, ViewSampler) else sampler)


def proposal(study: optuna.Study, *, stream: int = 0, **search: object) -> dict[str, float]:
    study.sampler = sampler_for(study, stream=stream, **search)
    return PLAIN.suggest(study.ask())


@pytest.mark.parametrize("kind", ["gp", "tpe", "random"])
@pytest.mark.parametrize(("complete", "pruned"), [(0, 0), (8, 0), (8, 8)])
def test_the_same_state_gives_the_same_proposal(kind: str, complete: int, pruned: int) -> None:
    studies = [study_with(PLAIN, complete=complete, pruned=pruned) for _ in range(2)]
    first, again = (proposal(study, sampler=kind) for study in studies)
    assert first == again


@pytest.mark.parametrize("kind", ["tpe", "random"])
def test_the_seed_moves_on_so_that_random_points_do_not_repeat(kind: str) -> None:
    study = study_with(PLAIN)
    margins = [proposal(study, sampler=kind)["margin"] for _ in range(4)]
    assert len(set(margins)) == 4


@pytest.mark.parametrize("other", [{"seed": 1}, {"stream": 1}])
def test_another_seed_or_another_study_proposes_something_else(other: dict[str, int]) -> None:
    study = study_with(PLAIN)
    assert proposal(study, sampler="random", **other) != proposal(study_with(PLAIN), sampler="random")


@pytest.mark.parametrize(
    ("complete", "pruned", "kind"),
    [
        (0, 0, GPSampler),
        (GP_LIMIT, 0, GPSampler),
        (GP_LIMIT + 1, 0, TPESampler),
        (5, 5, GPSampler),
        (5, 6, TPESampler),  # of an earlier search; the Gaussian process does not see pruned trials
    ],
)
def test_where_nothing_is_pruned_a_gaussian_process_while_the_study_is_small_and_mostly_complete(
    complete: int, pruned: int, kind: type[BaseSampler]
) -> None:
    study = study_with(PLAIN, complete=complete, pruned=pruned)
    assert kind_of(sampler_for(study, prune=False)) is kind


@pytest.mark.parametrize(("complete", "pruned"), [(0, 0), (8, 0), (8, 8), (8, 20)])
def test_where_trials_are_pruned_tpe_proposes_from_the_first_trial_on(complete: int, pruned: int) -> None:
    assert SearchConfig().prune
    assert kind_of(sampler_for(study_with(PLAIN, complete=complete, pruned=pruned))) is TPESampler


def test_a_conditional_space_is_sampled_by_tpe() -> None:
    cube = load_space("cube")[0].of("fan")
    assert kind_of(sampler_for(study_with(cube), cube, prune=False)) is TPESampler


@pytest.mark.parametrize(("name", "kind"), [("gp", GPSampler), ("tpe", TPESampler), ("random", RandomSampler)])
def test_a_named_sampler_overrides(name: str, kind: type[BaseSampler]) -> None:
    study = study_with(PLAIN, complete=1, pruned=3)
    assert kind_of(sampler_for(study, sampler=name)) is kind


def test_making_a_sampler_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler_for(study_with(PLAIN), sampler="gp")


def test_with_ten_trials_the_gaussian_process_looks_near_the_best_one() -> None:
    study = study_with(PLAIN, complete=10)
    assert abs(proposal(study, sampler="gp")["margin"] - 0.3) < 0.15


def test_tpe_sees_no_more_of_a_long_study_than_its_best_and_its_newest() -> None:
    study = study_with(PLAIN, complete=TPE_LIMIT - 10, pruned=40)
    sampler = sampler_for(study, sampler="tpe")
    assert isinstance(sampler, ViewSampler)
    assert len(sampler.trials) == TPE_LIMIT
    seen = {trial.number for trial in sampler.trials}
    complete = study.get_trials(states=[TrialState.COMPLETE])
    best = sorted(complete, key=lambda trial: -(trial.value or 0.0))[:TPE_GOOD]
    assert {trial.number for trial in best} <= seen
    assert set(range(100, TPE_LIMIT + 30)) <= seen
    PLAIN.suggest(study.ask())


def test_the_gaussian_process_sees_no_more_than_it_can_digest() -> None:
    assert isinstance(sampler_for(study_with(PLAIN, complete=GP_LIMIT, pruned=9), sampler="gp"), GPSampler)
    sampler = sampler_for(study_with(PLAIN, complete=GP_LIMIT + 1, pruned=9), sampler="gp")
    assert isinstance(sampler, ViewSampler)
    assert len(sampler.trials) == GP_LIMIT
    assert {trial.state for trial in sampler.trials} == {TrialState.COMPLETE}


@pytest.mark.parametrize("kind", ["gp", "tpe"])
def test_a_study_of_two_objectives_is_sampled_whatever_its_size(kind: str) -> None:
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=RandomSampler(seed=1))
    for number in range(GP_LIMIT + 10):
        trial = study.ask()
        point = PLAIN.suggest(trial)
        values = None if number % 3 == 0 else [point["margin"], -point["scale"]]
        study.tell(trial, values, state=TrialState.COMPLETE if values else TrialState.PRUNED)
    study.sampler = sampler_for(study, sampler=kind)
    assert PLAIN.contains(PLAIN.suggest(study.ask()))
