"""Networks read by every score, and configs combined: what the report says of it, and what is handed over."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.files.strict_yaml import load
from asd_ray.report.render import rebuild
from asd_ray.report.summary import MachineSummary
from asd_ray.scoring.detector import Best, Detector
from asd_ray.scoring.ensemble import combined
from asd_ray.scoring.metrics import machine_metrics, objective_value
from asd_ray.scoring.scores import OF_EMBEDDINGS, SCORES
from asd_ray.search.confirmation import OUTCOME
from asd_ray.search.runfolder import CLIPS, TRIALS
from tests.conftest import searched
from tests.local_search import confirmation_of
from tests.report.summaries import read_summary

SEEDS = (2024, 2025)


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def auto_run(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Machine types choose their scores; the best of two trials confirmed with two seeds. Copy it first."""
    settings = ("score.name=auto", "search.trials=2", "search.confirm=1", "search.seeds=2")
    return searched(small_shards, tmp_path_factory.mktemp("runs") / "run", *settings)


@pytest.fixture
def folder(confirmed_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(confirmed_run, tmp_path / "run")


@pytest.fixture
def auto(auto_run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(auto_run, tmp_path / "auto")


def of(folder: Path, machine_type: str = "fan") -> MachineSummary:
    """As the report has it, which is written, too."""
    (machine,) = [one for one in rebuild(folder).machines if one.machine_type == machine_type]
    return machine


def read_of(folder: Path, machine_type: str = "fan") -> MachineSummary:
    (machine,) = [one for one in read_summary(folder).machines if one.machine_type == machine_type]
    return machine


def rows_of(folder: Path, machine_type: str, role: str) -> list[dict[str, object]]:
    table = pq.read_table(folder / CLIPS).to_pylist()
    return [row for row in table if row["machine_type"] == machine_type and row[role]]


def scores_of(folder: Path, place: str, column: str, rows: list[dict[str, object]]) -> list[float]:
    table = pq.read_table(folder / TRIALS / place / "scores.parquet").to_pylist()
    score_of = {row["clip_id"]: row[column] for row in table}
    return [score_of[row["clip_id"]] for row in rows]


def objective(machine_type: str, rows: list[dict[str, object]], scores: list[float]) -> float:
    metrics = machine_metrics(
        machine_type,
        [str(row["machine_id"]) for row in rows],
        is_anomaly=[bool(row["is_anomaly"]) for row in rows],
        score=scores,
    )
    value = objective_value(metrics, "mean")
    assert value is not None
    return value


@pytest.mark.parametrize("role", ["choosing", "reporting"])
def test_what_each_score_would_give_is_that_of_its_column_over_the_winner_s_seeds(folder: Path, role: str) -> None:
    for machine in read_summary(folder).machines:
        name = machine.machine_type
        assert machine.confirmed is not None
        assert machine.confirmed.winner is not None
        uid = machine.confirmed.winner.uid
        rows = rows_of(folder, name, {"choosing": "chooses", "reporting": "reports"}[role])
        assert tuple(row.name for row in machine.scores) == OF_EMBEDDINGS
        for row in machine.scores:
            values = [
                objective(name, rows, scores_of(folder, f"{uid}/seed-{seed}", row.name, rows)) for seed in SEEDS
            ]
            assert getattr(row, role) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        (counting,) = [row for row in machine.scores if row.counts]
        assert counting.name == "margin_cross_entropy"
        assert getattr(counting, role) == pytest.approx(getattr(machine.confirmed.winner, role))


def test_the_report_shows_what_each_score_would_give(folder: Path) -> None:
    machine = of(folder)
    text = (folder / "report" / "report.md").read_text()
    page = (folder / "report" / "index.html").read_text()
    plain = json.loads((folder / "report" / "summary.json").read_text())["machine_types"]["fan"]["scores"]
    assert [one["score"] for one in plain] == list(OF_EMBEDDINGS)
    for row in machine.scores:
        assert f"| fan | {row.name} |" in text
        assert row.name in page
    assert "| fan | margin_cross_entropy |" in text
    assert text.count("| counts |") == 2  # one line of each machine type


def test_a_run_of_before_there_were_other_scores_has_none_to_show(folder: Path) -> None:
    before = read_of(folder)
    for path in (folder / TRIALS).rglob("scores.parquet"):
        table = pq.read_table(path).select(["clip_id", "machine_type", "split", "score"])
        pq.write_table(table, path, write_page_checksum=True)
    after = read_of(folder)
    assert after.scores == ()
    assert after.best == before.best


def test_each_machine_type_keeps_the_score_that_the_search_chose_for_it(auto: Path, small_dataset: Path) -> None:
    plan = confirmation_of(auto).plan
    for machine in rebuild(auto).machines:
        name = machine.machine_type
        history = {}
        for uid in {one.uid for one in plan.of(name)}:
            history[uid] = json.loads((auto / TRIALS / uid / "metrics.json").read_text())[-1]
            values = history[uid]["objective_by_score"][name]
            best = max(OF_EMBEDDINGS, key=lambda score, values=values: values[score])
            assert history[uid]["score"][name] == best
            assert history[uid]["objective"][name] == values[best]
        assert {one.uid: one.scores[name] for one in plan.of(name)} == {
            uid: report["score"][name] for uid, report in history.items()
        }
        assert machine.confirmed is not None
        winner = machine.confirmed.winner
        assert winner is not None
        score = history[winner.uid]["score"][name]
        rows = rows_of(auto, name, "chooses")
        for judged in winner.trainings:
            expected = objective(name, rows, scores_of(auto, judged.place, score, rows))
            outcome = json.loads((auto / TRIALS / judged.place / OUTCOME).read_text())
            assert judged.objective == pytest.approx(expected)
            assert outcome["objective"][name] == pytest.approx(expected)
        found = load(auto / "best" / f"{name}.yaml", Best)
        assert found.config.score.name == score
        clip = rows[0]["clip_id"]
        (value,) = scores_of(auto, winner.handed_over.place, score, rows[:1])
        scored = Detector(auto / "best" / f"{name}.yaml").score(small_dataset / str(clip))
        assert scored.score == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_of_several_seeds_none_chooses_a_score_anew(auto: Path) -> None:
    """Another score may be best with these seeds; to take it would flatter the winner by their luck."""
    machine = read_of(auto)
    assert machine.confirmed is not None
    winner = machine.confirmed.winner
    assert winner is not None
    kept = winner.trainings[0].score
    other = next(name for name in OF_EMBEDDINGS if name != kept)
    truth = {row["clip_id"]: row["is_anomaly"] for row in pq.read_table(auto / CLIPS).to_pylist()}
    for judged in winner.trainings:
        path = auto / TRIALS / judged.place / "scores.parquet"
        table = pq.read_table(path).to_pylist()
        for row in table:
            row[other] = float(truth.get(row["clip_id"], False))
        pq.write_table(pa.Table.from_pylist(table), path, write_page_checksum=True)
    again = read_of(auto)
    assert again.confirmed is not None
    assert again.confirmed.winner is not None
    assert {judged.score for judged in again.confirmed.winner.trainings} == {kept}
    assert {row.name: row.choosing for row in again.scores}[other] == (1.0, 0.0)


def test_an_ensemble_begins_with_the_winner_and_is_chosen_by_the_choosing_clips(folder: Path) -> None:
    for machine in read_summary(folder).machines:
        assert machine.confirmed is not None
        assert machine.confirmed.winner is not None
        ensemble = machine.ensemble
        assert ensemble is not None
        assert ensemble.members[0] == machine.confirmed.winner.uid
        assert set(ensemble.members) <= {one.uid for one in machine.confirmed.candidates}
        assert ensemble.choosing[0] >= machine.confirmed.winner.choosing[0] - 1e-9
        assert (ensemble.gain is None) == (len(ensemble.members) == 1)


def test_what_an_ensemble_gains_is_measured_on_the_reporting_clips_seed_by_seed(folder: Path) -> None:
    machine = help_winner(folder)
    ensemble = machine.ensemble
    assert ensemble is not None
    assert len(ensemble.members) == 2
    rows = rows_of(folder, "fan", "reports")
    by_member = [
        [scores_of(folder, f"{uid}/seed-{seed}", "score", rows) for seed in SEEDS] for uid in ensemble.members
    ]
    together = [objective("fan", rows, list(scores)) for scores in combined(by_member)]
    alone = [objective("fan", rows, scores) for scores in by_member[0]]
    assert ensemble.reporting is not None
    assert ensemble.reporting.mean == pytest.approx(np.mean(together))
    assert ensemble.gain is not None
    assert ensemble.gain.mean == pytest.approx(np.mean(np.subtract(together, alone)))
    assert ", ".join(ensemble.members) in (folder / "report" / "report.md").read_text()
    assert ", ".join(ensemble.members) in (folder / "report" / "index.html").read_text()


def help_winner(folder: Path) -> MachineSummary:
    """The winner ranks half of the choosing anomalies wrong, and another config the other half."""
    machine = read_of(folder)
    assert machine.confirmed is not None
    assert machine.confirmed.winner is not None
    winner = machine.confirmed.winner.uid
    other = next(one.uid for one in machine.confirmed.candidates if one.uid != winner)
    rows = {row["clip_id"]: row for row in rows_of(folder, "fan", "chooses")}
    rng = np.random.default_rng(0)
    for uid, odd in ((winner, 0), (other, 1)):
        for seed in SEEDS:
            path = folder / TRIALS / uid / f"seed-{seed}" / "scores.parquet"
            table = pq.read_table(path).to_pylist()
            anomalies = sorted(clip for clip, row in rows.items() if row["is_anomaly"])
            for row in table:
                if row["clip_id"] in rows:
                    caught = row["clip_id"] in anomalies and anomalies.index(row["clip_id"]) % 2 == odd
                    row["score"] = 10.0 * caught + rng.random() + (0.1 if uid == winner and caught else 0.0)
            pq.write_table(pa.Table.from_pylist(table), path, write_page_checksum=True)
    return of(folder)


def test_every_score_of_the_table_is_named_in_the_readme_of_scores() -> None:
    text = (Path(__file__).parents[2] / "docs" / "scores.md").read_text()
    assert all(f"`{name}`" in text for name in SCORES)
