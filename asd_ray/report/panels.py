"""Small figures of the page, one machine type each: where a detector fails, and what the search gained when.

They are SVG without a background, drawn in the colour of the text around them, so that one file suits light and
dark. Blue and orange are Okabe and Ito's, told apart by the colour-blind and on both grounds.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from asd_ray.report.figures import svg_settings
from asd_ray.report.judging import Judged
from asd_ray.report.summary import Summary

NORMAL, ANOMALOUS, PRUNED = "#2f8fce", "#e0751c", "#8a929b"
INK = "#010203"  # replaced by the colour of the text around it
BINS = 24


class _Panel:
    """One figure: its axes side by side, then its SVG."""

    def __init__(self, columns: int) -> None:
        self._figure = Figure(figsize=(3.4 * columns, 2.5), layout="constrained", facecolor="none")
        FigureCanvasSVG(self._figure)
        self.axes: list[Axes] = [self._figure.add_subplot(1, columns, place + 1) for place in range(columns)]
        for axes in self.axes:
            axes.set_facecolor("none")
            axes.spines[["top", "right"]].set_visible(False)
        self.svg = ""

    def save(self) -> None:
        text = io.StringIO()
        self._figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        drawn = text.getvalue().replace(INK, "currentColor")
        self.svg = drawn[drawn.index("<svg") :]


@contextmanager
def _panel(name: str, *, columns: int = 1) -> Iterator[_Panel]:
    """A panel to draw on, which has its SVG when the block ends."""
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
        panel = _Panel(columns)
        yield panel
        panel.save()


def detection_panel(judged: Judged, *, max_fpr: float) -> str:
    """ROC curve of the reporting clips of all ids with the part that pAUC counts shaded, and their scores.

    "" where clips of one kind only report: there is no curve then.
    """
    truth = np.array([row[2] for row in judged.reported], dtype=bool)
    score = np.array([row[3] for row in judged.reported])
    if truth.all() or not truth.any():
        return ""
    with _panel(f"detection {judged.choosing.machine_type}", columns=2) as panel:
        curve, scores = panel.axes
        false_rate, true_rate, _ = roc_curve(truth, score)
        counted = np.append(false_rate[false_rate <= max_fpr], max_fpr)
        curve.fill_between(
            counted, np.interp(counted, false_rate, true_rate), color=ANOMALOUS, alpha=0.3, linewidth=0
        )
        curve.plot(false_rate, true_rate, color=ANOMALOUS)
        curve.plot([0, 1], [0, 1], color=PRUNED, linewidth=0.8, linestyle=":")
        curve.set(xlabel="normal clips taken for anomalies", ylabel="anomalies found", xlim=(0, 1), ylim=(0, 1.02))
        edges = np.histogram_bin_edges(score, bins=BINS)
        for wanted, color, label in ((False, NORMAL, "normal"), (True, ANOMALOUS, "anomalous")):
            scores.hist(score[truth == wanted], bins=list(edges), color=color, alpha=0.65, label=label)
        scores.axvline(judged.threshold.value, color=INK, linewidth=0.9, linestyle="--", label="threshold")
        scores.set(xlabel="anomaly score", ylabel="clips")
        scores.legend(frameon=False)
    return panel.svg


def progress_panel(summary: Summary, machine_type: str) -> str:
    """Every trial in the order of the search on the choosing clips, and the best complete one so far.

    "" where no trial has a value.
    """
    # Joint studies know all trials, so the number is the place in the search; of separate ones it is the round.
    rows = sorted(summary.trials, key=lambda row: int(row.uid.rpartition("-")[2]))
    values = [100 * row.objective.get(machine_type, float("nan")) for row in rows]
    number = range(1, len(rows) + 1)
    if not np.isfinite(values).any():
        return ""
    with _panel(f"progress {machine_type}") as panel:
        (axes,) = panel.axes
        for state, color, marker in (("complete", NORMAL, "o"), ("pruned", PRUNED, ".")):
            points = [(x, y) for x, y, row in zip(number, values, rows, strict=True) if row.state == state]
            axes.scatter(
                [x for x, _ in points], [y for _, y in points], color=color, marker=marker, s=18, label=state
            )
        failed = [x for x, row in zip(number, rows, strict=True) if row.state == "failed"]
        low = float(np.nanmin(values))
        axes.scatter(failed, [low] * len(failed), color=ANOMALOUS, marker="x", s=24, label="failed")
        complete = [
            y if row.state == "complete" and np.isfinite(y) else -np.inf
            for y, row in zip(values, rows, strict=True)
        ]
        best = [value if np.isfinite(value) else np.nan for value in accumulate(complete, max)]
        axes.step(number, best, where="post", color=INK, linewidth=1, label="best so far")
        axes.set(xlabel="trial", ylabel="objective, %")
        axes.legend(frameon=False, fontsize=7)
    return panel.svg
