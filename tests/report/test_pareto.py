"""The Pareto set in the report: a table, and the same in summary.json; only where there are several objectives."""

from optuna.storages import InMemoryStorage

from asd_ray.config import params_of
from asd_ray.report.render import markdown
from asd_ray.report.response import Response
from asd_ray.report.rows import pareto_points
from asd_ray.report.summary import MachineSummary, Summary
from asd_ray.report.summary_file import summary_file
from asd_ray.search.runfolder import Run
from asd_ray.search.studies.studies import Studies
from tests.search.test_warm_start import TYPES, make_run

VALUES = [(0.5, 0.5), (0.75, 0.25), (0.25, 0.75), (0.25, 0.25)]  # the last is beaten


def searched(run: Run) -> Studies:
    """Four complete trials with those values for every machine type."""
    studies = Studies(
        InMemoryStorage(),
        machine_types=TYPES,
        space=run.space,
        search=run.config.search,
        epochs=1,
        published=params_of(run.config),
        objectives=run.config.score.objectives,
    )
    for auc, pauc in VALUES:
        proposal = studies.ask()
        assert proposal is not None
        mean, metrics = (auc + pauc) / 2, {"auc": auc, "pauc": pauc}
        studies.report(proposal.uid, 1, dict.fromkeys(TYPES, mean), metrics=dict.fromkeys(TYPES, metrics))
        studies.tell(proposal.uid, "complete")
    return studies


def summary_of(run: Run) -> Summary:
    studies = searched(run)
    machines = (
        MachineSummary(
            machine_type=name,
            best=None,
            observed=None,
            published=None,
            at_edge=(),
            confirmed=None,
            best_estimate=None,
            published_estimate=None,
            standing="",
            not_reportable="",
            problems=(),
            pareto=pareto_points(name, run, studies),
            response=Response(num_trials=0, why_not="not asked"),
        )
        for name in TYPES
    )
    return Summary(run=run, machines=tuple(machines), trials=())


def test_the_pareto_set_is_listed_best_in_the_first_objective_first() -> None:
    run = make_run("score.objective=auc,pauc")
    summary = summary_of(run)
    plain = summary_file(summary).model_dump()["machine_types"]["fan"]["pareto"]
    assert [point["choosing"] for point in plain] == [
        {"auc": 0.75, "pauc": 0.25},
        {"auc": 0.5, "pauc": 0.5},
        {"auc": 0.25, "pauc": 0.75},
    ]
    assert [point["trial"] for point in plain] == ["pump-1", "fan-0", "valve-2"]
    lines = markdown(summary).splitlines()
    header = lines.index("| machine type | trial | margin | scale | mixup_alpha | noise_prob | auc | pauc |")
    assert lines[header + 1] == "|---|---|---|---|---|---|---|---|"
    assert lines[header + 3] == "| fan | fan-0 | 0.7 | 30 | 0.5 | 1 | 50.0 | 50.0 |"
    assert [line.split(" | ")[0] for line in lines[header + 2 : header + 11]] == [
        f"| {name}" for name in TYPES for _ in range(3)
    ]


def test_one_objective_has_no_such_table() -> None:
    summary = summary_of(make_run())
    assert summary_file(summary).model_dump()["machine_types"]["fan"]["pareto"] == []
    assert "Pareto" not in markdown(summary)
