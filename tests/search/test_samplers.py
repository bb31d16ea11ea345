"""Which sampler proposes what: it follows from the studies alone, and moves on with them."""

import warnings

import optuna
import pytest
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.samplers import GP_LIMIT, make_sampler
from asd_ray.search.space import SearchSpace, StudySpace, load_space

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


def proposal(study: optuna.Study, *, stream: int = 0, **search: object) -> dict[str, float]:
    study.sampler = sampler_for(study, stream=stream, **search)
    return PLAIN.suggest(study.ask())


@pytest.mark.parametrize("kind", ["gp", "tpe", "random"])
@pytest.mark.parametrize("complete", [0, 8])
def test_the_same_state_gives_the_same_proposal(kind: str, complete: int) -> None:
    first, again = (proposal(study_with(PLAIN, complete=complete), sampler=kind) for _ in range(2))
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
        (5, 6, TPESampler),  # the Gaussian process does not see pruned trials
    ],
)
def test_a_gaussian_process_while_it_is_cheap_and_sees_enough(
    complete: int, pruned: int, kind: type[BaseSampler]
) -> None:
    assert type(sampler_for(study_with(PLAIN, complete=complete, pruned=pruned))) is kind


def test_a_conditional_space_is_sampled_by_tpe() -> None:
    cube = load_space("cube")[0].of("fan")
    assert type(sampler_for(study_with(cube), cube)) is TPESampler


@pytest.mark.parametrize(("name", "kind"), [("gp", GPSampler), ("tpe", TPESampler), ("random", RandomSampler)])
def test_a_named_sampler_overrides(name: str, kind: type[BaseSampler]) -> None:
    study = study_with(PLAIN, complete=1, pruned=3)
    assert type(sampler_for(study, sampler=name)) is kind


def test_making_a_sampler_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler_for(study_with(PLAIN), sampler="gp")


def test_with_ten_trials_the_gaussian_process_looks_near_the_best_one() -> None:
    study = study_with(PLAIN, complete=10)
    assert abs(proposal(study, sampler="gp")["margin"] - 0.3) < 0.15
