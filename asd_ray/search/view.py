"""What a sampler sees of a study: an excerpt, where the whole is more than it can digest."""

import copy
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from asd_ray.search.choice import worth

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class ViewSampler(BaseSampler):
    """Lets a sampler look at an excerpt of the study instead of the study."""

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
    """A study of given trials; what a sampler notes about the trial that it samples goes nowhere."""

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
    """The `best` complete trials, the newest finished ones up to `limit` in all, and what runs; in their order."""
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    kept = {trial.number for trial in sorted(complete, key=worth, reverse=True)[:best]}
    for trial in reversed(trials):
        if len(kept) >= limit:
            break
        if trial.state in FINISHED:
            kept.add(trial.number)
    return [trial for trial in trials if trial.number in kept or trial.state is TrialState.RUNNING]
