"""What the searcher makes of trials that are lost with their process or their lane."""

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from asd_ray.config import RunConfig, replace_settings
from asd_ray.search import runfolder
from asd_ray.search.events import Begun, Ended, Event, Left
from asd_ray.search.searcher import DEATHS, LOST_LANES, StudySearcher
from asd_ray.search.space import load_space
from asd_ray.search.studies.storage import open_studies
from asd_ray.training.messages import End
from tests.messages import assigned, ended, trained

Told = list[Event]


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def searcher(shards: Path, tmp_path: Path, told: Told) -> StudySearcher:
    """Of a search of two trials."""
    config = replace_settings(RunConfig(), ["search.trials=2", "train.epochs=1"])
    space, text = load_space("noisy_arcmix")
    plan = runfolder.plan_clips(shards, "split")
    run = runfolder.plan_run(shards, config, plan=plan, space=space, space_text=text)
    studies, _ = open_studies(tmp_path, run, take_over=True)
    return StudySearcher(studies, run, tmp_path, on_event=told.append, total=2)


def lose(searcher: StudySearcher, number: str, end: End | None) -> None:
    """A trial is lost with its process (None), or with its lane."""
    if end is None:
        searcher.on_trial_complete(number, error=True)
    else:
        searcher.on_trial_complete(number, ended(end, "gone"))


def state_of(searcher: StudySearcher, uid: str) -> tuple[TrialState, str]:
    name, _, number = uid.rpartition("-")
    trial: optuna.trial.FrozenTrial = searcher.studies.trials(name)[int(number)]
    return trial.state, trial.user_attrs.get("reason", "")


def test_a_lost_trial_is_handed_out_again_before_any_new_one(searcher: StudySearcher, told: Told) -> None:
    first = searcher.suggest("1")
    searcher.on_trial_complete("1", error=True)
    assert searcher.suggest("2") == first
    uid = assigned(first).name
    assert [(type(event), event.name) for event in told] == [(Begun, uid), (Left, uid), (Begun, uid)]
    second = searcher.suggest("3")
    assert assigned(second).name != uid


def test_nothing_is_finished_while_a_running_trial_may_be_lost(searcher: StudySearcher) -> None:
    searcher.suggest("1")
    second = searcher.suggest("2")
    assert searcher.suggest("3") is None
    searcher.on_trial_complete("2", error=True)
    assert searcher.suggest("4") == second


def test_a_trial_that_kills_its_process_time_after_time_has_failed(searcher: StudySearcher, told: Told) -> None:
    uid = assigned(searcher.suggest("0")).name
    for death in range(DEATHS):
        searcher.note_death(str(death), "it ran out of memory")
        assert state_of(searcher, uid)[0] is TrialState.RUNNING
        searcher.on_trial_complete(str(death), error=True)
        if death + 1 < DEATHS:
            assert assigned(searcher.suggest(str(death + 1))).name == uid
    assert state_of(searcher, uid) == (TrialState.FAIL, f"its process died {DEATHS} times: it ran out of memory")
    assert assigned(searcher.suggest("next")).name != uid
    assert not searcher.trouble
    assert [event.outcome for event in told if isinstance(event, Ended)] == ["failed"]


def test_a_trial_over_which_lanes_fall_silent_has_failed_and_does_not_stop_the_search(
    searcher: StudySearcher,
) -> None:
    uid = assigned(searcher.suggest("0")).name
    for loss in range(DEATHS):
        searcher.on_trial_complete(str(loss), ended(End.LANE_STUCK, "no sign of life"))
        searcher.suggest(str(loss + 1))
    assert state_of(searcher, uid)[0] is TrialState.FAIL
    assert not searcher.trouble


def test_a_trial_that_gets_on_between_its_losses_goes_on(searcher: StudySearcher) -> None:
    uid = assigned(searcher.suggest("0")).name
    for loss in range(2 * LOST_LANES):
        searcher.judge(str(loss), trained(loss + 1))
        lose(searcher, str(loss), (None, End.LANE_ENDED, End.LANE_STUCK)[loss % 3])
        assert assigned(searcher.suggest(str(loss + 1))).name == uid
    assert state_of(searcher, uid)[0] is TrialState.RUNNING
    assert not searcher.trouble


def test_lanes_that_are_lost_time_after_time_stop_the_search_and_not_the_trial(searcher: StudySearcher) -> None:
    uid = assigned(searcher.suggest("0")).name
    for loss in range(LOST_LANES):
        searcher.on_trial_complete(str(loss), ended(End.LANE_ENDED, "every lane has ended"))
        if loss + 1 < LOST_LANES:
            assert assigned(searcher.suggest(str(loss + 1))).name == uid
    assert searcher.trouble == "every lane has ended"
    assert searcher.suggest("next") == Searcher.FINISHED
    assert state_of(searcher, uid)[0] is TrialState.RUNNING  # the next call adopts it


EPOCHS, LANES, TRIALS = 4, 3, 9


class Tuned:
    """What Tune and its lanes do with a searcher, one event at a time, from a seed: no Ray, no training.

    A trial that was lost with its process or its lane begins again, and its lane replays the epochs that it has.
    """

    def __init__(self, searcher: StudySearcher, rng: random.Random) -> None:
        self.searcher, self.rng = searcher, rng
        self.running: dict[str, tuple[str, int]] = {}  # by Tune's id: the trial's name, and its last epoch
        self.ended: list[str] = []
        self._lost: set[tuple[str, int]] = set()
        self._ids = itertools.count()

    def step(self) -> bool:
        """Something that may happen next; False when there is nothing more to do."""
        while len(self.running) < LANES:
            order = self.searcher.suggest(number := str(next(self._ids)))
            if not isinstance(order, dict):
                assert self.running or order == Searcher.FINISHED  # or Tune would wait for ever
                break
            assert assigned(order).name not in {uid for uid, _ in self.running.values()} | set(self.ended)
            self.running[number] = (assigned(order).name, 0)
        if not self.running:
            return False
        number = self.rng.choice(sorted(self.running))
        what = self.rng.random()
        if what < 0.25 and self.running[number] not in self._lost:
            self._lose(number)
        elif what < 0.3:
            self._end(number, ended(End.FAILED, "the loss is nan"))
        else:
            self._train(number)
        return True

    def _lose(self, number: str) -> None:
        self._lost.add(self.running.pop(number))
        lose(self.searcher, number, self.rng.choice((None, End.LANE_ENDED, End.LANE_STUCK)))

    def _train(self, number: str) -> None:
        uid, epoch = self.running[number]
        self.running[number] = (uid, epoch + 1)
        values = random.Random(f"{uid} {epoch + 1}")  # those of the trial, however often it is replayed
        objective = {name: values.random() for name in self.searcher.studies.machine_types}
        result = trained(epoch + 1, objective, done=epoch + 1 == EPOCHS)
        if self.searcher.judge(number, result) or result["done"]:
            self._end(number, result)

    def _end(self, number: str, result: dict[str, Any]) -> None:
        uid, _ = self.running.pop(number)
        self.ended.append(uid)
        self.searcher.on_trial_complete(number, result)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_lost_and_whenever_the_driver_is_killed_every_trial_ends_once(
    seed: int, shards: Path, tmp_path: Path
) -> None:
    config = replace_settings(RunConfig(), [f"search.trials={TRIALS}", f"train.epochs={EPOCHS}"])
    space, text = load_space("noisy_arcmix")
    plan = runfolder.plan_clips(shards, "split")
    run = runfolder.plan_run(shards, config, plan=plan, space=space, space_text=text)
    rng, told, ended = random.Random(seed), Told(), list[str]()
    for steps in (rng.randint(1, 15), rng.randint(1, 15), 1000):  # killed twice, then left alone
        studies, _ = open_studies(tmp_path, run, take_over=True)
        tuned = Tuned(StudySearcher(studies, run, tmp_path, on_event=told.append, total=TRIALS), rng)
        tuned.ended = ended
        while steps and tuned.step():
            steps -= 1
    assert steps  # it came to its end by itself
    assert not tuned.searcher.trouble
    assert len(set(ended)) == len(ended) == TRIALS
    assert Counter(event.name for event in told if isinstance(event, Ended)) == Counter(ended)
    for name in studies.machine_types:
        assert len(studies.trials(name)) == TRIALS
        assert all(trial.state.is_finished() for trial in studies.trials(name))
