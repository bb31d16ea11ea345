"""The harness drives the real studies, spends what it says, judges by true values, and can be cut off."""

import json
from pathlib import Path

import optuna
import pytest

from benchmarks.quality.arms import ARMS, QUICK
from benchmarks.quality.choice import judge, ranked
from benchmarks.quality.drive import Arm, Lanes, search
from benchmarks.quality.report import cells_of, reach_table, table
from benchmarks.quality.search import main, run, run_all
from benchmarks.quality.worlds import EPOCHS, PUBLISHED, TYPES

optuna.logging.set_verbosity(optuna.logging.WARNING)
SMALL = Arm("small", sampler="random", costs=(4, 8), rules=("observed", "posterior", "confirmed"))


def test_a_search_without_pruning_spends_whole_trainings_and_tries_the_published_point_first() -> None:
    *_, last = search(SMALL, 0)
    assert (last.cost, last.epochs >= 8 * EPOCHS) == (8, True)
    assert last.finished in range(8 - SMALL.lanes, 9)
    first = last.studies.trials("fan")[0]
    assert {name: PUBLISHED[name] for name in first.params} == first.params


def test_joint_trials_teach_all_studies_and_own_ones_their_own() -> None:
    joint, own = (
        next(search(Arm("", sampler="random", scope=scope, costs=(8,)), 0)) for scope in ("joint", "own")
    )
    held = {
        scope: sum(len(moment.studies.trials(name)) for name in TYPES)
        for scope, moment in (("joint", joint), ("own", own))
    }
    assert held["joint"] >= 6 * joint.finished
    assert held["own"] <= own.finished + SMALL.lanes


def test_pruning_gets_more_trials_for_the_same_epochs_and_other_rungs_fewer() -> None:
    trials = {}
    for name, changes in {
        "none": {},
        "from 1": {"prune": True, "rungs": (1, 3, 9)},
        "at 9": {"prune": True},
    }.items():
        *_, last = search(Arm(name, sampler="random", costs=(12,), **changes), 0)  # type: ignore[arg-type]
        trials[name] = last.finished
    assert trials["none"] < trials["at 9"] < trials["from 1"]


def test_lanes_end_at_different_times_and_no_trial_reports_twice_the_same() -> None:
    lanes = Lanes(count=2, seed=0)
    lanes.start("a")
    lanes.start("b")
    assert not lanes.free
    seen = []
    for _ in range(6):
        uid, index = lanes.next()
        seen.append((uid, index))
        if index < 2:
            lanes.go_on(uid, index + 1)
    assert sorted(seen) == [(uid, index) for uid in "ab" for index in range(3)]
    assert lanes.idle


def test_regret_is_judged_by_true_values_and_zero_only_at_the_best() -> None:
    world = SMALL.world(0)
    moment = list(search(SMALL, 0))[-1]
    found = judge(moment, ("observed", "confirmed"), world=world)
    tried = {
        name: [
            world.best(name) - world.truth(name, {"mix_prob": 1.0, **t.params})
            for t in ranked(moment, name, "observed", world=world)
        ]
        for name in TYPES
    }
    assert found["observed"][0] == pytest.approx(sum(regrets[0] for regrets in tried.values()) / 6, abs=1e-3)
    assert min(min(regrets) for regrets in tried.values()) >= 0


def test_confirmation_makes_a_better_choice_over_many_searches() -> None:
    pairs = [run(SMALL, seed).moments["8"] for seed in range(12)]
    gains = [pair["observed"][0] - pair["confirmed"][0] for pair in pairs]  # type: ignore[index]
    assert sum(gains) / len(gains) > 0.2


def test_a_call_that_was_cut_off_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    run_all([SMALL], path, seeds=1)
    begun = path.read_text()
    run_all([SMALL], path, seeds=2)
    lines = path.read_text()
    assert lines.startswith(begun)
    assert [json.loads(line)["seed"] for line in lines.splitlines()] == [0, 1]


def test_the_same_seed_gives_the_same_figures() -> None:
    assert run(SMALL, 1).moments == run(SMALL, 1).moments


def test_a_table_shows_mean_and_standard_error_over_seeds() -> None:
    lines = [
        {"arm": "a", "seed": seed, "seconds": 1.0, "moments": {"8": {"finished": 8, "observed": [regret, 0.5]}}}
        for seed, regret in enumerate([1.0, 2.0, 3.0])
    ]
    assert table(cells_of(lines), ["a"], "observed").splitlines()[-1] == "| a (3) | 2.00 ± 0.58 |"
    assert table(cells_of(lines), ["a"], "observed", within=True).splitlines()[-1] == "| a (3) | 50% |"


def test_the_goals_are_reached_when_they_are_first_seen_to_be_and_a_median_needs_half_of_the_searches() -> None:
    def line(seed: int, regrets: dict[int, float]) -> dict[str, object]:
        moments = {str(cost): {"finished": cost - 1, "observed": [r, 0.0]} for cost, r in regrets.items()}
        return {"arm": "a", "seed": seed, "seconds": 1.0, "moments": moments}

    lines = [line(0, {8: 0.9, 16: 1.2}), line(1, {8: 1.1, 16: 0.4}), line(2, {8: 3.0, 16: 2.0})]
    assert reach_table(lines).splitlines()[-1] == "| a | best observed | 2 of 3, 16 (15 trials) | 1 of 3 |"


def test_names_of_arms_are_unique_and_quick_is_few() -> None:
    names = [arm.name for arm in ARMS + QUICK]
    assert len(names) == len(set(names))
    assert sum(arm.seeds for arm in QUICK) < 25


def test_the_command_writes_lines_tables_and_the_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "lines.jsonl", tmp_path / "plot.svg"
    main(
        ["--quick", "--arms", "quick smooth joint random", "--seeds", "2", "--out", str(out), "--plot", str(plot)]
    )
    assert len(out.read_text().splitlines()) == 2
    assert "| quick smooth joint random (2) |" in capsys.readouterr().out
    assert plot.read_text().startswith("<?xml")
