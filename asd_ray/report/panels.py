"""Small figures of the page, one machine type each.

They show where a detector fails, what the search gained and when, and how the objective depends on the numbers.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from asd_ray.report.figures import ANOMALOUS, INK, NORMAL, PRUNED, panel
from asd_ray.report.judging import Judged
from asd_ray.report.response import Contour, Slice, spoken
from asd_ray.report.summary import Summary
from asd_ray.scoring.roc import roc_curve

BINS = 24
COLOURS, LEVELS = "cividis", 9  # from dark to bright for colour-blind readers, too


def roc_panel(judged: Judged, *, max_fpr: float) -> str:
    """ROC curve of the reporting clips of all ids, with the part that pAUC counts shaded.

    "" if all reporting clips are of one kind, because then there is no curve.
    """
    truth, score = _reported(judged)
    if truth.all() or not truth.any():
        return ""
    with panel(f"roc {judged.choosing.machine_type}") as drawn:
        curve = drawn.axes
        false_rate, true_rate = roc_curve(truth, score)
        counted = counted_part(false_rate, true_rate, max_fpr=max_fpr)
        curve.fill_between(*counted, color=ANOMALOUS, alpha=0.3, linewidth=0)
        curve.plot(false_rate, true_rate, color=ANOMALOUS)
        curve.plot([0, 1], [0, 1], color=PRUNED, linewidth=0.8, linestyle=":")
        curve.set(xlabel="normal clips taken for anomalies", ylabel="anomalies found", xlim=(0, 1), ylim=(0, 1.02))
    return drawn.svg


def counted_part(
    false_rate: NDArray[np.float64], true_rate: NDArray[np.float64], *, max_fpr: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points of a ROC curve up to a false-positive rate, including the one at that rate; steps stay steps."""
    inside = false_rate <= max_fpr
    last = np.interp(max_fpr, false_rate, true_rate)
    return np.append(false_rate[inside], max_fpr), np.append(true_rate[inside], last)


def score_panel(judged: Judged) -> str:
    """Histogram of the scores of normal and anomalous reporting clips, with the threshold."""
    truth, score = _reported(judged)
    with panel(f"scores {judged.choosing.machine_type}") as drawn:
        axes = drawn.axes
        _histograms(axes, score, truth)
        axes.axvline(judged.threshold.value, color=INK, linewidth=0.9, linestyle="--", label="threshold")
        axes.set(xlabel="anomaly score")
        drawn.legend()
    return drawn.svg


def angle_panel(judged: Judged, angles: Sequence[float]) -> str:
    """Histogram of the angles of normal and anomalous reporting clips to the centre of their own machine id."""
    truth, _ = _reported(judged)
    with panel(f"angles {judged.choosing.machine_type}") as drawn:
        axes = drawn.axes
        _histograms(axes, np.asarray(angles), truth)
        axes.set(xlabel="angle to the centre, degrees", xlim=(0, None))
        drawn.legend()
    return drawn.svg


def _reported(judged: Judged) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Labels and scores of the reporting clips."""
    return (
        np.array([row[2] for row in judged.reported], dtype=bool),
        np.array([row[3] for row in judged.reported], dtype=np.float64),
    )


def _histograms(axes: Axes, values: NDArray[np.float64], truth: NDArray[np.bool_]) -> None:
    edges = np.histogram_bin_edges(values, bins=BINS)
    for wanted, color, label in ((False, NORMAL, "normal"), (True, ANOMALOUS, "anomalous")):
        axes.hist(values[truth == wanted], bins=list(edges), color=color, alpha=0.65, label=label)
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def progress_panel(summary: Summary, machine_type: str) -> str:
    """Every trial in the order of the search on the choosing clips, and the best complete one so far.

    "" where no trial has a value.
    """
    # Joint studies hold all trials, so the number is the order in the search; in separate studies it is the round.
    rows = sorted(summary.trials, key=lambda row: int(row.uid.rpartition("-")[2]))
    values = [100 * row.objective.get(machine_type, float("nan")) for row in rows]
    number = range(1, len(rows) + 1)
    if not np.isfinite(values).any():
        return ""
    with panel(f"progress {machine_type}") as drawn:
        axes = drawn.axes
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
        drawn.legend()
    return drawn.svg


def _logarithmic(axes: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    """Set a log scale, labelled with a few plain numbers: 8, 16, 32, 64."""
    ticks = np.geomspace(values[0], values[-1], 4)
    axes.set(**{f"{which}scale": "log"})
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.set_major_formatter(FixedFormatter([f"{tick:.2g}" for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def slice_panel(machine_type: str, found: Slice) -> str:
    """The objective along one number, its 95 % interval, the complete trials, and the chosen config."""
    with panel(f"slice {machine_type} {found.name}") as drawn:
        axes = drawn.axes
        low, high, mean = (100 * np.array(part) for part in (found.low, found.high, found.mean))
        axes.fill_between(found.values, low, high, color=NORMAL, alpha=0.25, linewidth=0)
        axes.plot(found.values, mean, color=NORMAL)
        points = np.array(found.trials).reshape(-1, 2)
        axes.scatter(points[:, 0], 100 * points[:, 1], color=INK, s=6, alpha=0.6, linewidths=0)
        if found.chosen is not None:
            axes.axvline(found.chosen, color=ANOMALOUS, linewidth=1.2, linestyle="--")
        if found.log:
            _logarithmic(axes, "x", found.values)
        axes.set(xlabel=spoken(found.name), ylabel="objective, %")
    return drawn.svg


def contour_panel(machine_type: str, found: Contour) -> str:
    """The objective over two numbers, the complete trials, and the chosen config."""
    with panel(f"contour {machine_type} {found.x} {found.y}") as drawn:
        axes = drawn.axes
        mean = 100 * np.array(found.mean)
        levels = MaxNLocator(LEVELS).tick_values(mean.min(), mean.max())
        filled = axes.contourf(found.x_values, found.y_values, mean, levels=levels, cmap=COLOURS)
        bar = drawn.figure.colorbar(filled, ax=axes, label="objective, %", fraction=0.06, pad=0.03)
        drawn.figure.subplots_adjust(right=0.83)
        bar.outline.set_visible(False)
        points = np.array(found.trials).reshape(-1, 2)
        axes.scatter(points[:, 0], points[:, 1], color="#f4f4f4", edgecolors="#333333", s=9, linewidths=0.5)
        if found.chosen is not None:
            axes.scatter(*found.chosen, color=ANOMALOUS, edgecolors="#333333", marker="D", s=36, linewidths=0.6)
        if found.log[0]:
            _logarithmic(axes, "x", found.x_values)
        if found.log[1]:
            _logarithmic(axes, "y", found.y_values)
        axes.set(xlabel=spoken(found.x), ylabel=spoken(found.y))
    return drawn.svg
