"""Studies driven by a scripted objective, over a real journal."""

import json
import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from asd_ray.config import SearchConfig
from asd_ray.search.space import SearchSpace, load_space
from asd_ray.search.studies.studies import Proposal, Studies
from asd_ray.search.studies.trial_store import curve_of
from tests.scripted import BEST_MARGIN, Hills

TYPES = ("fan", "pump", "valve")
PUBLISHED = {"margin": 0.7, "scale": 30.0, "mixup_alpha": 0.5, "noise_prob": 1.0, "mix_prob": 1.0}
EPOCHS = 9
HILLS = Hills(epochs=EPOCHS, blur=0.5)
objective, finish, run = HILLS.objective, HILLS.finish, HILLS.search

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_studies(
    path: Path, *, trials: int = 12, space: str = "noisy_arcmix", take_over: bool = True, **search: object
) -> Studies:
    return Studies(
        JournalStorage(JournalFileBackend(str(path))),
        machine_types=TYPES,
        space=load_space(space)[0],
        search=SearchConfig.model_validate({"trials": trials, "sampler": "tpe", **search}),
        epochs=EPOCHS,
        published=PUBLISHED,
        take_over=take_over,
    )


def names(studies: Studies, machine_type: str) -> list[str]:
    """Every trial that a study knows, by its name."""
    return [
        str(trial.user_attrs.get("copy_of", f"{machine_type}-{trial.number}"))
        for trial in studies.trials(machine_type)
    ]


def test_every_study_knows_every_joint_trial_in_the_same_order(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j")
    proposals = run(studies)
    assert len(proposals) == 12
    for name in TYPES:
        assert names(studies, name) == [proposal.uid for proposal in proposals]
    assert [proposal.owner for proposal in proposals[:4]] == ["fan", "pump", "valve", "fan"]


def test_the_first_trial_of_every_study_is_the_published_point_even_while_it_runs(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j")
    studies.ask()
    studies.ask()
    for name in TYPES:
        assert studies.trials(name)[0].params == {k: v for k, v in PUBLISHED.items() if k != "mix_prob"}


def test_a_copy_has_the_values_of_its_own_machine_type(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j", prune=False)
    (proposal,) = run(studies, stop_after=1)
    for name in TYPES:
        trial = studies.trials(name)[0]
        assert trial.value == objective(proposal, EPOCHS)[name]
        assert trial.intermediate_values == {e: objective(proposal, e)[name] for e in range(1, EPOCHS + 1)}


@pytest.mark.parametrize(("space", "is_there"), [("noisy_arcmix", True), ("cube", True), ("arcface", False)])
def test_the_published_point_is_in_no_study_that_holds_one_of_its_numbers_elsewhere(
    tmp_path: Path, space: str, is_there: bool
) -> None:
    studies = open_studies(tmp_path / "j", trials=1, space=space)
    (first,) = run(studies)
    assert (first.params["margin"], first.params["scale"]) == (0.7, 30.0)
    assert studies.is_published(first.uid) == is_there
    for name in TYPES:
        published = studies.published(name)
        assert (published is not None) == is_there
        assert published is None or published[0] == first.uid


def test_stopped_trials_are_recorded_as_pruned_and_the_published_one_never_is(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j", trials=30)
    run(studies)
    states = [trial.state for trial in studies.trials("fan")]
    assert states[0] is TrialState.COMPLETE
    assert set(states) == {TrialState.COMPLETE, TrialState.PRUNED}
    assert states.count(TrialState.PRUNED) >= 10
    for name in TYPES:
        assert [trial.state for trial in studies.trials(name)] == states


def test_best_is_per_machine_type_and_names_the_owner(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j", trials=40)
    run(studies)
    for name in TYPES:
        best = studies.best(name)
        assert best is not None
        uid, trial = best
        assert uid in names(studies, name)
        assert abs(trial.params["margin"] - BEST_MARGIN[name]) < 0.2


def test_scope_own_keeps_studies_apart_and_starts_each_with_the_published_point(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j", trials=6, scope="own")
    proposals = run(studies)
    assert all(proposal.machine_types == (proposal.owner,) for proposal in proposals)
    for name in TYPES:
        assert names(studies, name) == [f"{name}-0", f"{name}-1"]
        assert studies.trials(name)[0].params["margin"] == PUBLISHED["margin"]


def test_a_point_outside_a_studys_ranges_is_not_copied_there(tmp_path: Path) -> None:
    space = SearchSpace.model_validate(
        {
            "question": "?",
            "params": {"margin": {"low": 0.1, "high": 1.0}},
            "machine_types": {"pump": {"margin": {"low": 0.0, "high": 0.3}}},
        }
    )
    studies = Studies(
        JournalStorage(JournalFileBackend(str(tmp_path / "j"))),
        machine_types=TYPES,
        space=space,
        search=SearchConfig(trials=1),
        epochs=1,
        published=PUBLISHED,
    )
    run(studies)
    assert names(studies, "fan") == names(studies, "valve") == ["fan-0"]
    assert names(studies, "pump") == []


def test_a_partly_held_trial_goes_on_after_a_kill(tmp_path: Path) -> None:
    space = SearchSpace.model_validate(
        {
            "question": "?",
            "params": {"margin": {"low": 0.1, "high": 1.0}},
            "machine_types": {"fan": {"margin": {"low": 1.1, "high": 1.2}}},
        }
    )

    def reopen() -> Studies:
        return Studies(
            JournalStorage(JournalFileBackend(str(tmp_path / "j"))),
            machine_types=TYPES,
            space=space,
            search=SearchConfig(trials=1, prune=False),
            epochs=EPOCHS,
            published=PUBLISHED | {"margin": 1.15},
        )

    studies = reopen()
    proposal = studies.ask()
    assert proposal is not None
    assert proposal.uid == "fan-0"
    studies.report(proposal.uid, 1, objective(proposal, 1))
    again = reopen()
    adopted = again.ask()
    assert adopted == proposal
    finish(again, proposal)
    assert again.trials("fan")[0].state is TrialState.COMPLETE
    assert names(again, "pump") == []


def test_reading_an_old_search_writes_nothing(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j")
    run(studies, stop_after=3)
    studies.ask()
    before = (tmp_path / "j").read_bytes()
    read = open_studies(tmp_path / "j", take_over=False)
    assert read.count() == 4
    assert read.num_adopted == 0
    assert (tmp_path / "j").read_bytes() == before


def test_the_same_call_again_starts_nothing_and_a_larger_total_adds_the_difference(tmp_path: Path) -> None:
    run(open_studies(tmp_path / "j"))
    assert run(open_studies(tmp_path / "j")) == []
    more = run(open_studies(tmp_path / "j", trials=14))
    assert len(more) == 2


def test_an_interrupted_search_proposes_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = run(open_studies(tmp_path / "whole"))
    first = run(open_studies(tmp_path / "parts"), stop_after=5)
    rest = run(open_studies(tmp_path / "parts"))
    assert first + rest == whole


def test_a_failed_trial_counts_and_is_never_best(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j", trials=2)
    first = studies.ask()
    assert first is not None
    studies.tell(first.uid, "failed", reason="loss is not finite")
    assert studies.best("fan") is None
    assert studies.own_trials("fan")[0].user_attrs["reason"] == "loss is not finite"
    assert len(run(studies)) == 1
    best = studies.best("fan")
    assert best is not None
    assert best[0] == "pump-1"


@pytest.mark.parametrize("space", ["noisy_arcmix", "cube"])
def test_a_driver_killed_between_any_two_writes_loses_and_repeats_nothing(tmp_path: Path, space: str) -> None:
    """The journal is cut after every one of its lines in turn: each is a state that a SIGKILL can leave."""
    run(open_studies(tmp_path / "whole", trials=7, space=space))
    lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
    cuts = random.Random(0).sample(range(1, len(lines)), 40)
    for cut in cuts:
        path = tmp_path / f"cut-{cut}"
        path.write_text("".join(lines[:cut]))
        before = finished(path)
        studies = open_studies(path, trials=7, space=space)
        run(studies)
        assert studies.count() == 7
        for name in TYPES:
            known = names(studies, name)
            assert len(set(known)) == len(known)
            assert set(known) == {
                uid for uid, point in all_points(studies) if studies.spaces[name].contains(point)
            }
            assert all(trial.state.is_finished() for trial in studies.trials(name))
        after = finished(path)
        assert before.items() <= after.items(), f"cut after line {cut}"


def test_a_verdict_at_a_rung_stands_though_the_driver_is_killed_before_it_is_carried_out() -> None:
    """And a trial that was let go on is not judged again, though it would not be let go on by now."""
    storage = InMemoryStorage()
    studies = in_memory(storage, trials=9, space="arcface")  # equal ranges: every study holds every trial
    run(studies, stop_after=1)  # never pruned
    proposals = [proposal for proposal in (studies.ask() for _ in range(6)) if proposal is not None]
    values = {proposal.uid: dict.fromkeys(TYPES, mean) for proposal, mean in zip(proposals, MEANS, strict=True)}
    verdicts = {uid: replay(studies, uid, means) for uid, means in values.items()}
    assert list(verdicts.values()) == [True, False, True, False, False, False]
    again = in_memory(storage, trials=9, space="arcface")
    adopted = [proposal.uid for proposal in (again.ask() for _ in range(6)) if proposal is not None]
    assert {uid: replay(again, uid, values[uid]) for uid in adopted} == verdicts


MEANS = (-5.0, 1.0, -4.0, 2.0, 3.0, 4.0)


def replay(studies: Studies, uid: str, values: dict[str, float]) -> bool:
    """Report every epoch up to the rung; the verdict there."""
    (rung,) = studies.rungs
    *before, verdict = [studies.report(uid, epoch, values) for epoch in range(1, rung + 1)]
    assert not any(before)
    return verdict


def all_points(studies: Studies) -> list[tuple[str, dict[str, float]]]:
    """Name and point of every trial, from the study that owns it."""
    return [
        (f"{name}-{trial.number}", studies.spaces[name].active(trial.params))
        for name in TYPES
        for trial in studies.own_trials(name)
    ]


def finished(path: Path) -> dict[tuple[str, int], float | None]:
    """(study, number) -> value of every finished trial in a journal."""
    storage = JournalStorage(JournalFileBackend(str(path)))
    return {
        (study.study_name, trial.number): trial.value
        for study in optuna.get_all_study_summaries(storage)
        for trial in optuna.load_study(study_name=study.study_name, storage=storage).trials
        if trial.state.is_finished()
    }


def test_conditional_points_hold_only_what_acts(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j", space="cube", trials=20)
    for proposal in run(studies):
        assert ("noise_prob" in proposal.params) == (
            proposal.params["mix_prob"] > 0 and proposal.params["margin"] > 0
        )
        json.dumps(proposal.params)


# -- scale


class CountingStorage(InMemoryStorage):
    """Counts how often a whole study is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get_all_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        self.reads += 1
        return super().get_all_trials(*arguments, **named)


def in_memory(
    storage: InMemoryStorage,
    *,
    objectives: tuple[str, ...] = ("mean",),
    space: str = "noisy_arcmix",
    take_over: bool = True,
    **search: object,
) -> Studies:
    return Studies(
        storage,
        machine_types=TYPES,
        space=load_space(space)[0],
        search=SearchConfig.model_validate({"trials": 12, "sampler": "random", **search}),
        epochs=EPOCHS,
        published=PUBLISHED,
        objectives=objectives,
        take_over=take_over,
    )


def test_a_trial_reads_whole_studies_no_more_than_twice_however_many_there_were_before() -> None:
    storage = CountingStorage()
    studies = in_memory(storage, trials=60)
    run(studies, stop_after=5)
    for _ in range(50):
        before = storage.reads
        run(studies, stop_after=1)
        assert storage.reads - before <= 2  # by the sampler, and by Optuna, which looks for waiting trials


def test_what_is_kept_in_memory_is_what_a_new_reader_finds_in_the_storage() -> None:
    # Equal ranges: of a running trial that only some studies hold, the storage has only their values.
    settings: dict[str, Any] = {"space": "arcface", "trials": 40, "stop_when": "no gain for 9 trials"}
    rng = random.Random(0)
    storage = InMemoryStorage()
    studies = in_memory(storage, **settings)
    running: list[tuple[Proposal, int]] = []
    for _ in range(150):
        if len(running) < 4 and (proposal := studies.ask()) is not None:
            running.append((proposal, 0))
        elif running:
            proposal, epoch = running.pop(rng.randrange(len(running)))
            values = {name: rng.randint(0, 5) / 5 for name in TYPES}
            stop = studies.report(proposal.uid, epoch + 1, values)
            if stop or epoch + 1 == EPOCHS:
                studies.tell(proposal.uid, "pruned" if stop else "failed" if rng.random() < 0.2 else "complete")
            else:
                running.append((proposal, epoch + 1))
        reader = in_memory(storage, take_over=False, **settings)
        assert reader.count() == studies.count()
        assert [reader.done(name) for name in TYPES] == [studies.done(name) for name in TYPES]
        assert reader._books.gains.keys() == studies._books.gains.keys()
        for name in TYPES:
            assert vars(reader._books.gains[name]) == vars(studies._books.gains[name])
        for rung, kept in studies._books._standings.items():
            for uid in kept._row:
                other = reader._books._standings[rung]
                assert kept.survives(uid, eta=3) == other.survives(uid, eta=3)


# -- several objectives


def several(proposal: Proposal, epoch: int) -> dict[str, dict[str, float]]:
    """Two objectives that want different margins."""
    margin = proposal.params["margin"]
    return {
        name: {
            "auc": 1 - abs(margin - BEST_MARGIN[name]) - 0.1 / epoch,
            "pauc": 1 - 2 * abs(margin - 0.4) - 0.1 / epoch,
            "mauc": 0.0,
        }
        for name in proposal.machine_types
    }


def finish_several(studies: Studies, proposal: Proposal) -> None:
    for epoch in range(1, EPOCHS + 1):
        metrics = several(proposal, epoch)
        values = {name: (found["auc"] + found["pauc"]) / 2 for name, found in metrics.items()}
        if studies.report(proposal.uid, epoch, values, metrics=metrics) and epoch < EPOCHS:
            studies.tell(proposal.uid, "pruned")
            return
    studies.tell(proposal.uid, "complete")


@pytest.mark.parametrize("sampler", ["auto", "tpe", "gp", "random"])
def test_every_sampler_searches_several_objectives_beside_running_and_pruned_trials(sampler: str) -> None:
    studies = in_memory(InMemoryStorage(), objectives=("auc", "pauc"), trials=24, sampler=sampler)
    left = studies.ask()
    while (proposal := studies.ask()) is not None:
        finish_several(studies, proposal)
    assert left is not None
    finish_several(studies, left)
    for name in TYPES:
        trials = studies.trials(name)
        assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
        for trial in trials:
            last = several(proposal_of(trial), max(curve_of(trial)))[name]
            assert curve_of(trial)[max(curve_of(trial))] == (last["auc"] + last["pauc"]) / 2
            if trial.state is TrialState.COMPLETE:
                assert trial.values == [last["auc"], last["pauc"]]
        best = studies.best(name)
        assert best is not None
        complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
        assert sum(best[1].values) == max(sum(trial.values) for trial in complete)
        front = [tuple(trial.values) for _, trial in studies.pareto(name)]
        assert front == sorted(front, reverse=True)
        assert [pauc for _, pauc in front] == sorted(pauc for _, pauc in front)
        assert tuple(best[1].values) in front


def proposal_of(trial: FrozenTrial) -> Proposal:
    return Proposal(uid="", owner="fan", machine_types=TYPES, params=trial.params)


def test_a_trial_of_several_objectives_goes_on_after_a_kill_and_every_copy_gets_its_values(tmp_path: Path) -> None:
    def reopen() -> Studies:
        return Studies(
            JournalStorage(JournalFileBackend(str(tmp_path / "j"))),
            machine_types=TYPES,
            space=load_space("noisy_arcmix")[0],
            search=SearchConfig(trials=1, sampler="random"),
            epochs=EPOCHS,
            published=PUBLISHED,
            objectives=("auc", "pauc"),
        )

    finish_several(studies := reopen(), studies.ask() or pytest.fail("no trial"))
    lines = (tmp_path / "j").read_text().splitlines(keepends=True)
    for cut in range(1, len(lines)):
        (tmp_path / "j").write_text("".join(lines[:cut]))
        again = reopen()
        while (proposal := again.ask()) is not None:
            finish_several(again, proposal)
        assert again.count() == 1
        for name in TYPES:
            (trial,) = again.trials(name)
            last = several(proposal_of(trial), EPOCHS)[name]
            assert trial.values == [last["auc"], last["pauc"]], f"cut after line {cut}"


def test_one_objective_has_a_pareto_set_of_its_best(tmp_path: Path) -> None:
    studies = open_studies(tmp_path / "j")
    run(studies)
    for name in TYPES:
        best = studies.best(name)
        assert best is not None
        assert [uid for uid, _ in studies.pareto(name)] == [best[0]]
