"""Deadlines and the stopping rule: on a scripted clock, and on studies with a scripted objective."""

from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from asd_ray import deadline as clock
from asd_ray.config import RunConfig, SearchConfig, patience_of, replace_settings
from asd_ray.deadline import Deadline
from asd_ray.errors import InputError
from asd_ray.search.searcher import StudySearcher
from asd_ray.search.space import load_space
from asd_ray.search.studies.bookkeeping import Gain, gain_of
from asd_ray.search.studies.storage import open_studies as open_studies_of
from asd_ray.search.studies.studies import Proposal, Studies
from asd_ray.search.studies.trial_store import TAUGHT
from tests.messages import assigned, trained
from tests.search.test_warm_start import make_run

TYPES = ("fan", "pump", "valve")
PUBLISHED = {"margin": 0.7, "scale": 30.0, "mixup_alpha": 0.5, "noise_prob": 1.0, "mix_prob": 1.0}


def test_a_deadline_comes_after_its_hours_of_the_call_and_never_without(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    deadline, never = Deadline(0.5, began=900.0), Deadline()
    now[0] = 900.0 + 1799.9
    assert not deadline.over
    now[0] = 900.0 + 1800.0
    assert deadline.over
    now[0] = 1e9
    assert not never.over


def test_a_gain_is_a_complete_trial_that_is_strictly_better() -> None:
    gain = Gain()
    steps = [
        (TrialState.PRUNED, None, 1),
        (TrialState.COMPLETE, 0.5, 0),
        (TrialState.COMPLETE, 0.5, 1),
        (TrialState.FAIL, None, 1),
        (TrialState.PRUNED, None, 2),
        (TrialState.COMPLETE, 0.6, 0),
    ]
    for state, value, since in steps:
        gain.note(state, value)
        assert gain.since == since
    assert gain.best == 0.6


def test_a_gain_is_read_back_in_the_order_in_which_trials_finished_without_those_of_other_searches() -> None:
    def finished(number: int, minute: int, value: float, *, taught: bool = False) -> FrozenTrial:
        trial = optuna.create_trial(value=value, user_attrs={TAUGHT: "x:fan-0"} if taught else {})
        trial.number, trial.datetime_complete = number, datetime(2026, 1, 1) + timedelta(minutes=minute)
        return trial

    trials = [finished(0, 9, 0.5), finished(1, 1, 0.9), finished(2, 5, 0.7), finished(3, 2, 1.0, taught=True)]
    gain = gain_of(trials)
    assert (gain.best, gain.since) == (0.9, 2)


@pytest.mark.parametrize(
    "text", ["20", "no gain", "no gain for 0 trials", "no gain for 20 trials ", "No gain for 20 trials", "[1]", ""]
)
def test_another_rule_is_refused_in_one_line_that_names_the_form(text: str) -> None:
    with pytest.raises(InputError, match="write it as 'no gain for 20 trials'") as raised:
        replace_settings(RunConfig(), [f'search.stop_when="{text}"'])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("hours", ["0", "-1", "inf", "nan", "soon"])
def test_hours_are_a_number_above_zero(hours: str) -> None:
    with pytest.raises(InputError, match=r"search\.hours"):
        replace_settings(RunConfig(), [f"search.hours={hours}"])


def test_the_rule_says_its_number() -> None:
    assert patience_of("no gain for 7 trials") == 7


def open_studies(storage: InMemoryStorage, **search: object) -> Studies:
    return Studies(
        storage,
        machine_types=TYPES,
        space=load_space("noisy_arcmix")[0],
        search=SearchConfig.model_validate({"trials": 40, "sampler": "random", "prune": False, **search}),
        epochs=1,
        published=PUBLISHED,
    )


def run(studies: Studies, values: dict[str, list[float]]) -> list[Proposal]:
    """Trials that score, per machine type, the given values one after another, the last for ever."""
    done: list[Proposal] = []
    while (proposal := studies.ask()) is not None:
        number = studies.count() - 1
        scored = {name: values[name][min(number, len(values[name]) - 1)] for name in proposal.machine_types}
        studies.report(proposal.uid, 1, scored)
        studies.tell(proposal.uid, "complete")
        done.append(proposal)
    return done


def test_the_search_ends_when_no_machine_type_has_gained_for_so_many_trials() -> None:
    flat = {name: [0.5] for name in TYPES}
    studies = open_studies(InMemoryStorage(), stop_when="no gain for 5 trials")
    assert len(run(studies, flat)) == 6  # the first is a gain
    assert studies.resting
    assert studies.num_missing == 0


def test_a_machine_type_that_gains_nothing_leaves_its_turns_to_the_others() -> None:
    rising = [number / 100 for number in range(12)]
    values = {"fan": rising, "pump": [0.5], "valve": [0.5]}
    studies = open_studies(InMemoryStorage(), stop_when="no gain for 3 trials")
    owners = [proposal.owner for proposal in run(studies, values)]
    assert owners[:4] == ["fan", "pump", "valve", "fan"]
    assert set(owners[4:]) == {"fan"}
    assert len(owners) == 12 + 3


def test_a_gain_by_a_copy_wakes_a_machine_type_up() -> None:
    values = {"fan": [number / 100 for number in range(30)], "pump": [0.5] * 6 + [0.9], "valve": [0.5]}
    studies = open_studies(InMemoryStorage(), stop_when="no gain for 3 trials", trials=12)
    owners = [proposal.owner for proposal in run(studies, values)]
    assert owners[4:7] == ["fan"] * 3
    assert owners[7:10] == ["pump"] * 3  # it has had the fewest turns; then its patience is over again
    assert owners[10:] == ["fan"] * 2


def test_a_search_that_a_rule_ended_goes_on_when_the_rule_is_eased_and_only_then() -> None:
    flat = {name: [0.5] for name in TYPES}
    storage = InMemoryStorage()
    assert len(run(open_studies(storage, stop_when="no gain for 5 trials"), flat)) == 6
    assert run(open_studies(storage, stop_when="no gain for 5 trials"), flat) == []
    assert len(run(open_studies(storage, stop_when="no gain for 8 trials"), flat)) == 3
    assert len(run(open_studies(storage, trials=12), flat)) == 3


def test_a_trial_that_was_left_running_goes_on_though_the_rule_says_stop() -> None:
    storage = InMemoryStorage()
    first = open_studies(storage, stop_when="no gain for 5 trials")
    left = [first.ask() for _ in range(2)][1]
    values = {name: [0.5] for name in TYPES}
    run(first, values)
    again = open_studies(storage, stop_when="no gain for 5 trials")
    assert again.resting
    assert again.num_missing == 2
    assert left is not None
    assert [proposal.uid for proposal in run(again, values)] == ["fan-0", left.uid]


def test_machine_types_that_are_searched_alone_end_one_by_one() -> None:
    values = {"fan": [0.5], "pump": [number / 100 for number in range(40)], "valve": [0.5]}
    studies = open_studies(InMemoryStorage(), stop_when="no gain for 2 trials", scope="own", trials=20)
    run(studies, values)
    assert {name: len(studies.own_trials(name)) for name in TYPES} == {"fan": 3, "pump": 14, "valve": 3}


# -- as Tune meets it


def open_searcher(folder: Path, deadline: Deadline, **search: object) -> StudySearcher:
    """A searcher over a run folder with room for six trials, three epochs each."""
    more = [f"search.{name}={value}" for name, value in search.items()]
    run = make_run("train.epochs=3", "search.prune=false", *more)
    studies, _ = open_studies_of(folder, run, take_over=True)
    return StudySearcher(
        studies, run, folder, on_event=lambda _: None, total=studies.num_missing, deadline=deadline
    )


def epoch_result(epoch: int) -> dict[str, object]:
    values = dict.fromkeys(TYPES, 0.5)
    return trained(epoch, values if epoch == 3 else {}, done=epoch == 3)


def states(searcher: StudySearcher) -> list[TrialState]:
    return [trial.state for trial in searcher.studies.trials("valve")]


def test_at_the_deadline_no_trial_begins_and_running_ones_stop_after_their_epoch_to_go_on_in_a_later_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    searcher = open_searcher(tmp_path, Deadline(1.0))
    assert assigned(searcher.suggest("a")).name == "fan-0"
    assert assigned(searcher.suggest("b")).name == "pump-1"
    assert not searcher.judge("a", epoch_result(1))
    now[0] = 3600.0
    assert searcher.suggest("c") == Searcher.FINISHED
    assert searcher.judge("a", epoch_result(2))
    searcher.on_trial_complete("a", epoch_result(2))
    assert not searcher.judge("b", epoch_result(3))  # it is at its end anyway
    searcher.on_trial_complete("b", epoch_result(3))
    assert searcher.left == ["fan-0"]
    assert states(searcher) == [TrialState.RUNNING, TrialState.COMPLETE]
    again = open_searcher(tmp_path, Deadline())
    assert again.studies.num_missing == 6 - 1
    assert assigned(again.suggest("d")).name == "fan-0"
    assert assigned(again.suggest("e")).name == "valve-2"


def test_a_search_that_gains_nothing_waits_for_what_is_running_before_it_ends(tmp_path: Path) -> None:
    searcher = open_searcher(tmp_path, Deadline(), stop_when="no gain for 1 trials")
    for trial_id in "abc":
        searcher.suggest(trial_id)
    for trial_id in "ab":
        searcher.judge(trial_id, epoch_result(3))
        searcher.on_trial_complete(trial_id, epoch_result(3))
    assert searcher.studies.resting
    assert searcher.suggest("d") is None  # "ask again later"
    searcher.judge("c", epoch_result(3))
    searcher.on_trial_complete("c", epoch_result(3))
    assert searcher.suggest("d") == Searcher.FINISHED
