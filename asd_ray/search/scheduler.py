"""Tune's view of stopping: a scheduler that only passes on what the studies say."""

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from asd_ray.search.searcher import StudySearcher


class StudyScheduler(FIFOScheduler):
    """Stops a trial when the studies say so."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self._searcher.judge(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Its process died, or its lane ended. What the searcher makes of it, it does when Tune tells it next."""
        lines = str(trial.get_error() or "its process died").strip().splitlines()
        self._searcher.errors[trial.trial_id] = lines[-1]

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The last epoch comes this way."""
        self._searcher.judge(trial.trial_id, result)
