"""The report of a run folder: rebuilt from disk alone, equal every time, and never led by what it reports on."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asd_ray.config import load_config, with_params
from asd_ray.errors import InputError
from asd_ray.files.strict_yaml import load
from asd_ray.report.edges import edges
from asd_ray.report.judging import normal_scores
from asd_ray.report.render import markdown, page, percent, points, rebuild, rebuild_alone, trials_csv
from asd_ray.report.summary import Summary
from asd_ray.scoring.detector import Best
from asd_ray.scoring.metrics import machine_metrics
from asd_ray.search.runfolder import CLIPS, TRIALS, open_run, read_run
from asd_ray.search.space import load_space
from asd_ray.search.studies.journal import run_lock
from asd_ray.search.studies.storage import open_studies
from tests.report.summaries import read_summary

TYPES = ["fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve"]


@pytest.fixture
def folder(finished_run: Path, tmp_path: Path, undrawn: None) -> Path:
    """A run folder of this test's own, of which no figure is drawn."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture(scope="module")
def rebuilt(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """A run folder with its report, to be read only."""
    folder = shutil.copytree(finished_run, tmp_path_factory.mktemp("rebuilt") / "run")
    return folder, rebuild(folder)


def written(folder: Path) -> dict[str, bytes]:
    """What rebuild writes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part in ("best", "models", "report")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def change_clips(folder: Path, change: Callable[[list[dict[str, object]]], None]) -> None:
    """Rewrite clips.parquet after a change of its rows."""
    table = pq.read_table(folder / CLIPS)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / CLIPS, write_page_checksum=True)


def test_every_machine_type_gets_a_best_file_weights_and_a_place_in_the_report(
    rebuilt: tuple[Path, Summary],
) -> None:
    folder, _ = rebuilt
    text = (folder / "report" / "report.md").read_text()
    for name in TYPES:
        best = load(folder / "best" / f"{name}.yaml", Best)
        assert best.machine_type == name
        assert (folder / "best" / best.model).resolve() == (
            folder / "models" / name / "model.safetensors"
        ).resolve()
        assert f"| {name} | {best.trial} |" in text
        for machine_id in ("id_00", "id_01"):
            assert f"| {name} {machine_id} |" in text
    assert "half of the labelled test clips" in text


def test_the_page_names_every_machine_type_and_needs_no_network_and_no_script(
    rebuilt: tuple[Path, Summary],
) -> None:
    folder, summary = rebuilt
    text = (folder / "report" / "index.html").read_text()
    for machine in summary.machines:
        assert machine.best is not None
        row = text[text.index(f'role="rowheader">{machine.machine_type}</th>') :].partition("</tr>")[0]
        assert f'<td role="cell" data-label="Trial">{machine.best.uid}</td>' in row
        for label in ("Choosing", "Reporting", "Published loss", "Against it", "How sure"):
            assert f'data-label="{label}">' in row
    assert not any(word in text for word in ("<script", "<link", "@import"))
    sources = re.findall(r"src=\"([^\"]{23})", text)
    assert sources
    assert set(sources) == {"data:image/webp;base64,"}


def test_over_all_machine_types_there_is_a_plain_mean_where_each_has_a_winner(
    rebuilt: tuple[Path, Summary],
) -> None:
    folder, summary = rebuilt
    overall = json.loads((folder / "report" / "summary.json").read_text())["overall"]
    assert overall["choosing"] == pytest.approx(
        np.mean([one.best.objective for one in summary.machines if one.best])
    )
    for key in ("best_estimate", "published_estimate"):
        means = [getattr(one, key).mean for one in summary.machines]
        assert overall[{"best_estimate": "reporting"}.get(key, "published")] == pytest.approx(np.mean(means))
    line = f"{percent(overall['choosing'])} | {percent(overall['reporting'])} | {percent(overall['published'])} |"
    assert f"{line} plain mean over machine types |" in (folder / "report" / "report.md").read_text()
    assert f'data-label="Reporting">{percent(overall["reporting"])}</td>' in page(summary)
    first, *others = summary.machines
    assert replace(summary, machines=(first,)).overall is None
    assert replace(summary, machines=(replace(first, best=None), *others)).overall is None
    undefined = replace(summary, machines=(replace(first, best_estimate=None), *others)).overall
    assert undefined is not None
    assert (undefined.reporting, undefined.published) == (None, overall["published"])
    never_begun = [replace(one, published=None, published_estimate=None) for one in summary.machines]
    assert "| not run | plain mean over" in markdown(replace(summary, machines=tuple(never_begun)))


def test_the_page_says_what_the_report_says(rebuilt: tuple[Path, Summary]) -> None:
    _, summary = rebuilt
    run = summary.run.model_copy(update={"not_searchable": {"drill": "no labelled clips"}})
    text, written = page(replace(summary, run=run)), markdown(replace(summary, run=run))
    for sentence in (
        "the search chooses the one with the highest smoothed objective",
        "not corrected for there being 6 machine types",
        "search minus confirmed mean is the luck of the seed",
        "drill: no labelled clips",
    ):
        assert sentence in text
        assert sentence in written
    for machine in summary.machines:
        assert machine.best is not None
        assert f"<td>{machine.best.threshold.value:.3g}</td>" in text
        assert f"<td>{points(machine.best.optimism)}</td>" in text


def test_without_a_complete_trial_there_are_no_headings_over_nothing(rebuilt: tuple[Path, Summary]) -> None:
    _, summary = rebuilt
    machines = tuple(
        replace(one, best=None, observed=None, published=None, scores=(), best_estimate=None)
        for one in summary.machines
    )
    nothing = replace(summary, machines=machines, trials=())
    text, written = page(nothing), markdown(nothing)
    for heading in ("detection", "worst", "scores", "label-free", "flattery", "confirmation"):
        assert f'id="{heading}"' not in text
        assert heading not in ("detection", "scores") or f'id="{heading}"' in page(summary)
    assert text.count("no complete trial</td>") == 6
    for heading in (
        "## How well they detect",
        "## Per machine id",
        "## How much the choice",
        "## Choosing without",
    ):
        assert heading not in written
        assert heading in markdown(summary)


def test_what_the_page_quotes_is_escaped(rebuilt: tuple[Path, Summary]) -> None:
    _, summary = rebuilt
    first = replace(summary.machines[0], problems=("<script>alert(1)</script>",))
    text = page(replace(summary, machines=(first, *summary.machines[1:])))
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text


def test_the_page_says_by_which_commands_it_came_about_and_what_it_took(folder: Path) -> None:
    run, clips = read_run(folder)
    for call in ("tune.py --trials 2", "tune.py --trials <4>", "tune.py --trials 2"):
        open_run(folder, run.model_copy(update={"calls": [call]}), clips=clips)
    again, _ = read_run(folder)
    assert again.calls == ["tune.py --trials 2", "tune.py --trials <4>"]
    text = page(replace(rebuild(folder), confirming_seconds=5400.0))
    assert "<dd><code>tune.py --trials &lt;4&gt;</code></dd>" in text
    assert "1.50 in confirming; a lane is 1 worker of 1 CPU and a GPU if there is one" in text


def test_rebuilding_changes_nothing(rebuilt: tuple[Path, Summary]) -> None:
    folder, first = rebuilt
    before = written(folder)
    assert rebuild_alone(folder) == first
    assert written(folder) == before


def test_a_report_can_be_rebuilt_where_the_folder_was_moved_to(folder: Path, tmp_path: Path) -> None:
    rebuild(folder)
    before = written(folder)
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    rebuild(moved)
    assert written(moved) == before


def test_the_best_trial_is_the_one_whose_choosing_clips_say_so(rebuilt: tuple[Path, Summary]) -> None:
    folder, summary = rebuilt
    run, clips = read_run(folder)
    rows = [row for row in clips.to_pylist() if row["chooses"]]
    for machine in summary.machines:
        mine = [row for row in rows if row["machine_type"] == machine.machine_type]
        objective = {}
        for trial in summary.trials:
            scores = pq.read_table(folder / TRIALS / trial.uid / "scores.parquet").to_pylist()
            score_of = {row["clip_id"]: row["score"] for row in scores}
            found = machine_metrics(
                machine.machine_type,
                [row["machine_id"] for row in mine],
                is_anomaly=[row["is_anomaly"] for row in mine],
                score=[score_of[row["clip_id"]] for row in mine],
            ).averaged
            assert found.auc is not None
            assert found.pauc is not None
            objective[trial.uid] = (found.auc + found.pauc) / 2
            assert trial.objective[machine.machine_type] == pytest.approx(objective[trial.uid])
        assert machine.best is not None
        assert machine.best.objective == pytest.approx(max(objective.values()))
        assert objective[machine.best.uid] == pytest.approx(max(objective.values()))
    assert run.machine_types == TYPES


def test_the_labels_of_the_reporting_clips_choose_nothing(folder: Path) -> None:
    before = read_summary(folder)

    def turn(rows: list[dict[str, object]]) -> None:
        for row in rows:
            if row["reports"]:
                row["is_anomaly"] = not row["is_anomaly"]

    change_clips(folder, turn)
    after = read_summary(folder)
    for one, other in zip(before.machines, after.machines, strict=True):
        assert one.best is not None
        assert other.best is not None
        assert (one.best.uid, one.best.params, one.best.choosing) == (
            other.best.uid,
            other.best.params,
            other.best.choosing,
        )
        assert one.best.threshold == other.best.threshold
        assert one.best.reporting.averaged.auc is not None
        assert other.best.reporting.averaged.auc == pytest.approx(1 - one.best.reporting.averaged.auc)


def test_choosing_and_reporting_clips_are_apart(folder: Path) -> None:
    _, clips = read_run(folder)
    rows = clips.to_pylist()
    assert all(row["chooses"] != row["reports"] for row in rows)
    assert {row["split"] for row in rows} == {"test"}


def test_what_is_undefined_is_said_to_be(folder: Path) -> None:
    def no_anomalies(rows: list[dict[str, object]]) -> None:
        for row in rows:
            if row["machine_type"] == "pump" and row["is_anomaly"]:
                row["reports"] = False

    change_clips(folder, no_anomalies)
    rebuild(folder)
    report = json.loads((folder / "report" / "summary.json").read_text())["machine_types"]["pump"]["best"]
    assert (report["reporting"]["auc"], report["reporting"]["objective"]) == (None, None)
    assert report["choosing"]["auc"] is not None
    (line,) = [
        line
        for line in (folder / "report" / "report.md").read_text().splitlines()
        if line.startswith("| pump id_00")
    ]
    assert line == "| pump id_00 | undefined | undefined |"
    assert load(folder / "best" / "pump.yaml", Best).reporting["auc"] is None


def test_trials_csv_has_one_line_per_trial(rebuilt: tuple[Path, Summary]) -> None:
    folder, _ = rebuilt
    with (folder / "report" / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["fan-0", "pump-1"]  # number 0 of pump is its copy of fan-0
    assert {row["state"] for row in rows} == {"complete"}
    assert {row["epochs"] for row in rows} == {"1"}
    for row in rows:
        assert all(0 <= float(row[name]) <= 1 for name in TYPES)
        assert 0.1 <= float(row["margin"]) <= 1.2


def test_a_best_file_is_a_config_to_train_again(rebuilt: tuple[Path, Summary]) -> None:
    folder, _ = rebuilt
    run, _ = read_run(folder)
    for name in TYPES:
        path = folder / "best" / f"{name}.yaml"
        assert load_config(path) == with_params(run.config, load(path, Best).params)


def test_the_threshold_is_fitted_to_normal_clips_of_the_machine_type(rebuilt: tuple[Path, Summary]) -> None:
    folder, summary = rebuilt
    for machine in summary.machines:
        best = machine.best
        assert best is not None
        scores = pq.read_table(folder / TRIALS / best.uid / "scores.parquet")
        values, fitted_to = normal_scores(scores, machine.machine_type)
        assert best.threshold.num_clips == len(values) == 10  # five training clips of each of two ids
        assert fitted_to == best.threshold_clips == "validation and training clips"
        assert min(values) <= best.threshold.value


def test_the_published_configuration_is_the_yardstick(rebuilt: tuple[Path, Summary]) -> None:
    for machine in rebuilt[1].machines:
        assert machine.published is not None
        assert machine.published.params["margin"] == 0.7
        assert machine.best is not None
        assert machine.best.objective >= machine.published.objective


def test_a_failed_trial_is_listed_with_its_reason(folder: Path) -> None:
    run, _ = read_run(folder)
    search = run.config.search.model_copy(update={"trials": 3})
    more = run.model_copy(update={"config": run.config.model_copy(update={"search": search})})
    studies = open_studies(folder, more, take_over=True)[0]
    proposal = studies.ask()
    assert proposal is not None
    studies.tell(proposal.uid, "failed", reason="the loss is nan in epoch 1")
    summary = rebuild(folder)
    assert summary.counts() == {"complete": 2, "failed": 1}
    assert summary.counted == "3 trials (2 complete, 1 failed)"
    text = (folder / "report" / "report.md").read_text()
    assert f"- {proposal.uid}: the loss is nan in epoch 1" in text


def test_a_search_that_was_stopped_says_of_how_many_trials_and_that_it_goes_on(folder: Path) -> None:
    run, clips = read_run(folder)
    search = run.config.search.model_copy(update={"trials": 4})
    more = run.model_copy(update={"config": run.config.model_copy(update={"search": search})})
    open_run(folder, more, clips=clips)
    assert open_studies(folder, more, take_over=True)[0].ask() is not None
    summary = rebuild(folder)
    counted = "2 of 4 trials (2 complete, 1 unfinished; stopped: the same call goes on)"
    assert summary.counted == counted
    assert counted in page(summary)
    assert counted in (folder / "report" / "report.md").read_text()
    row = next(csv.DictReader(io.StringIO(trials_csv(replace(summary, trials=summary.trials[-1:])))))
    assert row["state"] == "running"
    assert {row[name] for name in TYPES} == {""}  # a word would make text of a column of numbers


def test_clips_of_a_run_that_are_lost_are_mended_by_its_search(folder: Path) -> None:
    (folder / CLIPS).unlink()
    with pytest.raises(InputError, match=rf"{CLIPS}: missing or damaged; the same call of the search writes it"):
        rebuild_alone(folder)


def test_weights_that_are_lost_are_named_and_cost_only_their_own_machine_types(folder: Path) -> None:
    before = {machine.machine_type: machine.best.uid for machine in read_summary(folder).machines if machine.best}
    for state in (folder / TRIALS / "pump-1").glob("state.pt*"):
        state.write_bytes(state.read_bytes()[:1000])
    summary = rebuild(folder)
    assert set(before.values()) == {"fan-0", "pump-1"}
    for machine in summary.machines:
        lost = before[machine.machine_type] == "pump-1"
        assert machine.handed_over != lost
        assert (folder / "best" / f"{machine.machine_type}.yaml").exists() != lost
        line = f"- {machine.machine_type}: {folder / TRIALS}/pump-1/state.pt: missing or damaged; train the config"
        assert (line in (folder / "report" / "report.md").read_text()) == lost


def test_scores_that_are_lost_are_named_and_cost_only_their_own_machine_types(folder: Path) -> None:
    before = {machine.machine_type: machine.best for machine in read_summary(folder).machines}
    (folder / TRIALS / "pump-1" / "scores.parquet").write_bytes(b"PAR1")
    summary = rebuild(folder)
    assert "no complete trial</td>" not in page(summary)
    assert "none: see Problems</td>" in page(summary)
    for machine in summary.machines:
        known = before[machine.machine_type]
        assert known is not None
        if known.uid == "fan-0":
            assert (machine.best, machine.problems) == (known, ())
        else:
            assert machine.best is None
            (problem,) = machine.problems
            assert "pump-1/scores.parquet: missing or damaged; put it back, or call" in problem
            found = json.loads((folder / "report" / "summary.json").read_text())["machine_types"]
            assert found[machine.machine_type]["problems"] == [problem]
            assert found[machine.machine_type]["published"]["trial"] == "fan-0"


@pytest.mark.parametrize("damage", ['[{"epoch": 1, "seco', "{}", '[{"epoch": 1}]', "[1]", "\udcff"])
def test_a_trial_whose_history_is_damaged_is_named_and_keeps_its_line(folder: Path, damage: str) -> None:
    path = folder / TRIALS / "pump-1" / "metrics.json"
    path.write_bytes(damage.encode(errors="surrogateescape"))
    summary = rebuild(folder)
    (problem,) = [problem for machine in summary.machines for problem in machine.problems]
    assert problem.startswith(f"{path}: damaged; ")
    assert f"- pump: {problem}" in (folder / "report" / "report.md").read_text()
    with (folder / "report" / "trials.csv").open(newline="") as file:
        rows = {row["trial"]: row for row in csv.DictReader(file)}
    assert (rows["pump-1"]["state"], rows["pump-1"]["epochs"]) == ("complete", "0")
    assert rows["fan-0"]["epochs"] == "1"
    assert all(machine.handed_over for machine in summary.machines)


def test_one_seed_is_called_unconfirmed_and_judged_with_an_interval_for_other_clips(
    rebuilt: tuple[Path, Summary],
) -> None:
    folder, summary = rebuilt
    for machine in summary.machines:
        assert machine.standing == "one seed, not confirmed"
        assert machine.best_estimate is not None
        assert machine.best is not None
        assert machine.best_estimate.mean == pytest.approx(machine.best.reporting_objective)
        assert machine.best_estimate.sd is None
    assert load(folder / "best" / "fan.yaml", Best).confirmed is None
    text = (folder / "report" / "report.md").read_text()
    assert text.count("one seed, not confirmed") == 6
    assert "not corrected for there being 6 machine types" in text


def test_a_machine_type_without_reporting_labels_says_why(folder: Path) -> None:
    def unlabelled(rows: list[dict[str, object]]) -> None:
        for row in rows:
            row["reports"] = row["reports"] and row["machine_type"] != "pump"

    change_clips(folder, unlabelled)
    reasons = {machine.machine_type: machine.not_reportable for machine in rebuild(folder).machines}
    assert reasons == {name: "no labelled clips" if name == "pump" else "" for name in TYPES}
    assert "- pump: no labelled clips that report" in (folder / "report" / "report.md").read_text()


def test_a_folder_that_is_no_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.yaml there; give the folder of a search"):
        rebuild_alone(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_report_waits_for_no_search_that_is_running(folder: Path) -> None:
    with run_lock(folder), pytest.raises(InputError, match="in use by process"):
        rebuild_alone(folder)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"margin": 0.55, "scale": 22.6, "mixup_alpha": 0.45, "noise_prob": 0.5}, ()),
        (
            {"margin": 0.1, "scale": 64.0, "mixup_alpha": 0.45, "noise_prob": 0.5},
            ("margin at its low end 0.1", "scale at its high end 64"),
        ),
        (
            {"margin": 0.55, "scale": 22.6, "mixup_alpha": 0.1, "noise_prob": 1.0},
            ("mixup_alpha at its low end 0.1",),
        ),
        (
            {"margin": 0.55, "scale": 22.6, "mixup_alpha": 2.0, "noise_prob": 0.0},
            ("mixup_alpha at its high end 2",),
        ),
    ],
)
def test_a_value_at_the_end_of_its_range_is_named_unless_nothing_lies_beyond(
    params: dict[str, float], expected: tuple[str, ...]
) -> None:
    assert edges(load_space("noisy_arcmix")[0].of("fan"), params) == expected


def test_percents_have_one_digit_after_the_point() -> None:
    assert [percent(value) for value in (1.0, 0.12345, None)] == ["100.0", "12.3", "undefined"]
    assert percent(float(np.float64(0.5))) == "50.0"


def test_a_report_of_a_killed_run_leaves_its_journal_as_it_is(finished_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run, folder)
    journal = folder / "studies.journal"
    whole = journal.read_bytes()
    rebuild_alone(folder)
    assert journal.read_bytes() == whole
    journal.write_bytes(whole + b'{"op_code": 5, "worker')
    rebuild_alone(folder)
    assert journal.read_bytes() == whole
    assert (folder / "studies.journal.torn").read_bytes() == b'{"op_code": 5, "worker'
