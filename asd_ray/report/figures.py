"""Figures of the report, as SVG text."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from asd_ray.report.summary import Summary, baseline_name

# Readable in grey and for the colour-blind (Okabe and Ito).
STYLES: dict[str, dict[str, Any]] = {
    "pruned": {"color": "#9a9a9a", "marker": ".", "s": 30},
    "complete": {"color": "#0072b2", "marker": "o", "s": 26},
}
PUBLISHED: dict[str, Any] = {"color": "#d55e00", "marker": "D", "s": 34}
BEST: dict[str, Any] = {"facecolors": "none", "edgecolors": "#000000", "s": 120, "linewidths": 1.2}


@contextmanager
def svg_settings(name: str) -> Iterator[None]:
    """Text stays text, and the same contents give the same bytes. Another name gives other ids."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        yield


def trials_figure(summary: Summary) -> str:
    """Every trial on the choosing clips, per machine type; marked are the start and what the search chose."""
    with svg_settings("asd_ray"):
        figure = Figure(figsize=(7.5, 3.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        types = summary.run.machine_types
        offset = {row.uid: _spread(number, len(summary.trials)) for number, row in enumerate(summary.trials)}
        for state, style in STYLES.items():
            points = [
                (types.index(name) + offset[row.uid], 100 * value)
                for row in summary.trials
                if row.state == state
                for name, value in row.objective.items()
            ]
            if points:
                axes.scatter(*zip(*points, strict=True), label=state, **style)
        marked = ((baseline_name(summary.run), "published", PUBLISHED), ("chosen by the search", "observed", BEST))
        for label, which, style in marked:
            points = [
                (place + offset[judged.uid], 100 * judged.objective)
                for place, machine in enumerate(summary.machines)
                if (judged := getattr(machine, which)) is not None and judged.uid in offset
            ]
            if points:
                axes.scatter(*zip(*points, strict=True), label=label, zorder=3, **style)
        axes.axhline(50, color="#bbbbbb", linewidth=0.8, zorder=0)
        axes.set_xticks(range(len(types)), types)
        axes.set_ylabel("objective on the choosing clips, %")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:  # a search may end before its first trial has
            axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": "Trials of the search"})
    return text.getvalue()


def _spread(number: int, count: int) -> float:
    """Trials of one machine type side by side instead of on top of each other."""
    return 0.0 if count < 2 else 0.5 * (number / (count - 1) - 0.5)
