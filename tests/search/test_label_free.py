"""`--objective proxy`: a search that no label chooses in, and what the proxy is worth where labels are there."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from scipy import stats

from asd_ray.config import RunConfig, replace_settings
from asd_ray.data.prepare import prepare
from asd_ray.errors import InputError
from asd_ray.report.render import rebuild
from asd_ray.scoring.metrics import machine_metrics, objective_value
from asd_ray.search.runfolder import CLIPS, TRIALS, plan_clips
from tests.conftest import searched
from tests.report.summaries import read_summary


@pytest.fixture(scope="module")
def proxy_run(small_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = (
        "score.objective=proxy",
        "score.name=auto",
        "search.trials=2",
        "search.confirm=1",
        "search.seeds=2",
    )
    return searched(small_shards, tmp_path_factory.mktemp("runs") / "run", *settings)


def test_no_label_chooses_and_none_is_visible(small_shards: Path) -> None:
    plan = plan_clips(small_shards, "auto", objective="proxy")
    assert plan.visible_labels == []
    assert not any(plan.clips.column("chooses").to_pylist())
    assert (
        plan.clips.column("reports").to_pylist()
        == plan_clips(small_shards, "auto").clips.column("reports").to_pylist()
    )
    assert plan.machine_types == ("fan", "pump")


def test_a_corpus_without_any_label_can_be_searched(small_dataset: Path, tmp_path: Path) -> None:
    root = shutil.copytree(small_dataset, tmp_path / "machines")
    for name in ("fan", "pump"):
        shutil.rmtree(root / name / "test")
    prepare(root, tmp_path / "shards")
    with pytest.raises(InputError, match="add labelled test clips, or choose without labels: --objective proxy"):
        plan_clips(tmp_path / "shards", "auto")
    plan = plan_clips(tmp_path / "shards", "auto", objective="proxy")
    assert plan.machine_types == ("fan", "pump")
    assert plan.visible_labels == []


def test_a_machine_type_of_one_id_has_nobody_to_stand_in(small_dataset: Path, tmp_path: Path) -> None:
    root = shutil.copytree(small_dataset, tmp_path / "machines")
    for path in (root / "pump").rglob("*_id_01_*"):
        path.unlink()
    prepare(root, tmp_path / "shards")
    plan = plan_clips(tmp_path / "shards", "auto", objective="proxy")
    assert plan.machine_types == ("fan",)
    assert plan.not_searchable == {"pump": "one machine id, and clips of other ids are to stand in for anomalies"}
    for path in (root / "fan").rglob("*_id_01_*"):
        path.unlink()
    prepare(root, tmp_path / "other")
    with pytest.raises(InputError, match=r"fan: one machine id.*add labelled test clips") as refused:
        plan_clips(tmp_path / "other", "auto", objective="proxy")
    assert "--valid-fraction" not in str(refused.value)


def test_without_labels_and_other_ids_nothing_but_labels_helps(small_dataset: Path, tmp_path: Path) -> None:
    root = shutil.copytree(small_dataset, tmp_path / "machines")
    for path in {*root.rglob("*_id_01_*"), *root.rglob("test/*.wav")}:
        path.unlink()
    prepare(root, tmp_path / "shards")
    with pytest.raises(InputError, match=r"add labelled test clips$"):
        plan_clips(tmp_path / "shards", "auto")


def test_where_no_clip_is_held_out_the_mend_is_to_hold_some_out(small_dataset: Path, tmp_path: Path) -> None:
    prepare(small_dataset, tmp_path / "shards", valid_fraction=0.0)
    with pytest.raises(
        InputError, match=r"held-out clips of 0 of its 2 machine ids.*4 training clips.*--valid-fraction"
    ):
        plan_clips(tmp_path / "shards", "auto", objective="proxy")


def test_what_chooses_is_how_well_other_ids_are_told_from_held_out_clips(proxy_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(proxy_run, tmp_path / "run")
    summary = rebuild(folder)
    for machine in summary.machines:
        assert machine.best is not None
        table = pq.read_table(folder / TRIALS / machine.best.place / "stand_ins.parquet").to_pylist()
        rows = [row for row in table if row["machine_type"] == machine.machine_type]
        found = machine_metrics(
            machine.machine_type,
            [row["machine_id"] for row in rows],
            is_anomaly=[row["is_stand_in"] for row in rows],
            score=[row[machine.best.score] for row in rows],
        )
        assert machine.best.objective == pytest.approx(objective_value(found, "mean"))
        own = {row["clip_id"]: row["machine_id"] for row in rows if not row["is_stand_in"]}
        for row in rows:
            assert (row["machine_id"] != own[row["clip_id"]]) == row["is_stand_in"]
    assert summary.label_free == {}
    text = (folder / "report" / "report.md").read_text()
    assert "no label chose the configs" in text
    assert (folder / "report" / "index.html").exists()


def test_labels_that_report_are_those_of_real_anomalies(proxy_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(proxy_run, tmp_path / "run")
    clips = [row for row in pq.read_table(folder / CLIPS).to_pylist() if row["reports"]]
    for machine in read_summary(folder).machines:
        assert machine.best is not None
        assert {row[0] for row in machine.best.reported} == {
            row["clip_id"] for row in clips if row["machine_type"] == machine.machine_type
        }


def test_a_search_with_labels_says_how_alike_the_proxy_orders_its_trials(
    finished_run: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished_run, tmp_path / "run")
    summary = read_summary(folder)
    assert {found.trials for found in summary.label_free.values()} == {2}  # too few for a correlation
    assert {str(found) for found in summary.label_free.values()} == {"undefined"}
    for row in summary.trials:
        last = json.loads((folder / TRIALS / row.uid / "metrics.json").read_text())[-1]
        assert row.proxy == last["proxy"]
        assert set(row.proxy) == set(summary.run.machine_types)
    rows = [row for number in range(3) for row in summary.trials]
    values, proxies = [0.5, 0.9, 0.6, 0.7, 0.4, 0.8], [0.3, 0.6, 0.5, 0.4, 0.2, 0.7]
    rows = [
        replace(row, objective={"fan": value}, proxy={"fan": proxy})
        for row, value, proxy in zip(rows, values, proxies, strict=True)
    ]
    pruned = replace(rows[0], state="pruned", proxy={"fan": 0.99})  # after few epochs: not comparable
    found = replace(summary, trials=(*rows, pruned)).label_free["fan"]
    assert found.trials == 6
    assert found.value == pytest.approx(stats.spearmanr(values, proxies).statistic)


def test_the_proxy_is_an_objective_of_its_own() -> None:
    assert replace_settings(RunConfig(), ["score.objective=proxy"]).score.objectives == ("proxy",)
    with pytest.raises(InputError, match="or proxy"):
        replace_settings(RunConfig(), ["score.objective=auc,proxy"])
