"""Small figures of the page: how a machine type's objective responds to the searched numbers."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from asd_ray.report.canvas import ANOMALOUS, INK, NORMAL, panel
from asd_ray.report.response import Contour, Slice, spoken

COLOURS, LEVELS = "cividis", 9  # dark to bright for the colour-blind, too


def _logarithmic(axes: Axes, which: Literal["x", "y"], values: Sequence[float]) -> None:
    """A log scale with a few plain numbers at it: 8, 16, 32, 64."""
    ticks = np.geomspace(values[0], values[-1], 4)
    axes.set(**{f"{which}scale": "log"})
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(ticks.tolist()))
    axis.set_major_formatter(FixedFormatter([f"{tick:.2g}" for tick in ticks]))
    axis.set_minor_locator(NullLocator())


def slice_panel(machine_type: str, found: Slice) -> str:
    """The objective along one number, its 95 % interval, the complete trials, and where the chosen config lies."""
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
    """The objective over two numbers, the complete trials, and where the chosen config lies."""
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
