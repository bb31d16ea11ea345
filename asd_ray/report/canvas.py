"""What the small figures of the page are drawn on: SVG that suits light and dark.

Without a background, and in the colour of the text around them. Blue and orange are Okabe and Ito's, told apart by
the colour-blind and on both grounds.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from asd_ray.report.figures import svg_settings

NORMAL, ANOMALOUS, PRUNED = "#2f8fce", "#e0751c", "#8a929b"
INK = "#010203"  # replaced by the colour of the text around it
MARKERS = re.compile(r'<g (clip-path="[^"]*")>((?:\s*<use [^>]*/>)+)\s*</g>')  # of one scatter
STYLE = re.compile(r' (style="[^"]*")')
TAG, DIGITS = re.compile(r"<[^>]*>"), re.compile(r"(\d\.\d\d)\d+")


class Panel:
    """One figure: its axes, then its SVG."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(3.4, 2.5), facecolor="none")
        FigureCanvasSVG(self.figure)
        # Room for labels and legend; to have it measured takes as long as all the drawing.
        self.figure.subplots_adjust(left=0.17, right=0.97, bottom=0.19, top=0.86)
        self.axes: Axes = self.figure.add_subplot()
        self.axes.set_facecolor("none")
        self.axes.spines[["top", "right"]].set_visible(False)
        self.svg = ""

    def legend(self) -> None:
        """Above the axes, where it hides nothing, in two columns."""
        self.axes.legend(
            frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0
        )

    def save(self) -> None:
        text = io.StringIO()
        self.figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        drawn = MARKERS.sub(_with_one_style, text.getvalue())
        # A hundredth of a point is finer than any screen. The text between tags keeps its digits.
        drawn = TAG.sub(lambda tag: DIGITS.sub(r"\1", tag[0]), drawn).replace(INK, "currentColor")
        self.svg = drawn[drawn.index("<svg") :]


def _with_one_style(markers: re.Match[str]) -> str:
    """The style of markers that look alike said once: of hundreds of trials it would be half of the page."""
    styles = set(STYLE.findall(markers[2]))
    return f"<g {markers[1]} {styles.pop()}>{STYLE.sub('', markers[2])}</g>" if len(styles) == 1 else markers[0]


@contextmanager
def panel(name: str) -> Iterator[Panel]:
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
        drawn = Panel()
        yield drawn
        drawn.save()
