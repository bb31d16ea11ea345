"""The report of a confirmed search: who wins, by how much, how sure, and what is handed over."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from asd_ray.config import ScoreConfig
from asd_ray.files.strict_yaml import dump, load
from asd_ray.report.confirmed import verdict_of
from asd_ray.report.judging import reporting_estimate
from asd_ray.report.render import cells, points, rebuild, spread, with_interval
from asd_ray.report.summary import MachineSummary
from asd_ray.scoring.detector import Best, Detector
from asd_ray.scoring.intervals import Estimate
from asd_ray.scoring.metrics import machine_metrics, objective_value
from asd_ray.search.confirmation import OUTCOME, PLAN
from asd_ray.search.runfolder import CLIPS, TRIALS, read_run
from asd_ray.training import checkpoint
from tests.local_search import Commander, begin, clips_for, confirmation_of, search
from tests.report.summaries import read_summary

SEEDS = (2024, 2025)


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def folder(confirmed_run: Path, tmp_path: Path) -> Path:
    """A confirmed run of this test's own."""
    return shutil.copytree(confirmed_run, tmp_path / "run")


def of(folder: Path, machine_type: str) -> MachineSummary:
    """As the report has it, which is written, too."""
    (machine,) = [one for one in rebuild(folder).machines if one.machine_type == machine_type]
    return machine


def read_of(folder: Path, machine_type: str) -> MachineSummary:
    (machine,) = [one for one in read_summary(folder).machines if one.machine_type == machine_type]
    return machine


def objective(folder: Path, place: str, machine_type: str, role: str) -> float:
    """From the scores and labels on disk."""
    rows = [
        row
        for row in pq.read_table(folder / CLIPS).to_pylist()
        if row["machine_type"] == machine_type and row[role]
    ]
    table = pq.read_table(folder / TRIALS / place / "scores.parquet").to_pylist()
    score_of = {row["clip_id"]: row["score"] for row in table}
    metrics = machine_metrics(
        machine_type,
        [row["machine_id"] for row in rows],
        is_anomaly=[row["is_anomaly"] for row in rows],
        score=[score_of[row["clip_id"]] for row in rows],
    )
    value = objective_value(metrics, "mean")
    assert value is not None
    return value


def make_perfect(folder: Path, uid: str, machine_type: str, *, only: str = "") -> None:
    """Give every anomaly a higher score than every normal clip; `only` where clips choose or report."""
    rows = {row["clip_id"]: row for row in pq.read_table(folder / CLIPS).to_pylist()}
    for seed in SEEDS:
        path = folder / TRIALS / uid / f"seed-{seed}" / "scores.parquet"
        table = pq.read_table(path).to_pylist()
        for row in table:
            if row["machine_type"] == machine_type and row["clip_id"] in rows:
                clip = rows[row["clip_id"]]
                high = clip["is_anomaly"] == (not only or clip[only])
                row["score"] = 100.0 * high + row["score"] % 1.0
        pq.write_table(pa.Table.from_pylist(table), path, write_page_checksum=True)


def other_than_start(folder: Path) -> str:
    """A confirmed config that the search did not start from."""
    plan = confirmation_of(folder).plan
    return next(one.uid for one in plan.candidates if one.uid not in plan.baseline.values())


def make_win(folder: Path, machine_type: str) -> str:
    """Confirm one config beside the starting one, and let it win."""
    uid = other_than_start(folder)
    plan = confirmation_of(folder).plan
    best = {**plan.best, machine_type: [uid]}
    (folder / PLAN).write_text(dump(plan.model_copy(update={"best": best}).model_dump()))
    make_perfect(folder, uid, machine_type)
    return uid


def test_the_winner_has_the_best_mean_on_the_choosing_clips_and_the_start_may_win(folder: Path) -> None:
    plan = confirmation_of(folder).plan
    for machine in read_summary(folder).machines:
        name, confirmed = machine.machine_type, machine.confirmed
        means = {
            one.uid: np.mean([objective(folder, f"{one.uid}/seed-{seed}", name, "chooses") for seed in SEEDS])
            for one in plan.of(name)
        }
        assert confirmed is not None
        assert confirmed.winner is not None
        assert confirmed.winner.choosing[0] == pytest.approx(max(means.values()))
        assert means[confirmed.winner.uid] == pytest.approx(max(means.values()))
        assert {one.uid for one in confirmed.candidates} == set(means)
    make_perfect(folder, plan.baseline["fan"], "fan")
    machine = read_of(folder, "fan")
    assert machine.confirmed is not None
    assert machine.confirmed.winner == machine.confirmed.baseline
    assert machine.confirmed.difference is None
    assert machine.confirmed.verdict.startswith("no evidence of improvement: the starting configuration itself")


def test_the_reporting_clips_do_not_choose_the_winner(folder: Path) -> None:
    uid = make_win(folder, "fan")
    start = confirmation_of(folder).plan.baseline["fan"]
    make_perfect(folder, uid, "fan", only="chooses")
    make_perfect(folder, start, "fan", only="reports")
    confirmed = read_of(folder, "fan").confirmed
    assert confirmed is not None
    assert confirmed.winner is not None
    assert (confirmed.winner.uid, confirmed.winner.reporting) == (uid, (pytest.approx((0 + 9 / 19) / 2), 0.0))
    assert (confirmed.baseline.uid, confirmed.baseline.reporting) == (start, (1.0, 0.0))
    assert confirmed.difference is not None
    assert confirmed.difference.mean < -0.7


def test_means_deviations_and_the_difference_are_those_of_the_scores_on_disk(folder: Path) -> None:
    uid = make_win(folder, "fan")
    machine = of(folder, "fan")
    confirmed = machine.confirmed
    assert confirmed is not None
    assert confirmed.winner is not None
    assert confirmed.winner.uid == uid
    own, start = (
        [objective(folder, f"{name}/seed-{seed}", "fan", "reports") for seed in SEEDS]
        for name in (uid, confirmed.baseline.uid)
    )
    assert own == [1.0, 1.0]
    assert confirmed.winner.reporting == (1.0, 0.0)
    assert machine.best_estimate is not None
    assert machine.best_estimate.mean == 1.0
    assert confirmed.difference is not None
    assert confirmed.difference.mean == pytest.approx(np.mean(np.subtract(own, start)))
    assert confirmed.difference.sd == pytest.approx(np.std(np.subtract(own, start), ddof=1))
    entry = json.loads((folder / "report" / "summary.json").read_text())["machine_types"]["fan"]["confirmed"]
    assert entry["difference"]["mean"] == confirmed.difference.mean
    assert entry["seeds"] == list(SEEDS)
    found = json.loads((folder / "report" / "summary.json").read_text())["machine_types"]["fan"]["candidates"]
    by_seed = {one["trial"]: [one["seeds"][str(seed)]["reporting"] for seed in SEEDS] for one in found}
    assert by_seed == {uid: pytest.approx(own), confirmed.baseline.uid: pytest.approx(start)}


def test_the_winner_s_intervals_allow_for_its_having_been_chosen_and_the_start_s_does_not(folder: Path) -> None:
    uid = make_win(folder, "fan")
    make_perfect(folder, uid, "fan", only="chooses")  # so it wins, and is not perfect where it is reported
    confirmed = read_of(folder, "fan").confirmed
    assert confirmed is not None
    assert confirmed.winner is not None
    assert confirmed.winner.uid == uid
    every = [one.trainings for one in confirmed.candidates]
    winner, start, config = confirmed.winner.trainings, confirmed.baseline.trainings, ScoreConfig()
    assert confirmed.winner_estimate == reporting_estimate(winner, config=config, contenders=every)
    assert confirmed.difference == reporting_estimate(winner, config=config, minus=start, contenders=every)
    assert confirmed.baseline_estimate == reporting_estimate(start, config=config)
    # Its two seeds are alike, so that without the others nothing would tell how far seeds scatter.
    assert confirmed.winner_estimate != reporting_estimate(winner, config=config)


def test_what_is_handed_over_is_the_winner_s_best_training_on_the_choosing_clips(
    folder: Path, small_dataset: Path
) -> None:
    for machine in rebuild(folder).machines:
        name = machine.machine_type
        best = load(folder / "best" / f"{name}.yaml", Best)
        assert machine.confirmed is not None
        assert machine.confirmed.winner is not None
        uid = machine.confirmed.winner.uid
        values = {seed: objective(folder, f"{uid}/seed-{seed}", name, "chooses") for seed in SEEDS}
        assert values[best.seed] == max(values.values()) == pytest.approx(best.choosing["objective"])
        assert (best.trial, best.config.train.seed) == (uid, best.seed)
        assert best.confirmed is not None
        assert best.confirmed.choosing["mean"] == pytest.approx(np.mean(list(values.values())))
        assert best.confirmed.choosing["sd"] == pytest.approx(np.std(list(values.values()), ddof=1))
        state = checkpoint.load(folder / TRIALS / uid / f"seed-{best.seed}" / "state.pt")
        assert state is not None
        weights = load_file(folder / "best" / best.model)
        assert all(torch.equal(weights[key], tensor) for key, tensor in state["module"].items())
        scores = pq.read_table(folder / TRIALS / uid / f"seed-{best.seed}" / "scores.parquet").to_pylist()
        row = next(row for row in scores if row["machine_type"] == name and row["split"] == "test")
        scored = Detector(folder / "best" / f"{name}.yaml").score(small_dataset / row["clip_id"])
        assert scored.score == pytest.approx(row["score"], rel=1e-4, abs=1e-4)


def test_the_choice_s_flattery_is_shown_for_clips_and_for_the_seed(folder: Path) -> None:
    for machine in rebuild(folder).machines:
        name = machine.machine_type
        assert machine.observed is not None
        uid = machine.observed.uid
        searched = objective(folder, uid, name, "chooses")
        assert machine.observed.optimism == pytest.approx(searched - objective(folder, uid, name, "reports"))
        mean = np.mean([objective(folder, f"{uid}/seed-{seed}", name, "chooses") for seed in SEEDS])
        assert machine.curse == pytest.approx(searched - mean)
        bias = json.loads((folder / "report" / "summary.json").read_text())["machine_types"][name][
            "selection_bias"
        ]
        assert bias["chosen_by_search"] == uid
        assert bias["search_minus_confirmed"] == pytest.approx(searched - mean)
        line = f"| {name} | {uid} | {100 * searched:.1f} |"
        assert line in (folder / "report" / "report.md").read_text()


def test_the_winner_s_mean_on_choosing_minus_on_reporting_clips_is_shown_too(folder: Path) -> None:
    uid = make_win(folder, "fan")
    make_perfect(folder, uid, "fan", only="chooses")
    of(folder, "fan")
    choosing, reporting = (
        np.mean([objective(folder, f"{uid}/seed-{seed}", "fan", role) for seed in SEEDS])
        for role in ("chooses", "reports")
    )
    bias = json.loads((folder / "report" / "summary.json").read_text())["machine_types"]["fan"]["selection_bias"]
    assert bias["winner"] == uid
    assert choosing - reporting > 0.7
    assert bias["winner_choosing_minus_reporting"] == pytest.approx(choosing - reporting)
    text = (folder / "report" / "report.md").read_text()
    (row,) = [cells for cells in rows_of(text) if cells[:2] == ["fan", f"{uid}, confirmed"]]
    assert row[2:5] == ["100.0 ± 0.0", f"{100 * reporting:.1f} ± 0.0", f"{100 * (choosing - reporting):+.1f}"]


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:1] == "|"]


def test_a_confirmation_that_is_not_finished_leaves_what_the_search_chose_and_says_so(folder: Path) -> None:
    uid = confirmation_of(folder).plan.best["fan"][0]
    (folder / TRIALS / uid / "seed-2025" / OUTCOME).unlink()
    machine = read_of(folder, "fan")
    assert machine.confirmed is None
    assert machine.best == machine.observed
    assert (
        machine.standing == "one seed, not confirmed: 1 trainings are left, call the search with --confirm again"
    )


def test_a_config_that_failed_is_named_and_cannot_win(folder: Path) -> None:
    uid = make_win(folder, "fan")
    failed = {"outcome": "failed", "reason": "the loss is nan in epoch 1"}
    (folder / TRIALS / uid / "seed-2025" / OUTCOME).write_text(json.dumps(failed))
    machine = of(folder, "fan")
    assert machine.confirmed is not None
    assert machine.confirmed.winner == machine.confirmed.baseline
    assert f"{uid} failed with seed 2025: the loss is nan in epoch 1" in machine.problems
    start = machine.confirmed.baseline.uid
    (folder / TRIALS / start / "seed-2024" / OUTCOME).write_text(json.dumps(failed))
    machine = of(folder, "fan")
    assert machine.confirmed is not None
    assert (machine.best, machine.confirmed.winner) == (None, None)
    assert machine.confirmed.verdict == "every config failed"


def test_a_config_that_was_lost_is_left_out_for_now_and_the_mend_is_named(folder: Path) -> None:
    uid = make_win(folder, "fan")
    lost = {"outcome": "lost", "reason": "its process died 3 times: ActorDiedError"}
    (folder / TRIALS / uid / "seed-2025" / OUTCOME).write_text(json.dumps(lost))
    machine = of(folder, "fan")
    assert machine.confirmed is not None
    assert machine.confirmed.winner == machine.confirmed.baseline
    (problem,) = machine.problems
    assert problem == (
        f"{uid} failed with seed 2025: its process died 3 times: ActorDiedError; "
        "call the search with --confirm again, which goes on with it"
    )


def test_a_plan_that_cannot_be_read_costs_the_confirmation_and_not_the_report(folder: Path) -> None:
    (folder / PLAN).write_text("trials: [\n")
    machine = of(folder, "fan")
    assert machine.best == machine.observed
    assert machine.best is not None
    (problem,) = machine.problems
    assert re.search(rf"{PLAN}:\d+.*; delete {PLAN} and call the search with --confirm again", problem)


def estimated(low: float | None, high: float | None) -> Estimate:
    return Estimate(mean=0.01, sd=0.02, low=low, high=high, method="", note="id_00 has a single normal clip")


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (estimated(-0.01, 0.03), "no evidence of improvement"),
        (estimated(0.0, 0.03), "no evidence of improvement"),
        (estimated(0.001, 0.03), "better"),
        (estimated(-0.03, -0.001), "no evidence of improvement: worse"),
        (estimated(None, None), "no evidence of improvement"),
        (replace(estimated(0.001, 0.03), sd=None), "one seed: no verdict"),
        (None, "undefined on the reporting clips"),
    ],
)
def test_only_an_interval_above_zero_is_evidence(difference: Estimate | None, words: str) -> None:
    assert verdict_of(difference) == words


def test_figures_are_written_as_people_read_them() -> None:
    assert (spread(0.851, 0.0123), spread(0.851, None)) == ("85.1 ± 1.2", "85.1")
    assert with_interval(estimated(-0.01, 0.03), signed=True) == "+1.0 ± 2.0 [-1.0, +3.0]"
    assert with_interval(estimated(None, None)) == "1.0 ± 2.0 (no interval: id_00 has a single normal clip)"
    assert (points(-0.0512), points(None), with_interval(None)) == ("-5.1", "undefined", "undefined")


def test_under_paper_every_figure_is_called_optimistic(small_shards: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ["search.trials=2", "search.confirm=1", "search.seeds=2", "search.prune=false", "train.epochs=1"]
    run, plan = begin(small_shards, folder, settings, protocol="paper")
    clips = clips_for(small_shards, plan)
    search(folder, run, Commander(clips, num_classes=len(run.corpus.classes)))
    summary = rebuild(folder)
    assert read_run(folder)[0].protocol == "paper"
    text = (folder / "report" / "report.md").read_text()
    assert "**every number below is optimistic.**" in text
    columns = [
        (header, cell)
        for table in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
        for header, cell in in_columns(table)
    ]
    figures = [cell for header, cell in columns if is_figure(header) and re.search(r"\d", cell)]
    assert len(figures) > 40
    assert [cell for cell in figures if not cell.endswith("(optimistic)")] == []
    assert all(
        cell.endswith("(optimistic)") for machine in summary.machines for cell in cells(machine, optimistic=True)
    )
    assert json.loads((folder / "report" / "summary.json").read_text())["optimistic"] is True
    for machine in summary.machines:
        assert machine.best is not None
        assert machine.best.objective == machine.best.reporting_objective


def in_columns(table: str) -> list[tuple[str, str]]:
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines())
    return [pair for row in rows for pair in zip(header, row, strict=True)]


def is_figure(header: str) -> bool:
    """Whether a column holds figures of merit: the others are names, searched numbers, counts, thresholds."""
    return bool(re.search(r"objective|choosing|reporting|published|AUC|difference|search", header))
