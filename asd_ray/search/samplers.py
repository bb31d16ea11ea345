"""Which sampler proposes: a Gaussian process while a study is small, TPE beyond."""

import warnings

import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.space import StudySpace

# The Gaussian process costs the cube of what it has seen: about half a second per proposal here.
GP_LIMIT = 100


def make_sampler(search: SearchConfig, study: optuna.Study, space: StudySpace, *, stream: int) -> BaseSampler:
    """The sampler of a study's next proposal.

    Its seed follows from the search's seed, the study and how much the study holds, so a resumed search
    neither repeats its earlier random points nor needs any sampler state kept.
    """
    trials = study.get_trials(deepcopy=False)
    seed = (search.seed * 1_000_003 + stream * 10_007 + len(trials)) % 2**32
    startup = 2 * len(space.searched())
    kind = _choose(trials, space) if search.sampler == "auto" else search.sampler
    if kind == "random":
        return RandomSampler(seed=seed)
    if kind == "tpe":
        return TPESampler(seed=seed, n_startup_trials=startup)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # The same point trained twice gives two AUCs, hence not deterministic.
        return GPSampler(seed=seed, n_startup_trials=startup, deterministic_objective=False)


def _choose(trials: list[optuna.trial.FrozenTrial], space: StudySpace) -> str:
    """The Gaussian process does with a quarter of the trials what TPE does, but it does not see pruned trials
    and cannot model parameters that are sometimes inert."""
    states = [trial.state for trial in trials]
    pruned, complete = states.count(TrialState.PRUNED), states.count(TrialState.COMPLETE)
    if space.conditional or len(trials) > GP_LIMIT or pruned > complete:
        return "tpe"
    return "gp"
