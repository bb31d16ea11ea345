"""The report of a search: index.html and report.md for people, summary.json and trials.csv for programs."""

import csv
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from asd_ray.config import params_of
from asd_ray.data.manifest import note_lines
from asd_ray.files.writing import to_json, write_whole
from asd_ray.report.compare import Compared, Comparison
from asd_ray.report.confirmed import verdict_of
from asd_ray.report.finished import ending_of, sources_of, write_finished
from asd_ray.report.published import TYPES, by_protocol, own_rows, published_rows
from asd_ray.report.reading import summarise
from asd_ray.report.response import spoken
from asd_ray.report.summary import MachineSummary, Summary, baseline_name
from asd_ray.report.summary_file import summary_file
from asd_ray.report.winners import write_winners
from asd_ray.scoring.intervals import Estimate
from asd_ray.scoring.metrics import Auc, MachineMetrics
from asd_ray.search import runfolder
from asd_ray.search.studies.journal import run_lock
from asd_ray.search.studies.storage import Store, find_store, open_studies

UNDEFINED = "undefined"
NOT_RUN = "not run"
# The sections of index.html in their order: each has a template.
SECTIONS = (
    "answer",
    "confirmation",
    "flattery",
    "published",
    "systems",
    "detection",
    "worst",
    "scores",
    "response",
    "trials",
    "label_free",
    "provenance",
)


def rebuild(folder: Path, *, store: Store | None = None, finished: Sequence[str] | None = None) -> Summary:
    """Write report/, best/ and models/ anew from what is on disk. Raises InputError if this is not a run folder.

    The caller must hold the run's lock and the store of its studies: see `rebuild_alone`. `finished` is the final
    output of a search that has nothing left to do: repeating its call may then end at once: see `report.finished`.
    """
    from asd_ray.report.figures import trials_figure  # here: see `page`

    sources = "" if finished is None else sources_of(folder)
    run, clips = runfolder.read_run(folder)
    studies, _ = open_studies(folder, run, take_over=False, store=store)
    summary = summarise(folder, run, clips=clips, studies=studies)
    summary = summary.with_lost_weights(write_winners(folder, summary))
    report = folder / "report"
    write_whole(report / "trials.csv", trials_csv(summary))
    write_whole(report / "summary.json", to_json(summary_file(summary).model_dump()))
    write_whole(report / "trials.svg", trials_figure(summary))
    write_whole(report / "report.md", markdown(summary))
    write_whole(report / "index.html", page(summary))
    if finished is not None:
        write_finished(folder, run, sources=sources, ending=ending_of(summary), lines=finished)
    return summary


def rebuild_alone(folder: Path, *, storage: str | None = None) -> Summary:
    """`rebuild`, under the run's lock. Raises InputError if a search is running on the folder.

    `storage` is the URL of the server that keeps the studies, if one does: see `find_store`.
    """
    runfolder.read_run(folder)  # first, to leave no lock file in a folder that is not a run's
    with run_lock(folder):
        store = find_store(folder, storage)
        with store.held():
            return rebuild(folder, store=store)


def trials_csv(summary: Summary) -> str:
    """One line per trial; missing values are empty. Times come last, because equal searches differ in them."""
    params = [name for name in params_of(summary.run.config) if any(name in row.params for row in summary.trials)]
    types = summary.run.machine_types
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "owner", "state", "epochs", *params, *types, "reason", "seconds"])
    for row in summary.trials:
        values = [row.params.get(name, "") for name in params]
        scores = [row.objective.get(name, "") for name in types]
        writer.writerow(
            [row.uid, row.owner, row.state, row.epochs, *values, *scores, row.reason, f"{row.seconds:.1f}"]
        )
    return text.getvalue()


def percent(value: float | None) -> str:
    """An AUC in per cent, as is usual in the field."""
    return UNDEFINED if value is None else f"{100 * value:.1f}"


def spread(mean: float, sd: float | None) -> str:
    """`85.1 ± 1.2`; for one seed, the value alone."""
    return percent(mean) if sd is None else f"{percent(mean)} ± {percent(sd)}"


def with_interval(estimate: Estimate | None, *, signed: bool = False) -> str:
    """`85.1 ± 1.2 [81.0, 88.3]`; a difference has its signs."""
    if estimate is None:
        return UNDEFINED
    form = "{:+.1f}" if signed else "{:.1f}"
    text = form.format(100 * estimate.mean) + ("" if estimate.sd is None else f" ± {percent(estimate.sd)}")
    if estimate.interval is None:
        return f"{text} (no interval: {estimate.note})"
    low, high = (form.format(100 * end) for end in estimate.interval)
    return f"{text} [{low}, {high}]"


def points(value: float | None) -> str:
    """A difference, in percentage points."""
    return UNDEFINED if value is None else f"{100 * value:+.1f}"


def auc_pair(found: Auc | None) -> str:
    """`98.32 / 95.34`, with as many digits as publications use.

    >>> auc_pair(Auc(0.98324, 0.9534)), auc_pair(None)
    ('98.32 / 95.34', '–')
    """
    if found is None:
        return "–"
    return " / ".join(UNDEFINED if value is None else f"{100 * value:.2f}" for value in (found.auc, found.pauc))


def marked(text: str, optimistic: bool) -> str:
    """Mark a figure as optimistic if its labels also chose."""
    return f"{text} (optimistic)" if optimistic and text != UNDEFINED else text


def cells(machine: MachineSummary, *, optimistic: bool) -> tuple[str, str, str]:
    """Choosing, reporting, and the starting configuration's reporting figure, as printed at the end of a search.

    A confirmed winner has mean and standard deviation over seeds; intervals are left to the report.
    """
    best, published, confirmed = machine.best, machine.published, machine.confirmed
    assert best is not None
    if confirmed is not None and confirmed.winner is not None:
        found = [machine.choosing, confirmed.winner.reporting, confirmed.baseline.reporting]
    else:
        values = [best.reporting_objective, published.reporting_objective if published else None]
        found = [machine.choosing, *(None if value is None else (value, None) for value in values)]
    choosing, reporting, started = (marked(spread(*one) if one else UNDEFINED, optimistic) for one in found)
    return choosing, reporting, started if published or confirmed else NOT_RUN


COMPARED = ("Trial", "Choosing", "Reporting", "Difference", "How sure")


def compared_cells(one: Compared, *, optimistic: bool) -> tuple[str, ...]:
    """The cells of a search in a comparison: trial, choosing, reporting, difference, and how sure it is."""
    machine = one.machine
    if machine is None or machine.best is None:
        return ("not searched" if machine is None else "none is complete", "", "", "", "")
    choosing, *_ = cells(machine, optimistic=optimistic)
    reporting = marked(with_interval(machine.best_estimate), optimistic)
    difference = one.why_not
    if one.difference is not None:
        text = marked(with_interval(one.difference, signed=True), optimistic)
        difference = f"{text}: {verdict_of(one.difference)}"
    return (machine.best.uid, choosing, reporting, difference, machine.standing)


def comparison_page(comparison: Comparison) -> str:
    """The page that compares several searches: one file, like index.html."""
    environment = _environment(optimistic=False, autoescape=True)  # each search says for itself if it is
    return environment.get_template("comparison.html.jinja").render(
        comparison=comparison,
        columns=COMPARED,
        cells=lambda one: compared_cells(one, optimistic=comparison.optimistic[one.run]),
    )


def markdown(summary: Summary) -> str:
    # Nothing to escape: names have only letters, digits, '-' and '_', wherever we read them (config.PlainName).
    return (
        _environment(optimistic=summary.optimistic, autoescape=False)
        .get_template("report.md.jinja")
        .render(_context(summary))
    )


def page(summary: Summary) -> str:
    """index.html: one file that needs no network and no script."""
    # Imported here: matplotlib takes most of a second, and every driver of a search imports this module.
    from asd_ray.report import panels, worst

    max_fpr = summary.run.config.score.max_fpr
    return (
        _environment(optimistic=summary.optimistic, autoescape=True)
        .get_template("index.html.jinja")
        .render(
            _context(summary),
            sections=SECTIONS,
            searched=list(summary.run.space.columns),
            published=by_protocol([*own_rows(_winners(summary)), *published_rows()]),
            published_types=[name for name in summary.run.machine_types if name in TYPES],
            recordings=worst.Recordings(summary.run),
            worst_ranked=worst.worst_ranked,
            # matplotlib escapes the texts in its figures
            roc_panel=lambda judged: Markup(panels.roc_panel(judged, max_fpr=max_fpr)),
            score_panel=lambda judged: Markup(panels.score_panel(judged)),
            angle_panel=lambda judged, angles: Markup(panels.angle_panel(judged, angles)),
            progress_panel=lambda machine_type: Markup(panels.progress_panel(summary, machine_type)),
            slice_panel=lambda machine_type, found: Markup(panels.slice_panel(machine_type, found)),
            contour_panel=lambda machine_type, found: Markup(panels.contour_panel(machine_type, found)),
        )
    )


def _winners(summary: Summary) -> dict[str, dict[str, MachineMetrics | None]]:
    """The results to compare with publications: the search's best, and the best of each system if several."""
    best = {one.machine_type: one.best.reporting if one.best else None for one in summary.machines}
    systems = summary.run.systems
    if len(systems) == 1:
        return {f"this search, {systems[0]}": best}
    own = {"this search": best}
    for name in systems:
        found = {one.machine_type: one.systems.get(name) for one in summary.machines}
        own[f"this search, {name}"] = {key: judged.reporting if judged else None for key, judged in found.items()}
    return own


def _context(summary: Summary) -> dict[str, Any]:
    return {
        "summary": summary,
        "run": summary.run,
        "baseline": baseline_name(summary.run),
        "noted": note_lines(summary.run.corpus.notes),
    }


@cache
def _environment(*, optimistic: bool, autoescape: bool) -> jinja2.Environment:
    """The templates' environment, cached with its compiled templates: a program may write many reports."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("asd_ray.report"),
        undefined=jinja2.StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "param": lambda value: value if isinstance(value, str) else f"{value:.3g}",
        "percent": lambda value: marked(percent(value), optimistic),
        "spread": lambda found: marked(spread(*found) if found else UNDEFINED, optimistic),
        "with_interval": lambda found: marked(with_interval(found), optimistic),
        "difference": lambda found: marked(with_interval(found, signed=True), optimistic),
        "points": lambda value: marked(points(value), optimistic),
        # Published figures are never marked, whatever chose here.
        "auc_pair": lambda found, own: marked(auc_pair(found), optimistic and own and found is not None),
        "sentence": lambda text: text[:1].upper() + text[1:],  # jinja's capitalize would lower DCASE, AUC
        "share": lambda value: f"{100 * value:.0f}",
        "spoken": spoken,
    }
    return environment
