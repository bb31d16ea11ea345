"""Confirmation: what is trained again, with which seeds, never twice, however often it is killed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

import pytest
from ray.tune.search import Searcher

from asd_ray.config import LossConfig, SearchConfig, with_params
from asd_ray.console.progress import Progress
from asd_ray.data.manifest import read_shard
from asd_ray.deadline import Deadline
from asd_ray.errors import InputError
from asd_ray.report.summary import baseline_name
from asd_ray.search.confirmation import (
    OUTCOME,
    PLAN,
    count_to_confirm,
    fresh_seeds,
    make_plan,
    read_confirmation,
)
from asd_ray.search.events import Ended, Event
from asd_ray.search.runfolder import TRIALS, Run, read_run
from asd_ray.search.searcher import DEATHS, StudySearcher
from asd_ray.search.studies.storage import open_studies
from asd_ray.search.studies.studies import Studies
from asd_ray.training.messages import End, Ending, Started, TrialOrder
from tests.local_search import Commander, KilledError, begin, clips_for, confirmation_of, search
from tests.messages import assigned, trained


@pytest.fixture(scope="module")
def commander(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Commander:
    run, plan = begin(small_shards, tmp_path_factory.mktemp("clips"), [])
    return Commander(clips_for(small_shards, plan), num_classes=len(run.corpus.classes))


@pytest.fixture
def trainer(commander: Commander) -> Commander:
    """One that has trained nothing yet."""
    commander.trained, commander.die_after, commander.fails = [], -1, lambda order: ""
    return commander


@pytest.fixture
def folder(confirmed_run: Path, tmp_path: Path) -> Path:
    """A confirmed run of this test's own."""
    return shutil.copytree(confirmed_run, tmp_path / "run")


def with_search(run: Run, **changes: object) -> Run:
    search = run.config.search.model_copy(update=changes)
    return run.model_copy(update={"config": run.config.model_copy(update={"search": search})})


def outcomes(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.glob(f"{TRIALS}/*/*/{OUTCOME}"):
        found[path.parent.relative_to(folder / TRIALS).as_posix()] = json.loads(path.read_text())["outcome"]
    return found


def test_the_best_of_every_machine_type_and_the_start_are_trained_once_with_every_fresh_seed(
    confirmed_run: Path,
) -> None:
    run, _ = read_run(confirmed_run)
    studies = open_studies(confirmed_run, run, take_over=False)[0]
    wanted = {uid for name in run.machine_types for uid, _ in studies.ranking(name)[:2]}
    assert all(studies.best(name) == studies.ranking(name)[0] for name in run.machine_types)
    start = studies.published("fan")
    assert start is not None
    expected = {f"{uid}/seed-{seed}" for uid in wanted | {start[0]} for seed in (2024, 2025)}
    assert outcomes(confirmed_run) == dict.fromkeys(expected, "complete")
    assert run.config.train.seed not in confirmation_of(confirmed_run).plan.seeds


def test_seeds_are_fresh_and_stay_in_range() -> None:
    assert fresh_seeds(2023, 5) == [2024, 2025, 2026, 2027, 2028]
    assert fresh_seeds(2**31 - 1, 2) == [0, 1]


def test_every_seed_gives_another_network_and_the_scores_that_it_notes(confirmed_run: Path) -> None:
    confirmation = confirmation_of(confirmed_run)
    for candidate in confirmation.plan.candidates:
        columns = [
            read_shard(confirmed_run / TRIALS / place / "scores.parquet").column("score").to_pylist()
            for place in (candidate.uid, f"{candidate.uid}/seed-2024", f"{candidate.uid}/seed-2025")
        ]
        assert columns[0] != columns[1] != columns[2] != columns[0]
    for training in confirmation.trainings():
        outcome = confirmation.outcome(training)
        assert outcome is not None
        history = json.loads((confirmed_run / TRIALS / training.folder / "metrics.json").read_text())
        assert outcome.objective == history[-1]["objective"]


def test_what_is_confirmed_is_not_trained_again(folder: Path, trainer: Commander) -> None:
    run, _ = read_run(folder)
    assert search(folder, run, trainer) == []
    assert trainer.trained == []


@pytest.mark.extra
@pytest.mark.parametrize("epochs_before", [3, 5, 8])
def test_a_search_killed_anywhere_goes_on_and_repeats_nothing(
    small_shards: Path, tmp_path: Path, trainer: Commander, epochs_before: int
) -> None:
    """Two trials of two epochs, never pruned, then two configs with two seeds: twelve epochs."""
    folder = tmp_path / "run"
    settings = ["search.trials=2", "search.prune=false", "search.confirm=2", "search.seeds=2", "train.epochs=2"]
    run, _ = begin(small_shards, folder, settings)
    trainer.die_after = epochs_before
    with pytest.raises(KilledError):
        search(folder, run, trainer)
    trainer.die_after = -1
    told = search(folder, run, trainer)
    assert len(trainer.trained) == len(set(trainer.trained)) == 12
    confirmed = [event for event in told if isinstance(event, Ended) and event.seed is not None]
    assert [event.number for event in confirmed] == list(range(1, len(confirmed) + 1))
    assert {event.total for event in confirmed} == {len(confirmed)}
    progress = Progress(epochs=2, train_clips={})
    for event in told:
        progress.take(event, now=0.0)
    assert (progress.confirming, progress.ended, progress.left) == (True, len(confirmed), 0)
    assert progress.at_work == {}
    assert sorted(progress.best) == sorted(run.machine_types)
    assert len(outcomes(folder)) == 4


def test_a_driver_killed_before_it_noted_an_outcome_notes_the_same_without_training(
    folder: Path, trainer: Commander
) -> None:
    run, _ = read_run(folder)
    (first, *_) = sorted(folder.glob(f"{TRIALS}/*/seed-2024/{OUTCOME}"))
    before = first.read_bytes()
    first.unlink()
    search(folder, run, trainer)
    assert first.read_bytes() == before
    assert trainer.trained == []


@pytest.mark.parametrize("damaged", ["scores.parquet", "state.pt"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_training_that_lost_its_scores_or_its_network_is_done_again_alone(
    folder: Path, trainer: Commander, damaged: str, gone: bool
) -> None:
    """An earlier epoch's whole state beside it does not help: it is another network."""
    run, _ = read_run(folder)
    (first, *_) = sorted(folder.glob(f"{TRIALS}/*/seed-2024/{damaged}"))
    place, whole = first.parent, first.read_bytes()
    scores = (place / "scores.parquet").read_bytes()
    shutil.copy(place / "state.pt", place / "state.pt.previous")
    first.unlink() if gone else first.write_bytes(whole[: len(whole) // 2])
    search(folder, run, trainer)
    assert trainer.trained == [(place.relative_to(folder / TRIALS).as_posix(), 1)]
    assert (place / "scores.parquet").read_bytes() == scores


def test_a_training_that_was_lost_with_its_process_is_gone_on_with_by_the_next_call(
    folder: Path, trainer: Commander
) -> None:
    run, _ = read_run(folder)
    uid = confirmation_of(folder).plan.candidates[0].uid
    for seed in (2024, 2025):
        (folder / TRIALS / uid / f"seed-{seed}" / OUTCOME).unlink()
    studies = open_studies(folder, run, take_over=True)[0]
    told: list[Event] = []
    searcher = StudySearcher(studies, run, folder, on_event=told.append, total=3)
    for number in range(DEATHS):
        order = searcher.suggest(str(number))
        assert assigned(order).folder == f"{uid}/seed-2024"
        searcher.note_death(str(number), "ActorDiedError")
        searcher.on_trial_complete(str(number), error=True)
    assert searcher.suggest("last") == Searcher.FINISHED  # with its other seed it is spared, for now
    assert isinstance(told[-1], Ended)
    assert (told[-1].outcome, told[-1].reason) == ("failed", "its process died 3 times: ActorDiedError")
    assert outcomes(folder)[f"{uid}/seed-2024"] == "lost"
    candidate = confirmation_of(folder).plan.candidates[0]
    assert confirmation_of(folder).reason(candidate) == (
        "seed 2024: its process died 3 times: ActorDiedError; "
        "call the search with --confirm again, which goes on with it"
    )
    assert count_to_confirm(folder, run, studies) == 2
    search(folder, run, trainer)
    assert trainer.trained == []  # from their states
    assert set(outcomes(folder).values()) == {"complete"}


def test_a_training_whose_workers_hung_is_lost_too(folder: Path, trainer: Commander) -> None:
    run, _ = read_run(folder)
    uid = confirmation_of(folder).plan.candidates[0].uid
    shutil.rmtree(folder / TRIALS / uid / "seed-2024")
    hung = Ending(End.LOST, "it hung: epoch 1 had not ended after 60 s")  # as a link says it
    with patch.object(trainer, "start", lambda order: hung):
        search(folder, run, trainer)
    assert outcomes(folder)[f"{uid}/seed-2024"] == "lost"
    search(folder, run, trainer)
    assert trainer.trained == [(f"{uid}/seed-2024", 1)]
    assert set(outcomes(folder).values()) == {"complete"}


def test_the_winner_by_the_outcomes_has_the_best_mean_and_there_is_none_before_all_have_ended(
    folder: Path,
) -> None:
    plan = confirmation_of(folder).plan
    for name in ("fan", "pump"):
        means = {
            one.uid: fmean(
                json.loads((folder / TRIALS / one.uid / f"seed-{seed}" / OUTCOME).read_text())["objective"][name]
                for seed in plan.seeds
            )
            for one in plan.of(name)
        }
        winner = confirmation_of(folder).winner(name)
        assert winner is not None
        assert means[winner.uid] == max(means.values())
    first = plan.of("fan")[0].uid
    (folder / TRIALS / first / "seed-2024" / OUTCOME).unlink()
    assert confirmation_of(folder).winner("fan") is None
    failed = {"outcome": "failed", "reason": "the loss is nan in epoch 1"}
    (folder / TRIALS / first / "seed-2024" / OUTCOME).write_text(json.dumps(failed))
    winner = confirmation_of(folder).winner("fan")
    assert winner is not None
    assert winner.uid != first


def test_more_seeds_and_more_configs_train_only_what_is_missing(folder: Path, trainer: Commander) -> None:
    run, _ = read_run(folder)
    before = set(outcomes(folder))
    uids = {candidate.uid for candidate in confirmation_of(folder).plan.candidates}
    search(folder, with_search(run, seeds=3), trainer)
    assert {place for place, _ in trainer.trained} == {f"{uid}/seed-2026" for uid in uids}
    search(folder, with_search(run, confirm=3, seeds=3), trainer)
    assert set(outcomes(folder)) >= before
    assert len(trainer.trained) == len(set(trainer.trained))
    assert {name.split("/")[0] for name in outcomes(folder)} >= uids


def test_a_config_that_fails_with_one_seed_is_noted_spared_and_not_tried_again(
    folder: Path, trainer: Commander
) -> None:
    run, _ = read_run(folder)
    uid = confirmation_of(folder).plan.candidates[0].uid
    shutil.rmtree(folder / TRIALS / uid / "seed-2024")
    shutil.rmtree(folder / TRIALS / uid / "seed-2025")
    trainer.fails = lambda order: "the loss is nan in epoch 1" if order.config.train.seed == 2024 else ""
    told = search(folder, run, trainer)
    assert [event for event in told if isinstance(event, str)] == [
        f"confirming {uid} with 2 fresh seeds: 2 trainings"
    ]
    (event,) = [event for event in told if isinstance(event, Ended)]
    assert (event.outcome, event.reason, event.seed) == ("failed", "the loss is nan in epoch 1", 2024)
    assert outcomes(folder)[f"{uid}/seed-2024"] == "failed"
    assert f"{uid}/seed-2025" not in outcomes(folder)
    confirmation = confirmation_of(folder)
    assert confirmation.reason(confirmation.plan.candidates[0]) == "seed 2024: the loss is nan in epoch 1"
    trainer.fails = lambda order: ""
    assert search(folder, run, trainer) == []
    (folder / TRIALS / uid / "seed-2024" / OUTCOME).unlink()
    search(folder, run, trainer)
    assert set(outcomes(folder).values()) == {"complete"}


def test_the_search_s_own_seed_gives_what_the_search_gave(folder: Path, trainer: Commander) -> None:
    """So what a confirmation trains is the trial but for the seed."""
    run, _ = read_run(folder)
    orders: list[TrialOrder] = []
    start = trainer.start

    def noted(order: TrialOrder) -> Started | Ending:
        orders.append(order)
        return start(order)

    trainer.start = noted  # type: ignore[method-assign]
    try:
        search(folder, with_search(run, seeds=3), trainer)
    finally:
        trainer.start = start  # type: ignore[method-assign]
    order = orders[0]
    assert order.config.train.seed == 2026
    own = order.config.model_copy(update={"train": run.config.train})
    again = folder / "again"
    trainer.start(
        TrialOrder(config=own, machine_types=order.machine_types, score_at=order.score_at, folder=str(again))
    )
    trainer.epoch(1)
    uid = Path(order.folder).parent.name
    first, second = (
        read_shard(path / "scores.parquet").column("score").to_pylist() for path in (folder / TRIALS / uid, again)
    )
    assert first == second


def test_nothing_is_confirmed_while_trials_still_run(small_shards: Path, tmp_path: Path) -> None:
    run, _ = begin(
        small_shards, tmp_path / "run", ["search.trials=2", "search.confirm=1", "search.seeds=2", "train.epochs=1"]
    )
    studies = open_studies(tmp_path / "run", run, take_over=True)[0]
    searcher = StudySearcher(studies, run, tmp_path / "run", on_event=lambda event: None, total=2)
    first, second = (searcher.suggest(number) for number in ("1", "2"))
    uids = [assigned(one).name for one in (first, second)]
    assert {(assigned(one).seed, assigned(one).folder) for one in (first, second)} == {(None, None)}
    assert searcher.suggest("3") is None
    end(searcher, "1", {"fan": 0.6, "pump": 0.5})
    assert searcher.suggest("3") is None
    assert not (tmp_path / "run" / PLAN).exists()
    end(searcher, "2", {"fan": 0.7, "pump": 0.4})
    suggested = [searcher.suggest(str(number)) for number in range(3, 8)]
    trainings = [assigned(one) for one in suggested[:4]]
    assert [one.seed for one in trainings] == [2024, 2024, 2025, 2025]
    assert {one.folder for one in trainings} == {f"{uid}/seed-{seed}" for uid in uids for seed in (2024, 2025)}
    assert suggested[4] is None  # what runs may yet be lost, and have to begin again
    searcher.on_trial_complete("3", {"done": False})  # stopped before its last epoch
    searcher.on_trial_complete("4", error=True)
    assert outcomes(tmp_path / "run") == {}
    assert searcher.suggest("8") == suggested[1]
    end(searcher, "5", {"fan": 0.6, "pump": 0.5})
    assert outcomes(tmp_path / "run") == {trainings[2].folder: "complete"}
    end(searcher, "6", {"fan": 0.6, "pump": 0.5})
    end(searcher, "8", {"fan": 0.6, "pump": 0.5})
    assert searcher.suggest("9") == Searcher.FINISHED


def end(searcher: StudySearcher, trial_id: str, objective: dict[str, float]) -> None:
    result = trained(1, objective, done=True)
    searcher.judge(trial_id, result)
    searcher.on_trial_complete(trial_id, result)


@pytest.fixture
def scripted(small_shards: Path, tmp_path: Path) -> Callable[..., tuple[Run, Studies]]:
    """The studies of a search whose trials have the objectives of a list, fan and pump."""

    def run_search(
        values: list[tuple[float, float]], *settings: str, space: str = "noisy_arcmix"
    ) -> tuple[Run, Studies]:
        more = [f"search.trials={len(values)}", "train.epochs=1", *settings]
        run, _ = begin(small_shards, tmp_path / "run", more, space_name=space)
        studies = open_studies(tmp_path / "run", run, take_over=True)[0]
        searcher = StudySearcher(studies, run, tmp_path / "run", on_event=lambda event: None, total=len(values))
        for number, (fan, pump) in enumerate(values):
            searcher.suggest(str(number))
            end(searcher, str(number), {"fan": fan, "pump": pump})
        return run, studies

    return run_search


VALUES = [(0.5, 0.6), (0.9, 0.5), (0.7, 0.7), (0.8, 0.8)]


def test_the_plan_takes_the_best_of_each_machine_type_in_order(
    scripted: Callable[..., tuple[Run, Studies]],
) -> None:
    run, studies = scripted(VALUES, "search.confirm=2", "search.seeds=4")
    plan = make_plan(run, studies)
    names = ["fan-0", "pump-1", "fan-2", "pump-3"]  # they take turns; numbers count a study's own and its copies
    assert [uid for uid, _ in studies.ranking("fan")] == [names[1], names[3], names[2], names[0]]
    assert plan.best == {"fan": [names[1], names[3]], "pump": [names[3], names[2]]}
    assert plan.baseline == {"fan": "fan-0", "pump": "fan-0"}
    assert plan.seeds == [2024, 2025, 2026, 2027]
    assert {candidate.uid for candidate in plan.candidates} == set(names)
    assert [candidate.uid for candidate in plan.of("pump")] == [names[3], names[2], "fan-0"]
    assert all(candidate.machine_types == ["fan", "pump"] for candidate in plan.candidates)


def test_counting_what_is_left_to_confirm_decides_nothing(
    scripted: Callable[..., tuple[Run, Studies]], tmp_path: Path
) -> None:
    run, studies = scripted(VALUES, "search.confirm=2", "search.seeds=4")
    assert count_to_confirm(tmp_path / "run", run, studies) == 4 * 4
    assert count_to_confirm(tmp_path / "run", with_search(run, confirm=0), studies) == 0
    assert not (tmp_path / "run" / PLAN).exists()
    more = with_search(run, trials=9)
    studies = open_studies(tmp_path / "run", more, take_over=True)[0]
    assert count_to_confirm(tmp_path / "run", more, studies) == 4  # trials are still to come


def test_a_call_without_time_to_confirm_decides_what_the_next_one_will_and_says_so(
    scripted: Callable[..., tuple[Run, Studies]], tmp_path: Path
) -> None:
    run, studies = scripted(VALUES, "search.confirm=2", "search.seeds=4")
    told: list[Event] = []
    with patch.dict(os.environ):  # the import sets switches of Ray, which other tests' processes shall not inherit
        from asd_ray.search.driver import run_search
    run_search(tmp_path / "run", run, visible_labels=[], on_event=told.append, deadline=Deadline(1e-9))
    assert told == ["1e-09 hours are over, nothing was running; the same call goes on"]
    assert confirmation_of(tmp_path / "run").plan == make_plan(run, studies)


def test_searches_of_one_machine_type_at_a_time_are_confirmed_so(
    scripted: Callable[..., tuple[Run, Studies]],
) -> None:
    run, studies = scripted(VALUES, "search.confirm=1", "search.scope=own")
    plan = make_plan(run, studies)
    assert {candidate.uid: candidate.machine_types for candidate in plan.candidates} == {
        uid: [uid.split("-")[0]] for uid in ("fan-0", "pump-0", *plan.best["fan"], *plan.best["pump"])
    }
    assert plan.baseline == {"fan": "fan-0", "pump": "pump-0"}


def test_a_start_that_no_study_could_try_is_confirmed_none_the_less(
    scripted: Callable[..., tuple[Run, Studies]],
) -> None:
    """Its margin is outside the ranges, so that the search never ran it."""
    run, studies = scripted(VALUES, "search.confirm=1", "loss.margin=1.3")
    plan = make_plan(run, studies)
    assert plan.baseline == {"fan": "baseline", "pump": "baseline"}
    (baseline,) = [candidate for candidate in plan.candidates if candidate.uid == "baseline"]
    assert baseline.params["margin"] == 1.3


@pytest.mark.parametrize(("space", "held"), [("arcface", "mix_prob"), ("arcmix", "noise_prob")])
def test_where_the_space_holds_a_number_elsewhere_the_start_is_still_the_config_itself(
    scripted: Callable[..., tuple[Run, Studies]], space: str, held: str
) -> None:
    """The report calls it the published loss, which it would not be with the space's value put in."""
    run, studies = scripted(VALUES, "search.confirm=1", space=space)
    assert studies.trials("fan")[0].params["margin"] == 0.7  # a good place to begin at, and no more
    assert studies.published("fan") is None
    plan = make_plan(run, studies)
    (baseline,) = [candidate for candidate in plan.candidates if candidate.uid == "baseline"]
    assert plan.baseline == {"fan": "baseline", "pump": "baseline"}
    assert run.config.loss == LossConfig()
    assert with_params(run.config, baseline.params) == run.config
    others = [candidate for candidate in plan.candidates if candidate != baseline]
    assert {candidate.params[held] for candidate in others} == {0.0}
    assert baseline_name(run) == "published loss"


def test_confirming_can_be_asked_for_later_and_two_seeds_are_the_fewest() -> None:
    assert SearchConfig().confirm == 0
    with pytest.raises(ValueError, match="greater than or equal to 2"):
        SearchConfig(seeds=1)


def test_a_damaged_plan_is_refused_by_name(folder: Path) -> None:
    (folder / PLAN).write_text("trials: 3\nseed: [1]\n")
    with pytest.raises(InputError, match=rf"{PLAN}:2: seed: unknown key; did you mean 'seeds'"):
        read_confirmation(folder, read_run(folder)[0])
