"""Which sampler proposes trials, and which trials it sees. docs/LOG.md has the figures behind the numbers here."""

import copy
from collections.abc import Container, Sequence
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.space import StudySpace
from asd_ray.search.studies.trial_store import worth

Kind = Literal["random", "tpe", "gp"]
# The cost of the Gaussian process grows with the cube of the trials it sees: 0.1 s with 100, 0.4 s with 300.
GP_LIMIT = 100
# TPE calls the best tenth of the trials good, 25 at most. From a longer list it would learn no more about good
# points, and with 10,000 trials it would take seven times as long.
TPE_LIMIT = 500
TPE_GOOD = 25
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
STARTUP = 2  # random trials per searched number; half and twice as many did about as well


def make_sampler(search: SearchConfig, study: optuna.Study, space: StudySpace, *, stream: int) -> BaseSampler:
    """The sampler of a study's next proposal.

    Its seed follows from the search's seed, the study and how many trials the study holds, so a resumed search
    neither repeats its earlier random points nor needs to keep any sampler state.
    """
    trials = study.get_trials(deepcopy=False)
    seed = (search.seed * 1_000_003 + stream * 10_007 + len(trials)) % 2**32
    kind = choose(trials, space, prune=search.prune) if search.sampler == "auto" else search.sampler
    return build(kind, trials, seed=seed, startup=STARTUP * len(space.searched()), directions=study.directions)


def choose(trials: Sequence[FrozenTrial], space: StudySpace, *, prune: bool) -> Kind:
    """What `sampler: auto` means: TPE; the Gaussian process only where nothing is pruned and studies are small.

    The figures are the regret of the Gaussian process minus that of TPE, in AUC points, each measured in 24
    scripted searches with three configs confirmed.

    Nothing pruned, 48 trials: -0.3 +- 0.1 where noise is low and the best may lie at the ends of the ranges, as
    the published noise_prob of 1 does; -0.1 +- 0.1 there with the noise of 100 clips of either kind; 0.0 where the
    best lies nearer the middle, where TPE looks first (there, without confirmation, the Gaussian process is
    0.25 +- 0.1 worse).

    Pruned, at the cost of 24 trainings: -0.2 to +0.15 in four worlds, none beyond two standard errors, for twenty
    times the time. Beginning with the Gaussian process and changing to TPE once most trials are pruned was not
    measurably better than TPE throughout.
    """
    states = [trial.state for trial in trials]
    # The Gaussian process leaves out pruned trials, also those of an earlier search. Predictions of how they would
    # have ended made it no better than it is without them, and no better than TPE, which uses them as they are.
    mostly_pruned = states.count(TrialState.PRUNED) > states.count(TrialState.COMPLETE)
    # The Gaussian process would leave parameters that are sometimes inert to chance.
    return "tpe" if prune or space.conditional or mostly_pruned or len(trials) > GP_LIMIT else "gp"


def build(
    kind: Kind,
    trials: Sequence[FrozenTrial],
    *,
    seed: int,
    startup: int,
    directions: Sequence[StudyDirection] = (StudyDirection.MAXIMIZE,),
) -> BaseSampler:
    """A sampler that sees only the trials that it can use; the first `startup` points are random."""
    if kind == "random":
        return RandomSampler(seed=seed)
    if kind == "tpe":
        tpe = TPESampler(seed=seed, n_startup_trials=startup)
        if len(trials) <= TPE_LIMIT:
            return tpe
        return ViewSampler(tpe, excerpt(trials, TPE_LIMIT, best=TPE_GOOD), directions=directions)
    # The same point trained twice gives two AUCs, hence not deterministic.
    gp = GPSampler(
        seed=seed, n_startup_trials=startup, deterministic_objective=False, warn_independent_sampling=False
    )
    # It sees running trials in any case. It does not use pruned ones, so they must not crowd out complete ones.
    usable = [trial for trial in trials if trial.state is not TrialState.PRUNED]
    if len(usable) <= GP_LIMIT:
        return gp
    return ViewSampler(gp, excerpt(usable, GP_LIMIT, best=GP_LIMIT // 2), directions=directions)


class ViewSampler(BaseSampler):
    """Lets a sampler see an excerpt of the study instead of the whole study."""

    def __init__(
        self,
        inner: BaseSampler,
        trials: Sequence[FrozenTrial],
        *,
        directions: Sequence[StudyDirection] = (StudyDirection.MAXIMIZE,),
    ) -> None:
        """`trials` is what `inner` sees, whatever the study holds."""
        self.inner, self.trials = inner, list(trials)
        self._view = optuna.Study("view", _Excerpt(self.trials, directions))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(self._view, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.inner.sample_relative(self._view, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(self._view, trial, param_name, param_distribution)


class _Excerpt(InMemoryStorage):
    """A study of given trials; it drops what a sampler notes about the trial that it samples."""

    def __init__(self, trials: list[FrozenTrial], directions: Sequence[StudyDirection]) -> None:
        super().__init__()
        self._shown, self._directions = trials, list(directions)

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = [trial for trial in self._shown if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        pass


def excerpt(trials: Sequence[FrozenTrial], limit: int, *, best: int) -> list[FrozenTrial]:
    """The `best` complete trials, the newest finished ones up to `limit` in all, and running ones, in order."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    kept = {trial.number for trial in sorted(complete, key=worth, reverse=True)[:best]}
    for trial in reversed(trials):
        if len(kept) >= limit:
            break
        if trial.state in FINISHED:
            kept.add(trial.number)
    return [trial for trial in trials if trial.number in kept or trial.state is TrialState.RUNNING]
