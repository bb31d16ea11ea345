"""The report of a search: report.md for people, summary.json and trials.csv for programs."""

import csv
import io
from pathlib import Path
from typing import Any

import jinja2

from asd_ray.config import params_of
from asd_ray.files import to_json, write_whole
from asd_ray.report.figures import trials_figure
from asd_ray.report.summary import Judged, Summary, baseline_name, summarise
from asd_ray.report.winners import write_winners
from asd_ray.search import runfolder
from asd_ray.search.journal import run_lock
from asd_ray.search.storage import open_studies
from asd_ray.training.trial import flat

UNDEFINED = "undefined"


def rebuild(folder: Path) -> Summary:
    """Write report/, best/ and models/ anew from what is on disk. Raises InputError if it is no run folder.

    Hold the run's lock: see `rebuild_alone`.
    """
    run, clips = runfolder.read_run(folder)
    studies, _ = open_studies(folder, run, take_over=False)
    summary = summarise(folder, run, clips=clips, studies=studies)
    write_winners(folder, summary)
    report = folder / "report"
    write_whole(report / "trials.csv", trials_csv(summary))
    write_whole(report / "summary.json", to_json(as_json(summary)))
    write_whole(report / "trials.svg", trials_figure(summary))
    write_whole(report / "report.md", markdown(summary))
    return summary


def rebuild_alone(folder: Path) -> Summary:
    """`rebuild` while no search is running on the folder. Raises InputError if one is."""
    runfolder.read_run(folder)  # first, so that no lock file is left in a folder that is no run
    with run_lock(folder):
        return rebuild(folder)


def trials_csv(summary: Summary) -> str:
    """One line per trial; the time, the one column that two equal searches differ in, comes last."""
    params = [name for name in params_of(summary.run.config) if any(name in row.params for row in summary.trials)]
    types = summary.run.machine_types
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "owner", "state", "epochs", *params, *types, "reason", "seconds"])
    for row in summary.trials:
        values = [row.params.get(name, "") for name in params]
        scores = [row.objective.get(name, UNDEFINED) for name in types]
        writer.writerow(
            [row.uid, row.owner, row.state, row.epochs, *values, *scores, row.reason, f"{row.seconds:.1f}"]
        )
    return text.getvalue()


def as_json(summary: Summary) -> dict[str, Any]:
    """summary.json; null stands for undefined."""
    run = summary.run
    return {
        "asd_ray": run.asd_ray,
        "protocol": run.protocol,
        "optimistic": run.protocol == "paper",
        "objective": run.config.score.objective,
        "trials": summary.counts(),
        "corpus": {"path": run.corpus.path, "fingerprint": run.corpus.fingerprint},
        "machine_types": {
            machine.machine_type: {
                "best": _judged_json(machine.best),
                "published": _judged_json(machine.published),
                "at_edge": list(machine.at_edge),
            }
            for machine in summary.machines
        },
        "not_searchable": run.not_searchable,
    }


def _judged_json(judged: Judged | None) -> dict[str, Any] | None:
    if judged is None:
        return None
    return {
        "trial": judged.uid,
        "params": judged.params,
        "choosing": {"objective": judged.objective, **flat(judged.choosing)},
        "reporting": {"objective": judged.reporting_objective, **flat(judged.reporting)},
        "threshold": judged.threshold.value,
    }


def percent(value: float | None) -> str:
    """AUCs are read in per cent, as the field prints them."""
    return UNDEFINED if value is None else f"{100 * value:.1f}"


def markdown(summary: Summary) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("asd_ray.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown; machine types and ids are letters, digits, '-' and '_' by their parser
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    return environment.get_template("report.md.jinja").render(
        summary=summary, run=summary.run, baseline=baseline_name(summary.run)
    )
