"""Tune's view of the search: a searcher that only passes on what the studies say.

When the studies have no more trials, the searcher hands out the trainings that confirm the best of them.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from asd_ray.deadline import Deadline
from asd_ray.errors import InputError
from asd_ray.lanes.elastic import AS_MANY_AS_COME, FixedLanes, Lanes
from asd_ray.lanes.link import LaneError
from asd_ray.scoring.scores import AUTO
from asd_ray.search.confirmation import Confirmation, Training, open_confirmation
from asd_ray.search.confirmation import Outcome as Confirmed
from asd_ray.search.events import Begun, Ended, EpochDone, Left, OnEvent, Planned
from asd_ray.search.runfolder import Run
from asd_ray.search.studies.studies import Outcome, Proposal, Studies

DEATHS = 3  # of its process after one epoch, and a trial has failed
LOST_LANES = 5  # by one trial after one epoch, and something is wrong that every other trial would meet too
Method = TypeVar("Method", bound=Callable[..., Any])


def or_stop(answer: Any) -> Callable[[Method], Method]:
    """Make a method of the searcher give `answer`, then and ever after, when a disk or a server fails.

    An exception would be taken by Tune for one of the trial, which it would try again, or tell as complete.
    """

    def wrap(method: Method) -> Method:
        @wraps(method)
        def guarded(searcher: "StudySearcher", *arguments: Any, **named: Any) -> Any:
            if not searcher.broken:
                try:
                    return method(searcher, *arguments, **named)
                except InputError as error:
                    searcher.broken, searcher.trouble = True, str(error)
            return answer

        return cast(Method, guarded)

    return wrap


class StudySearcher(Searcher):
    """Tune's search algorithm: asks the studies, and tells them how trials ended."""

    def __init__(
        self,
        studies: Studies,
        run: Run,
        folder: Path,
        *,
        on_event: OnEvent,
        total: int,
        deadline: Deadline | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        """`total`: trials that this call will run, unless the deadline comes before; `lanes`: what they run on
        (default: any number)."""
        super().__init__(metric="training_iteration", mode="max")
        self.studies, self._on_event, self._total = studies, on_event, total
        self._run, self._folder = run, folder
        self._joint = run.trained_types if run.config.search.scope == "joint" else ()
        self._running: dict[str, Proposal] = {}
        self._pruned: set[str] = set()
        self._deadline, self._lanes = deadline or Deadline(), lanes or FixedLanes(AS_MANY_AS_COME)
        self._stopping: set[str] = set()  # for the deadline
        self.left: list[str] = []  # names of what the deadline stopped; the next call goes on with it
        self._last: dict[str, dict[str, Any]] = {}
        self._ended = 0
        self.confirmation: Confirmation | None = None  # once the search itself has ended
        self._to_confirm: list[Training] = []
        self._confirming: dict[str, Training] = {}
        self._orders: dict[str, dict[str, Any]] = {}  # what is running, as it was handed to Tune
        self._again: list[tuple[Proposal | Training, dict[str, Any]]] = []  # lost with a process or a lane
        self._losses: Counter[tuple[str, int]] = Counter()  # by name of the order and last epoch
        self.errors: dict[str, str] = {}  # by Tune's trial id: what its process or lane ended with
        self.trouble = ""  # why the search cannot go on
        self.broken = False  # nothing can be kept any more

    def __reduce__(self) -> Any:
        """Tune pickles its searcher; the studies are the state, and they are on disk."""
        return StudySearcher.__new__, (StudySearcher,)

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    @or_stop(Searcher.FINISHED)
    def suggest(self, trial_id: str) -> Any:
        self.trouble = self.trouble or self._lanes.trouble
        if self.trouble or self._deadline.over:
            return Searcher.FINISHED
        left = self._count_left()
        self._lanes.want(left)
        if left and len(self._orders) >= self._lanes.room:
            return None
        order = self._suggest_again(trial_id) if self._again else self._suggest_new(trial_id)
        if isinstance(order, dict):
            self._orders[trial_id] = order
            self._on_event(Begun.of(order, lanes=self._lanes.room))
        elif self._orders:
            # Tune takes it for "wait": what is running may be lost, and begin again, or wake a resting study up.
            return None
        return order

    def _count_left(self) -> int:
        """Trials and trainings that run or are still to; how many will confirm is known once the search ends."""
        begun = len(self._orders) + len(self._again)
        if self.confirmation is not None:
            return begun + len(self._to_confirm)
        search = self._run.config.search
        return max(begun + self.studies.num_missing, search.seeds if search.confirm else 0)

    def _suggest_again(self, trial_id: str) -> dict[str, Any]:
        """What was lost with its process; it goes on from its last epoch."""
        lost, order = self._again.pop(0)
        if isinstance(lost, Training):
            self._confirming[trial_id] = lost
        else:
            self._running[trial_id] = lost
        return order

    def _suggest_new(self, trial_id: str) -> Any:
        proposal = self.studies.ask() if self.confirmation is None else None
        if proposal is None:
            return self._suggest_confirming(trial_id)
        self._running[trial_id] = proposal
        return {
            "uid": proposal.uid,
            "params": proposal.params,
            "machine_types": list(self._joint or proposal.machine_types),
        }

    def _suggest_confirming(self, trial_id: str) -> Any:
        """The next training that confirms; None, which Tune takes for "wait", while trials of the search run."""
        if not self._run.config.search.confirm:
            return Searcher.FINISHED
        if self.confirmation is None:
            if self._running:
                return None
            self._begin_confirming()
        training = self._next_training()
        if training is None:
            return Searcher.FINISHED
        self._confirming[trial_id] = training
        return {
            "uid": training.name,
            "folder": training.place,
            "params": training.candidate.params,
            "machine_types": training.candidate.machine_types,
            "seed": training.seed,
            "score_at": [self._run.config.train.epochs],
        }

    def _begin_confirming(self) -> None:
        self.confirmation = open_confirmation(self._folder, self._run, self.studies)
        self._to_confirm = self.confirmation.waiting()
        self._ended = 0
        if self._to_confirm:
            self._on_event(Planned.of(self.studies, total=len(self._to_confirm), confirming=True))
            uids = dict.fromkeys(training.candidate.uid for training in self._to_confirm)
            seeds = {training.seed for training in self._to_confirm}
            self._on_event(
                f"confirming {', '.join(uids)} with {len(seeds)} fresh seeds: {len(self._to_confirm)} trainings"
            )

    def _next_training(self) -> Training | None:
        assert self.confirmation is not None
        while self._to_confirm:
            training = self._to_confirm.pop(0)
            if not self.confirmation.spares(training.candidate):  # another seed may have failed meanwhile
                self.confirmation.begin(training)
                return training
        return None

    @or_stop(True)
    def judge(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Pass an epoch's report on to the studies; True when the trial is to be stopped."""
        if "report" not in result:
            return False
        report = json.loads(result["report"])
        self._last[trial_id] = report
        self._on_event(EpochDone(name=self._orders[trial_id]["uid"], report=report, lane=result.get("lane", "")))
        if trial_id in self._running and report["objective"]:
            uid, metrics = self._running[trial_id].uid, report["choosing"]
            scores = report["score"] if self._run.config.score.name == AUTO else None
            if self.studies.report(uid, report["epoch"], report["objective"], metrics=metrics, scores=scores):
                self._pruned.add(trial_id)
                return True
        if self._deadline.over and not result.get("done"):
            self._stopping.add(trial_id)
            return True
        return False

    @or_stop(None)
    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """`error`: its process or its lane has failed, not the trial."""
        order = self._orders.pop(trial_id, None)
        if result and "broken" in result:
            raise InputError(result["broken"])
        if trial_id in self._stopping:
            trial = self._running.pop(trial_id, None)
            training = self._confirming.pop(trial_id, None)
            self.left.append(trial.uid if trial else training.place if training else trial_id)
            if order is not None:
                self._on_event(Left(name=order["uid"]))
            return
        if error and order is not None:
            reason = self._lose(trial_id, order)
            if not reason:
                self._on_event(Left(name=order["uid"]))
                return
            result = {"failed": reason, "lost": True}
        if trial_id in self._confirming:
            self._on_confirmed(self._confirming.pop(trial_id), trial_id, result=result)
            return
        proposal = self._running.pop(trial_id, None)
        if proposal is None:
            return
        report = self._last.pop(trial_id, {"epoch": 0, "objective": {}})
        reason = (result or {}).get("failed", "")
        outcome: Outcome = "failed" if reason else "pruned" if trial_id in self._pruned else "complete"
        best_of = self.studies.tell(proposal.uid, outcome, reason=reason)
        self._ended += 1
        ended = Ended(
            name=proposal.uid,
            proposal=proposal,
            outcome=outcome,
            reason=reason,
            epochs=report["epoch"],
            values=report["objective"],
            number=self._ended,
            total=self._total,
            best_of=best_of,
        )
        self._on_event(ended)

    def _lose(self, trial_id: str, order: dict[str, Any]) -> str:
        """Have a trial that was lost with its process or lane go on; the reason if it is at fault itself.

        If the lanes are, it stays as it is, and the next call goes on with it.
        """
        name, why = order["uid"], self.errors.pop(trial_id, "its process died")
        # Losses after the same epoch: where machines come and go a long trial may be lost often, and still go on.
        place = (name, self._last.get(trial_id, {"epoch": 0})["epoch"])
        self._losses[place] += 1
        # Tune hands on text alone. A lane that hung over a command, LaneStuckError, is the trial's fault.
        lane_lost = LaneError.__name__ in re.findall(r"\w+", why)
        if not lane_lost and self._losses[place] >= DEATHS:
            return f"its process died {DEATHS} times: {why}"
        lost = self._running.pop(trial_id, None) or self._confirming.pop(trial_id, None)
        if self._losses[place] >= LOST_LANES:
            self.trouble = self.trouble or why
        elif lost is not None:
            self._again.append((lost, order))
        return ""

    def _on_confirmed(self, training: Training, trial_id: str, *, result: dict[str, Any] | None) -> None:
        assert self.confirmation is not None
        report = self._last.pop(trial_id, {"epoch": 0, "objective": {}})
        reason = (result or {}).get("failed", "")
        if not reason and report["epoch"] < self._run.config.train.epochs:
            self._on_event(Left(name=training.name))
            return  # stopped half-way, by whatever: no result
        lost = "lost" in (result or {})
        # By the score that the search chose for it: chosen anew, every seed would have another one.
        values = report["objective"] | {
            name: value
            for name, score in training.candidate.scores.items()
            if (value := report.get("objective_by_score", {}).get(name, {}).get(score)) is not None
        }
        outcome = Confirmed(
            outcome="complete" if not reason else "lost" if lost else "failed",
            reason=reason,
            objective=values,
        )
        self.confirmation.end(training, outcome)
        self._ended += 1
        candidate = training.candidate
        proposal = Proposal(
            uid=candidate.uid,
            owner=candidate.owner,
            machine_types=tuple(candidate.machine_types),
            params=candidate.params,
        )
        self._on_event(
            Ended(
                name=training.name,
                proposal=proposal,
                outcome="failed" if reason else "complete",
                reason=reason,
                epochs=report["epoch"],
                values=values,
                number=self._ended,
                total=self._ended + len(self._confirming) + len(self._to_confirm),
                seed=training.seed,
            )
        )

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise InputError("a search is resumed by calling it again, not by Tuner.restore")


class StudyScheduler(FIFOScheduler):
    """Tune's view of stopping: stops a trial when the studies say so."""

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
