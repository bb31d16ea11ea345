"""Where a search begins: configs that a user names, and earlier searches; also when it is killed in between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from asd_ray.config import RunConfig, params_of, replace_settings
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import dump
from asd_ray.models import find_system
from asd_ray.search import runfolder
from asd_ray.search.runfolder import Run
from asd_ray.search.space import SearchSpace, load_space
from asd_ray.search.studies.storage import open_studies
from asd_ray.search.studies.studies import Proposal, Studies
from asd_ray.search.studies.trial_store import TAUGHT
from asd_ray.search.warm_start import Lesson, Starts, begin_from, difference, read_starts

TYPES = ("fan", "pump", "valve")
EPOCHS = 4
CLIPS = pa.table({"clip_id": ["a", "b"], "chooses": [True, False], "reports": [False, True]})

optuna.logging.set_verbosity(optuna.logging.WARNING)


def make_run(*settings: str, space: SearchSpace | None = None, fingerprint: str = "a" * 64) -> Run:
    config = replace_settings(
        RunConfig(), [f"train.epochs={EPOCHS}", "search.sampler=random", "search.trials=6", *settings]
    )
    return Run(
        asd_ray="0",
        versions={},
        protocol="split",
        machine_types=list(TYPES),
        not_searchable={},
        corpus=runfolder.Corpus(
            path="shards", fingerprint=fingerprint, classes=[[name, "id_00"] for name in TYPES]
        ),
        config=config,
        space=space or load_space("noisy_arcmix")[0],
        space_text="",
    )


def objectives(proposal: Proposal, epoch: int) -> dict[str, float]:
    """Best at a margin of its own for every machine type."""
    best = dict(zip(TYPES, (0.2, 0.5, 0.9), strict=True))
    return {name: 1 - abs(proposal.params["margin"] - best[name]) - 0.1 / epoch for name in proposal.machine_types}


def finish(
    studies: Studies, proposal: Proposal, value: Callable[[Proposal, int], dict[str, float]] = objectives
) -> None:
    for epoch in range(1, EPOCHS + 1):
        values = value(proposal, epoch)
        metrics = {name: dict.fromkeys(("auc", "pauc"), one) for name, one in values.items()}
        if studies.report(proposal.uid, epoch, values, metrics=metrics) and epoch < EPOCHS:
            studies.tell(proposal.uid, "pruned")
            return
    studies.tell(proposal.uid, "complete")


def search(studies: Studies) -> list[Proposal]:
    done = []
    while (proposal := studies.ask()) is not None:
        finish(studies, proposal)
        done.append(proposal)
    return done


def begin(folder: Path, run: Run) -> tuple[Studies, list[str]]:
    """A run folder as a search has it before its first trial, with the lines that it prints."""
    runfolder.open_run(folder, run, clips=CLIPS)
    starts = read_starts(folder, run, clips=CLIPS)
    studies, _ = open_studies(folder, run, take_over=True)
    return studies, list(begin_from(starts, studies))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The folder of a finished search."""
    folder = tmp_path / "old"
    studies, _ = begin(folder, make_run("search.trials=12"))
    search(studies)
    states = [trial.state for trial in studies.trials("fan")]
    assert TrialState.PRUNED in states
    assert states.count(TrialState.COMPLETE) >= 2
    return folder


def learnt(studies: Studies, machine_type: str) -> list[str]:
    return [trial.user_attrs[TAUGHT] for trial in studies.trials(machine_type) if TAUGHT in trial.user_attrs]


def config_file(path: Path, **params: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(dump({"loss": params}))
    return path


# -- points that a user names


def test_the_point_of_a_config_is_tried_right_after_the_published_one_and_its_other_settings_do_not_count(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(dump({"loss": {"margin": 0.33, "scale": 20.0}, "train": {"batch_size": 8}}))
    studies, lines = begin(tmp_path / "run", make_run(f"search.enqueue=['{path}']"))
    first, second = studies.ask(), studies.ask()
    assert first is not None
    assert second is not None
    assert first.params["margin"] == 0.7
    assert second.params == {"margin": 0.33, "scale": 20.0, "mixup_alpha": 0.5, "noise_prob": 1.0}
    assert lines == [
        f"{path}: margin 0.33, scale 20, mixup_alpha 0.5, noise_prob 1: tried right after the published point"
    ]


def test_named_points_are_tried_in_their_order_and_once_however_often_the_command_is_given(tmp_path: Path) -> None:
    paths = [config_file(tmp_path / f"{number}.yaml", margin=number / 10) for number in (3, 4, 5)]
    run = make_run(f"search.enqueue={[str(path) for path in paths]}", "search.trials=2")
    studies, _ = begin(tmp_path / "run", run)
    assert [proposal.params["margin"] for proposal in search(studies)] == [0.7, 0.3]
    more = make_run(f"search.enqueue={[str(path) for path in paths]}", "search.trials=5")
    studies, lines = begin(tmp_path / "run", more)
    assert [line.rsplit(": ", 1)[1] for line in lines] == [
        "was tried before",
        "tried right after the published point",
        "tried right after the published point",
    ]
    margins = [proposal.params["margin"] for proposal in search(studies)]
    assert margins[:2] == [0.4, 0.5]
    assert margins[2] not in (0.3, 0.4, 0.5, 0.7)


def test_named_points_wait_for_a_later_call_that_does_not_name_them(tmp_path: Path) -> None:
    path = config_file(tmp_path / "mine.yaml", margin=0.33)
    studies, _ = begin(tmp_path / "run", make_run(f"search.enqueue=['{path}']", "search.trials=1"))
    search(studies)
    studies, _ = begin(tmp_path / "run", make_run("search.trials=2"))
    assert [proposal.params["margin"] for proposal in search(studies)] == [0.33]


def test_the_published_point_named_again_is_tried_once(tmp_path: Path) -> None:
    path = config_file(tmp_path / "mine.yaml", margin=0.7)
    studies, _ = begin(tmp_path / "run", make_run(f"search.enqueue=['{path}']", "search.trials=3"))
    assert [proposal.params["margin"] for proposal in search(studies)].count(0.7) == 1


def test_machine_types_that_are_searched_alone_try_a_named_point_each(tmp_path: Path) -> None:
    path = config_file(tmp_path / "mine.yaml", margin=0.33)
    run = make_run(f"search.enqueue=['{path}']", "search.scope=own")
    studies, _ = begin(tmp_path / "run", run)
    search(studies)
    for name in TYPES:
        assert [trial.params["margin"] for trial in studies.own_trials(name)] == [0.7, 0.33]


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"scale": 100.0}, "scale is 100, not 8 to 64"),
        ({"margin": 1.3}, "margin is 1.3, not 0.1 to 1"),
        ({"mixup_alpha": 0.05, "scale": 30.0}, "mixup_alpha is 0.05, not 0.1 to 2"),
    ],
)
def test_a_point_outside_the_ranges_is_refused_and_nothing_is_written(
    tmp_path: Path, params: dict[str, float], problem: str
) -> None:
    path = config_file(tmp_path / "mine.yaml", **params)
    with pytest.raises(InputError) as raised:
        read_starts(tmp_path / "run", make_run(f"search.enqueue=['{path}']"), clips=CLIPS)
    assert str(raised.value) == f"--enqueue {path}: {problem}; change it there, or widen the search space"
    assert not (tmp_path / "run").exists()


def test_a_point_inside_the_ranges_of_one_machine_type_is_tried_there(tmp_path: Path) -> None:
    path = config_file(tmp_path / "mine.yaml", margin=1.15)  # valve's range is wider
    studies, _ = begin(tmp_path / "run", make_run(f"search.enqueue=['{path}']", "search.trials=2"))
    search(studies)
    assert [trial.params["margin"] for trial in studies.own_trials("valve")] == [1.15]
    assert 1.15 not in [trial.params["margin"] for trial in studies.trials("fan")]


def test_choices_and_held_numbers_are_named_as_they_are(tmp_path: Path) -> None:
    space = SearchSpace.model_validate(
        {"question": "?", "params": {"batch_size": {"choices": [32.0, 64.0]}, "margin": 0.5}}
    )
    path = tmp_path / "mine.yaml"
    path.write_text(dump({"train": {"batch_size": 48}}))
    with pytest.raises(InputError, match="batch_size is 48, not 32 or 64"):
        read_starts(tmp_path / "run", make_run(f"search.enqueue=['{path}']", space=space), clips=CLIPS)
    assert space.of("fan").outside({"batch_size": 32.0, "margin": 0.7}) == "margin is 0.7, held at 0.5"
    assert space.of("fan").outside({}) == "batch_size is not given, and searched in 32 or 64"


@pytest.mark.parametrize("space_name", ["ae", "systems"])
def test_a_config_of_a_system_that_is_not_searched_here_is_refused(space_name: str, tmp_path: Path) -> None:
    """Its numbers are of another network; `params_of` would give those it lacks their defaults."""
    space = load_space(space_name)[0].model_copy(update={"system": "ae"} if space_name == "ae" else {})
    searched = "ae" if space_name == "ae" else " and ".join(space.systems)
    path = tmp_path / "fan.yaml"
    path.write_text("model: {name: other}\ntrain: {learning_rate: 0.002}\n")
    run = make_run("model.name=ae", f"search.enqueue=['{path}']", "train.weight_decay=0.001", space=space)
    with pytest.raises(
        InputError, match=f"--enqueue {path}: a config of other, and this is a search of {searched};"
    ):
        read_starts(tmp_path / "run", run, clips=CLIPS)


def test_a_config_that_names_no_system_is_of_the_one_that_the_search_starts_from(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train: {learning_rate: 0.002}\n")
    settings = ("model.name=ae", f"search.enqueue=['{path}']")
    _, point = read_starts(None, make_run(*settings, space=load_space("systems")[0]), clips=CLIPS).points[0]
    assert (point["system"], point["learning_rate"]) == ("ae", 0.002)


def test_a_start_that_no_study_takes_is_told_with_name_and_value(tmp_path: Path) -> None:
    space = load_space("ae")[0]
    run = make_run("model.name=ae", "train.batch_size=7", "train.weight_decay=0.001", space=space)
    studies, lines = begin(tmp_path / "new", run)
    assert lines == [
        "the starting point is not tried: batch_size is 7, not 8 or 16 or 64 or 128; "
        "widen the search space, or set it"
    ]
    first = studies.ask()
    assert first is not None
    assert first.params == space.of("fan").active(space.start[0])


def test_a_start_that_the_space_holds_elsewhere_is_told_and_for_whom() -> None:
    (line,) = read_starts(None, make_run(space=load_space("arcface")[0]), clips=CLIPS).lines
    assert line.startswith("the starting point is not tried: mix_prob is 1, held at 0; widen the search space, or")
    narrow = {"fan": {"margin": {"low": 0.1, "high": 0.2}}}
    params = {"margin": {"low": 0.1, "high": 0.9}}
    space = SearchSpace.model_validate({"question": "?", "params": params, "machine_types": narrow})
    (line,) = read_starts(None, make_run(space=space), clips=CLIPS).lines
    assert line.startswith("the starting point is not tried for fan: margin is 0.7, not 0.1 to 0.2;")


def test_a_config_that_sets_some_numbers_has_the_others_as_its_system_begins(tmp_path: Path) -> None:
    path = config_file(tmp_path / "mine.yaml", scale=20.0)
    run = make_run("model.name=os_scl", f"search.enqueue=['{path}']", space=load_space("os_scl")[0])
    (_, point), *_ = read_starts(None, run, clips=CLIPS).points
    assert (point["scale"], point["margin"]) == (20.0, find_system("os_scl").start["margin"])


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: No such file"):
        read_starts(tmp_path / "run", make_run("search.enqueue=['nowhere.yaml']"), clips=CLIPS)
    with pytest.raises(InputError, match=r"nowhere: no run\.yaml there"):
        read_starts(tmp_path / "run", make_run("search.warm_start=['nowhere']"), clips=CLIPS)


# -- earlier searches


def test_trials_of_an_earlier_search_teach_every_study_but_count_for_nothing_and_never_win(
    old: Path, tmp_path: Path
) -> None:
    before, _ = open_studies(old, make_run("search.trials=12"), take_over=False)
    studies, lines = begin(tmp_path / "new", make_run(f"search.warm_start=['{old}']", "search.seed=7"))
    for name in TYPES:
        pairs = zip(studies.trials(name), before.trials(name), strict=True)
        for new, was in pairs:
            assert (new.params, new.values, new.state) == (was.params, was.values, was.state)
            assert new.intermediate_values == was.intermediate_values
        assert studies.best(name) is None
        assert studies.own_trials(name) == []
    assert studies.count() == 0
    proposals = search(studies)
    assert len(proposals) == 6
    assert proposals[0].params["margin"] == 0.7
    assert proposals[0].uid == f"fan-{len(before.trials('fan'))}"  # a name that no other trial has
    for name in TYPES:
        best = studies.best(name)
        assert best is not None
        assert best[0] in {proposal.uid for proposal in proposals}
        published = studies.published(name)
        assert published is not None
        assert published[0] == proposals[0].uid
    states = [trial.state for trial in before.trials("valve")]  # the widest ranges hold all
    complete, pruned = states.count(TrialState.COMPLETE), states.count(TrialState.PRUNED)
    assert lines == [f"{old}: {complete} complete and {pruned} pruned trials teach this search; none can win"]


def test_the_same_command_again_teaches_nothing_twice_and_a_chain_of_searches_neither(
    old: Path, tmp_path: Path
) -> None:
    run = make_run(f"search.warm_start=['{old}', '{old}']")
    studies, _ = begin(tmp_path / "new", run)
    search(studies)
    again, _ = begin(tmp_path / "new", run)
    assert learnt(again, "valve") == learnt(studies, "valve")
    assert len(set(learnt(again, "valve"))) == len(learnt(again, "valve")) == 12
    both = make_run(f"search.warm_start=['{old}', '{tmp_path / 'new'}']")
    third, _ = begin(tmp_path / "third", both)
    assert len(learnt(third, "valve")) == len(set(learnt(third, "valve"))) == 12 + 6


def test_a_trial_is_judged_at_a_rung_against_those_of_the_earlier_search(old: Path, tmp_path: Path) -> None:
    def bad(proposal: Proposal, epoch: int) -> dict[str, float]:
        return dict.fromkeys(proposal.machine_types, -1.0)

    for warm, state in (([], TrialState.COMPLETE), ([str(old)], TrialState.PRUNED)):
        run = make_run(f"search.warm_start={warm}", "search.trials=1", "loss.margin=0.3")
        run = run.model_copy(update={"config": replace_settings(run.config, ["search.trials=2"])})
        studies, _ = begin(tmp_path / f"new-{len(warm)}", run)
        published, first = studies.ask(), studies.ask()
        assert published is not None
        assert first is not None
        finish(studies, first, bad)  # the first of its search to arrive at a rung
        assert studies.trials("fan")[-1].state is state


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["train.epochs=5"], "train.epochs is 4 there and 5 here"),
        (["model.width=0.5"], "model.width is 1.0 there and 0.5 here"),
        (["train.batch_size=32"], "train.batch_size is 64 there and 32 here"),
        (["score.objective=auc"], "score.objective is mean there and auc here"),
        (["search.scope=own"], "search.scope is joint there and own here"),
    ],
)
def test_where_values_mean_something_else_only_the_best_points_are_tried(
    old: Path, tmp_path: Path, settings: list[str], why: str
) -> None:
    before, _ = open_studies(old, make_run("search.trials=12"), take_over=False)
    best = {found[0]: found[1].params for name in TYPES if (found := before.best(name)) is not None}
    run = make_run(f"search.warm_start=['{old}']", "search.trials=12", *settings)
    studies, lines = begin(tmp_path / "new", run)
    assert lines == [f"{old}: {why}; only its best points are tried early: {', '.join(best)}"]
    assert learnt(studies, "fan") == []
    tried = [proposal.params for proposal in search_short(studies)]
    for point in best.values():
        assert point in tried[: 3 * (1 + len(best))]  # searched alone, every machine type tries each


def search_short(studies: Studies) -> list[Proposal]:
    """One report for each trial."""
    done = []
    while (proposal := studies.ask()) is not None:
        studies.report(proposal.uid, 1, objectives(proposal, 1))
        studies.tell(proposal.uid, "complete")
        done.append(proposal)
    return done


def test_best_points_outside_the_ranges_here_are_named_and_left_out(old: Path, tmp_path: Path) -> None:
    space = SearchSpace.model_validate({"question": "?", "params": {"margin": {"low": 2e-5, "high": 3e-5}}})
    studies, (start, line) = begin(tmp_path / "new", make_run(f"search.warm_start=['{old}']", space=space))
    assert start == (
        "the starting point is not tried: margin is 0.7, not 2e-05 to 3e-05; widen the search space, or set it"
    )
    assert "it searched other ranges; it has no point to try (outside the ranges here: " in line
    assert studies.count() == 0


def test_what_may_differ_and_what_may_not() -> None:
    now = make_run()
    alike = [
        "train.seed=5",
        "search.seed=5",
        "search.sampler=gp",
        "loss.margin=0.5",
        "score.threshold_quantile=0.5",
    ]
    assert difference(now, make_run(*alike, "search.prune=false", "search.eta=2")) is None
    assert difference(now, make_run("loss.mix_prob=0.5")) == "loss.mix_prob is 0.5 there and 1.0 here"
    cube = load_space("cube")[0]
    assert difference(make_run(space=cube), make_run("loss.mix_prob=0.5", space=cube)) is None  # searched there
    assert difference(now, make_run(fingerprint="b" * 64)) == "it searched another corpus"
    other = make_run().model_copy(update={"protocol": "paper"})
    assert difference(now, other) == "the protocol is paper there and split here"
    arcmix = make_run(space=load_space("arcmix")[0])
    assert difference(now, arcmix) == "it searched other ranges"


def test_a_run_cannot_learn_from_itself(old: Path) -> None:
    with pytest.raises(InputError, match="is the folder of this run; name an earlier one"):
        read_starts(old, make_run(f"search.warm_start=['{old}/']"), clips=CLIPS)


# -- kills


class KilledError(Exception):
    pass


class MortalStorage(InMemoryStorage):
    """Dies before its n-th write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None

    def _write(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise KilledError
            self.writes_left -= 1


def _mortal(name: str) -> Callable[..., Any]:
    def write(self: MortalStorage, *arguments: Any, **named: Any) -> Any:
        self._write()
        return getattr(InMemoryStorage, name)(self, *arguments, **named)

    return write


for _name in (
    "create_new_study",
    "create_new_trial",
    "set_study_user_attr",
    "set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
):
    setattr(MortalStorage, _name, _mortal(_name))


def lessons(*, several: bool) -> tuple[Lesson, ...]:
    """Two complete trials and a pruned one of an earlier search, for every machine type."""
    space = load_space("noisy_arcmix")[0].of("fan")
    found = []
    for number, state in enumerate((TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED)):
        point = {"margin": 0.25 + number / 10, "scale": 20.0, "mixup_alpha": 0.3, "noise_prob": 0.5}
        complete = state is TrialState.COMPLETE
        trial = optuna.create_trial(
            state=state,
            values=([0.9, 0.8] if several else [0.9]) if complete else None,
            params=point,
            distributions=space.distributions(point),
            intermediate_values={} if several else {1: 0.5},
        )
        found += [Lesson(machine_type=name, origin=f"old:fan-{number}", trial=trial) for name in TYPES]
    return tuple(found)


def open_mortal(storage: MortalStorage, objective: str) -> Studies:
    config = make_run("search.trials=4", f"score.objective={objective}").config
    return Studies(
        storage,
        machine_types=TYPES,
        space=load_space("noisy_arcmix")[0],
        search=config.search,
        epochs=EPOCHS,
        published=params_of(config),
        objectives=config.score.objectives,
    )


def drive(storage: MortalStorage, starts: Starts, objective: str) -> tuple[Studies, list[Proposal]]:
    studies = open_mortal(storage, objective)
    list(begin_from(starts, studies))
    return studies, search(studies)


@pytest.mark.parametrize("objective", ["mean", "auc,pauc"])
def test_a_driver_killed_before_any_write_loses_and_repeats_nothing_of_what_it_begins_from(objective: str) -> None:
    named = {"margin": 0.33, "scale": 20.0, "mixup_alpha": 0.5, "noise_prob": 1.0}
    best = {**named, "margin": 0.44}
    several = objective != "mean"
    starts = Starts(
        points=(("mine.yaml", named),), best=(best,), lessons=lessons(several=several), sources=("/old",)
    )
    whole = MortalStorage()
    _, proposals = drive(whole, starts, objective)
    assert [proposal.params["margin"] for proposal in proposals[:3]] == [0.7, 0.33, 0.44]
    kills = 0
    while True:
        storage = MortalStorage()
        storage.writes_left = kills
        try:
            drive(storage, starts, objective)
        except KilledError:
            kills += 1
        else:
            break
        storage.writes_left = None
        finished = finished_values(storage)
        studies, _ = drive(storage, starts, objective)
        assert finished.items() <= finished_values(storage).items(), f"killed before write {kills}"
        assert_as_if_never_killed(studies, kills)
    assert kills > 80


def assert_as_if_never_killed(studies: Studies, kills: int) -> None:
    own = [(name, trial) for name in TYPES for trial in studies.own_trials(name)]
    margins = [trial.params["margin"] for _, trial in own]
    assert len(own) == studies.count() == 4, f"killed before write {kills}"
    for margin in (0.7, 0.33, 0.44):
        assert margins.count(margin) == 1, f"killed before write {kills}"
    for name in TYPES:
        trials = studies.trials(name)
        assert sorted(learnt(studies, name)) == ["old:fan-0", "old:fan-1", "old:fan-2"]
        study = studies.storage.get_study_id_from_name(TYPES[0])
        assert studies.storage.get_study_user_attrs(study)["warm_started_from"] == ["/old"]
        copies = [trial.user_attrs["copy_of"] for trial in trials if "copy_of" in trial.user_attrs]
        assert len(copies) == len(set(copies))
        assert len(trials) == 3 + sum(
            studies.spaces[name].contains(studies.spaces[name].active(trial.params)) for _, trial in own
        )
        assert all(trial.state.is_finished() for trial in trials), f"killed before write {kills}"


def finished_values(storage: InMemoryStorage) -> dict[tuple[str, int], tuple[float, ...]]:
    return {
        (study.study_name, trial.number): tuple(trial.values or ())
        for study in storage.get_all_studies()
        for trial in storage.get_all_trials(study._study_id)
        if trial.state.is_finished()
    }
