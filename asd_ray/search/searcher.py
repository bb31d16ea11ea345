"""Tune's view of the search: a searcher and a scheduler that only pass on what the studies say.

When the studies have no more trials, the searcher hands out the trainings that confirm the best of them.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from asd_ray.deadline import Deadline
from asd_ray.errors import EnvironmentFailure, InputError
from asd_ray.lanes.elastic import AS_MANY_AS_COME, FixedLanes, Lanes
from asd_ray.scoring.scores import AUTO
from asd_ray.search.assignments import Assigned, Assignments
from asd_ray.search.confirmation import Confirmation, SeedOutcome, SeedTraining, open_confirmation
from asd_ray.search.events import Begun, Ended, EpochDone, Left, OnEvent, Planned
from asd_ray.search.runfolder import Run
from asd_ray.search.studies.studies import Studies
from asd_ray.search.studies.trial_store import Outcome, Proposal
from asd_ray.search.trial_runner import config_of, step_of
from asd_ray.training.messages import Assignment, End, Ending, EpochTrained

DEATHS = 3  # a trial fails once its process has died this often after the same epoch
LOST_LANES = 5  # the search stops once a trial has lost its lane this often: every other trial would, too
Method = TypeVar("Method", bound=Callable[..., Any])


def or_stop(answer: Any) -> Callable[[Method], Method]:
    """Make a method of the searcher return `answer` from the moment when a disk or a server fails.

    Tune would blame the trial for an exception, and would try it again or report it as complete.
    """

    def wrap(method: Method) -> Method:
        @wraps(method)
        def guarded(searcher: "StudySearcher", *arguments: Any, **named: Any) -> Any:
            if not searcher.broken:
                try:
                    return method(searcher, *arguments, **named)
                except (InputError, EnvironmentFailure) as error:
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
        """`total`: how many trials this call will run, unless the deadline comes first; `lanes`: those that the
        trials run on (default: any number)."""
        super().__init__(metric="training_iteration", mode="max")
        self.studies, self._on_event, self._total = studies, on_event, total
        self._run, self._folder = run, folder
        self._joint = run.trained_types if run.config.search.scope == "joint" else ()
        self._deadline, self._lanes = deadline or Deadline(), lanes or FixedLanes(AS_MANY_AS_COME)
        self._assigned = Assignments()
        self._ended = 0
        self.left: list[str] = []  # names of what the deadline stopped; the next call goes on with it
        self.confirmation: Confirmation | None = None  # set once the search itself has ended
        self._to_confirm: list[SeedTraining] = []
        self.trouble = ""  # why the search cannot go on
        self.broken = False  # nothing can be written any more

    def __reduce__(self) -> Any:
        """Pickle no state: Tune pickles its searcher, but the studies are its state, and they are on disk."""
        return StudySearcher.__new__, (StudySearcher,)

    def set_search_properties(self, metric: Any, mode: Any, config: Any, **spec: Any) -> bool:
        return True

    @or_stop(Searcher.FINISHED)
    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial; None makes Tune ask again later."""
        self.trouble = self.trouble or self._lanes.trouble
        if self.trouble or self._deadline.over:
            return Searcher.FINISHED
        left = self._count_left()
        self._lanes.want(left)
        if left and len(self._assigned) >= self._lanes.room:
            return None
        assigned = self._assigned.next_again() or self._next_trial() or self._next_training()
        if assigned is not None:
            self._assigned.begin(trial_id, assigned)
            self._on_event(Begun.of(assigned.assignment, lanes=self._lanes.room))
            return config_of(assigned.assignment)
        # A trial at work may be lost and begin again, or may wake up a resting study.
        return None if len(self._assigned) else Searcher.FINISHED

    def _count_left(self) -> int:
        """Trials and trainings that run or are left; how many will confirm is only known once the search ends."""
        if self.confirmation is not None:
            return self._assigned.begun + len(self._to_confirm)
        search = self._run.config.search
        return max(self._assigned.begun + self.studies.num_missing, search.seeds if search.confirm else 0)

    def _next_trial(self) -> Assigned | None:
        """The next trial of the search; None if there is none now, or none any more."""
        proposal = self.studies.ask() if self.confirmation is None else None
        if proposal is None:
            return None
        assignment = Assignment(
            name=proposal.uid,
            params=proposal.params,
            machine_types=tuple(self._joint or proposal.machine_types),
        )
        return Assigned(assignment=assignment, work=proposal)

    def _next_training(self) -> Assigned | None:
        """The next training that confirms; None while trials of the search are at work, and when none is left."""
        if not self._run.config.search.confirm or self._assigned.count(Proposal):
            return None
        if self.confirmation is None:
            self._begin_confirming()
        training = self._begin_training()
        if training is None:
            return None
        candidate = training.candidate
        assignment = Assignment(
            name=training.name,
            folder=training.folder,
            params=candidate.params,
            machine_types=tuple(candidate.machine_types),
            seed=training.seed,
            score_at=(self._run.config.train.epochs,),
        )
        return Assigned(assignment=assignment, work=training)

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

    def _begin_training(self) -> SeedTraining | None:
        assert self.confirmation is not None
        while self._to_confirm:
            training = self._to_confirm.pop(0)
            if not self.confirmation.spares(training.candidate):  # another seed may have failed meanwhile
                self.confirmation.begin(training)
                return training
        return None

    @or_stop(True)
    def judge(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Pass an epoch's report on to the studies; True when the trial should stop."""
        step = step_of(result)
        if not isinstance(step, EpochTrained):
            return False
        assigned, report = self._assigned[trial_id], step.report
        assigned.last = report
        self._on_event(EpochDone(name=assigned.assignment.name, report=report, lane=step.lane))
        if isinstance(assigned.work, Proposal) and report.objective:
            metrics = {name: asdict(found) for name, found in report.choosing.items()}
            scores = report.score if self._run.config.score.name == AUTO else None
            uid = assigned.work.uid
            if self.studies.report(uid, report.epoch, report.objective, metrics=metrics, scores=scores):
                assigned.pruned = True
                return True
        if self._deadline.over and not result.get("done"):
            assigned.stopping = True
            return True
        return False

    def note_death(self, trial_id: str, why: str) -> None:
        """Note why the process of a trial died; Tune will report next that the trial is over."""
        if trial_id in self._assigned:
            self._assigned[trial_id].died_of = why

    @or_stop(None)
    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial of Tune is over; with `error`, its process has died for some reason."""
        assigned = self._assigned.end(trial_id)
        if assigned is None:
            return
        step = Ending(End.LANE_STUCK, assigned.died_of) if error else step_of(result or {})
        ending = step if isinstance(step, Ending) else None
        if ending is not None and ending.end is End.BROKEN:
            raise EnvironmentFailure(ending.reason)
        if assigned.stopping:
            work = assigned.work
            self.left.append(work.uid if isinstance(work, Proposal) else work.folder)
            self._on_event(Left(name=assigned.assignment.name))
            return
        if ending is not None and ending.end in (End.LANE_ENDED, End.LANE_STUCK):
            ending = self._lose(assigned, ending)
            if ending is None:
                self._on_event(Left(name=assigned.assignment.name))
                return
        if isinstance(assigned.work, SeedTraining):
            self._on_confirmed(assigned, assigned.work, ending)
        else:
            self._on_trial(assigned, assigned.work, ending)

    def _lose(self, lost: Assigned, ending: Ending) -> Ending | None:
        """Let work that lost its process or its lane begin again; if it is itself at fault, return its ending.

        If the lanes are at fault, the work stays as it is, and the next call goes on with it.
        """
        times = self._assigned.count_loss(lost, ending.end)
        if ending.end is End.LANE_STUCK and times >= DEATHS:
            return Ending(End.LOST, f"its process died {DEATHS} times: {ending.reason}")
        if ending.end is End.LANE_ENDED and times >= LOST_LANES:
            self.trouble = self.trouble or ending.reason
        else:
            self._assigned.begin_again(lost)
        return None

    def _on_trial(self, assigned: Assigned, proposal: Proposal, ending: Ending | None) -> None:
        outcome: Outcome = "failed" if ending else "pruned" if assigned.pruned else "complete"
        reason = ending.reason if ending else ""
        best_of = self.studies.tell(proposal.uid, outcome, reason=reason)
        self._ended += 1
        self._on_event(
            Ended(
                name=proposal.uid,
                proposal=proposal,
                outcome=outcome,
                reason=reason,
                epochs=assigned.epoch,
                values=dict(assigned.last.objective) if assigned.last else {},
                number=self._ended,
                total=self._total,
                best_of=best_of,
            )
        )

    def _on_confirmed(self, assigned: Assigned, training: SeedTraining, ending: Ending | None) -> None:
        assert self.confirmation is not None
        if ending is None and assigned.epoch < self._run.config.train.epochs:
            self._on_event(Left(name=training.name))
            return  # it stopped half-way, for whatever reason: no result
        candidate, reason = training.candidate, ending.reason if ending else ""
        values: dict[str, float] = {}
        if assigned.last is not None:
            # Use the score that the search chose for this config: chosen anew, it could differ from seed to seed.
            by_score = assigned.last.objective_by_score
            values = dict(assigned.last.objective) | {
                name: value
                for name, score in candidate.scores.items()
                if (value := by_score.get(name, {}).get(score)) is not None
            }
        self.confirmation.end(
            training,
            SeedOutcome(
                outcome="complete" if ending is None else "lost" if ending.end is End.LOST else "failed",
                reason=reason,
                objective=values,
            ),
        )
        self._ended += 1
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
                outcome="failed" if ending else "complete",
                reason=reason,
                epochs=assigned.epoch,
                values=values,
                number=self._ended,
                total=self._ended + self._assigned.count(SeedTraining) + len(self._to_confirm),
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
        """Note that a trial's process died; the searcher acts on it when Tune calls it next."""
        lines = str(trial.get_error() or "its process died").strip().splitlines()
        self._searcher.note_death(trial.trial_id, lines[-1])

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Judge the last epoch, which Tune reports here."""
        self._searcher.judge(trial.trial_id, result)
