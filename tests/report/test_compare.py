"""Searches side by side."""

import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from asd_ray.commands.report import main, print_comparison
from asd_ray.report.compare import Comparison, compare
from asd_ray.report.confirmed import NO_EVIDENCE, ONE_SEED, verdict_of
from asd_ray.report.render import compared_cells, comparison_page
from asd_ray.report.summary import Summary
from tests.report.summaries import read_summary


@pytest.fixture(scope="module")
def summary(confirmed_run: Path) -> Summary:
    return read_summary(confirmed_run)


@pytest.fixture(scope="module")
def better(summary: Summary) -> Summary:
    """The same search, whose fan detector puts every anomaly above every normal clip."""
    fan, *others = summary.machines
    assert fan.confirmed is not None
    assert fan.confirmed.winner is not None
    winner = fan.confirmed.winner
    trainings = tuple(
        replace(one, reported=tuple((*row[:3], 100.0 * row[2] + row[3] % 1) for row in one.reported))
        for one in winner.trainings
    )
    changed = replace(winner, trainings=trainings)
    confirmed = replace(fan.confirmed, winner=changed, candidates=(changed, *fan.confirmed.candidates[1:]))
    return replace(summary, machines=(replace(fan, confirmed=confirmed), *others))


@pytest.fixture(scope="module")
def comparison(summary: Summary, better: Summary) -> Comparison:
    return compare([("runs/first", summary), ("runs/second", better)])


def test_the_difference_is_paired_and_to_the_first_search(comparison: Comparison) -> None:
    first, second = comparison.machine_types["fan"]
    assert (first.run, first.difference, first.why_not) == ("runs/first", None, "")
    assert second.difference is not None
    assert first.machine is not None
    assert first.machine.best_estimate is not None
    assert second.difference.mean == pytest.approx(1.0 - first.machine.best_estimate.mean)
    same = comparison.machine_types["pump"][1].difference
    assert same is not None
    assert same.mean == 0.0
    assert verdict_of(same) == NO_EVIDENCE
    assert comparison.warnings == ()


def test_of_one_seed_there_is_an_interval_and_no_verdict(summary: Summary, better: Summary) -> None:
    def one_seed(found: Summary) -> Summary:
        machines = []
        for machine in found.machines:
            assert machine.confirmed is not None
            assert machine.confirmed.winner is not None
            best = machine.confirmed.winner.trainings[0]
            machines.append(replace(machine, best=best, confirmed=None))
        return replace(found, machines=tuple(machines))

    found = compare([("a", one_seed(summary)), ("b", one_seed(better))])
    difference = found.machine_types["fan"][1].difference
    assert difference is not None
    assert difference.interval is not None
    shown = compared_cells(found.machine_types["fan"][1], optimistic=False)[3]
    assert shown.endswith(f"]: {ONE_SEED}")
    assert shown in comparison_page(found)


def test_what_cannot_be_paired_has_no_difference_and_the_reason(summary: Summary) -> None:
    fan, *others = summary.machines
    assert fan.best is not None
    other_clips = replace(fan.best, reported=fan.best.reported[1:])
    one_seed = replace(summary, machines=(replace(fan, confirmed=None), *others))
    fewer = replace(summary, machines=(replace(fan, confirmed=None, best=other_clips), *others))
    none = replace(summary, machines=(replace(fan, confirmed=None, best=None), *others))
    found = compare([("a", summary), ("b", one_seed), ("c", fewer), ("d", none)])
    assert [one.why_not for one in found.machine_types["fan"]] == [
        "",
        "other seeds",
        "other reporting clips",
        "nothing to compare",
    ]
    assert compared_cells(found.machine_types["fan"][3], optimistic=False)[0] == "none is complete"


def test_other_corpora_protocols_and_objectives_are_warned_of(summary: Summary) -> None:
    config = summary.run.config
    run = summary.run.model_copy(
        update={
            "protocol": "paper",
            "corpus": summary.run.corpus.model_copy(update={"fingerprint": "f" * 64}),
            "config": config.model_copy(update={"score": config.score.model_copy(update={"objective": "auc"})}),
        }
    )
    found = compare([("a", summary), ("b", replace(summary, run=run))])
    assert len(found.warnings) == 3
    assert "b has another protocol than a: paper, not split" in found.warnings
    assert found.machine_types["fan"][1].why_not == "another objective"
    assert "(optimistic)" in compared_cells(found.machine_types["fan"][1], optimistic=found.optimistic["b"])[2]
    assert "Not to be compared as they stand: b has another protocol" in comparison_page(found)


def test_a_machine_type_that_one_search_lacks_is_in_the_table(summary: Summary) -> None:
    run = summary.run.model_copy(update={"machine_types": ["fan"]})
    found = compare([("a", replace(summary, run=run, machines=summary.machines[:1])), ("b", summary)])
    assert list(found.machine_types) == ["fan", "pump"]
    assert compared_cells(found.machine_types["pump"][0], optimistic=False)[0] == "not searched"


def test_the_page_is_one_file_and_quotes_nothing_raw(summary: Summary) -> None:
    text = comparison_page(compare([("runs/<b>", summary), ("runs/second", summary)]))
    assert "runs/&lt;b&gt;" in text
    assert text.count('<tr role="row">') == 2 * (1 + 2)
    assert not any(word in text for word in ("<script", "<link", "src=", "<b>"))


def test_on_80_columns_nothing_is_cut(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_comparison(comparison)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    told = " ".join(shown.split())
    for one in comparison.machine_types["fan"]:
        trial, choosing, reporting, difference, standing = compared_cells(one, optimistic=False)
        assert f"{one.run}: {trial}, {standing} choosing {choosing}; reporting {reporting}" in told
        assert difference in told


def test_the_command_compares(confirmed_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [shutil.copytree(confirmed_run, tmp_path / name) for name in ("first", "second")]
    main(Namespace(run=runs, out=tmp_path / "both.html", storage=None))
    shown = capsys.readouterr().out
    assert f"comparison: {tmp_path / 'both.html'}" in shown
    assert "2 searches compared" in (tmp_path / "both.html").read_text()
    assert (runs[1] / "report" / "index.html").exists()
