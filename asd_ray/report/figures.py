"""Figures of the report, as SVG text, and the panel on which the page's small figures are drawn.

The small figures suit light and dark pages: they have no background, and take the colour of the surrounding text.
Blue and orange are Okabe and Ito's, which colour-blind readers can tell apart, on light and on dark.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
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
NORMAL, ANOMALOUS, PRUNED = "#2f8fce", "#e0751c", "#8a929b"
INK = "#010203"  # replaced by the colour of the surrounding text
MARKERS = re.compile(r'<g (clip-path="[^"]*")>((?:\s*<use [^>]*/>)+)\s*</g>')  # the markers of one scatter
STYLE = re.compile(r' (style="[^"]*")')
TAG, DIGITS = re.compile(r"<[^>]*>"), re.compile(r"(\d\.\d\d)\d+")


@contextmanager
def svg_settings(name: str) -> Iterator[None]:
    """Keep text as text, and make equal contents give equal bytes. Different names give different ids."""
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        yield


def trials_figure(summary: Summary) -> str:
    """Every trial on the choosing clips, per machine type, with the start and the chosen trial marked."""
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
        if axes.get_legend_handles_labels()[0]:  # a search may end before its first trial does
            axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": "Trials of the search"})
    return text.getvalue()


def _spread(number: int, count: int) -> float:
    """An offset that puts trials of one machine type side by side instead of on top of each other."""
    return 0.0 if count < 2 else 0.5 * (number / (count - 1) - 0.5)


class Panel:
    """One figure: its axes, then its SVG."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(3.4, 2.5), facecolor="none")
        FigureCanvasSVG(self.figure)
        # Fixed room for labels and legend: measuring it would take as long as all the drawing.
        self.figure.subplots_adjust(left=0.17, right=0.97, bottom=0.19, top=0.86)
        self.axes: Axes = self.figure.add_subplot()
        self.axes.set_facecolor("none")
        self.axes.spines[["top", "right"]].set_visible(False)
        self.svg = ""

    def legend(self) -> None:
        """Put the legend above the axes, where it hides nothing, in two columns."""
        self.axes.legend(
            frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0
        )

    def save(self) -> None:
        text = io.StringIO()
        self.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        drawn = MARKERS.sub(_with_one_style, text.getvalue())
        # Round coordinates: a hundredth of a point is finer than any screen. Text between tags keeps its digits.
        drawn = TAG.sub(lambda tag: DIGITS.sub(r"\1", tag[0]), drawn).replace(INK, "currentColor")
        self.svg = drawn[drawn.index("<svg") :]


def _with_one_style(markers: re.Match[str]) -> str:
    """Write the shared style of markers once: repeated for hundreds of trials, it would fill half of the page."""
    styles = set(STYLE.findall(markers[2]))
    return f"<g {markers[1]} {styles.pop()}>{STYLE.sub('', markers[2])}</g>" if len(styles) == 1 else markers[0]


@contextmanager
def panel(name: str) -> Iterator[Panel]:
    """A panel to draw on; its SVG is there when the block has ended."""
    with svg_settings(name):
        mpl.rcParams.update(
            {
                "text.color": INK,
                "axes.edgecolor": INK,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
            }
        )
        drawn = Panel()
        yield drawn
        drawn.save()
