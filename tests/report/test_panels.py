"""The small figures of the page."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from asd_ray.report.figures import INK, NORMAL
from asd_ray.report.panels import angle_panel, counted_part, progress_panel, roc_panel, score_panel
from asd_ray.report.summary import Summary
from tests.report.summaries import read_summary


@pytest.fixture(scope="module")
def summary(finished_run: Path) -> Summary:
    return read_summary(finished_run)


def test_panels_take_the_colour_of_the_text_around_them_and_have_no_background(summary: Summary) -> None:
    best = summary.machines[0].best
    assert best is not None
    angles = [30.0 + 40.0 * row[2] for row in best.reported]
    drawn = (
        roc_panel(best, max_fpr=0.1),
        score_panel(best),
        angle_panel(best, angles),
        progress_panel(summary, "fan"),
    )
    for svg in drawn:
        assert svg.startswith("<svg")
        assert "currentColor" in svg
        assert INK not in svg
        assert not re.search(r"#0{6}|#f{6}|: black|: white", svg)


def test_no_two_panels_of_a_page_share_an_id(summary: Summary) -> None:
    """Or a figure would be drawn with the clip paths and marks of another."""
    panels = [progress_panel(summary, name) for name in summary.run.machine_types]
    found = [machine.best for machine in summary.machines if machine.best]
    panels += [roc_panel(best, max_fpr=0.1) for best in found] + [score_panel(best) for best in found]
    used = [set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", svg)) for svg in panels]
    assert all(used)
    assert sum(map(len, used)) == len(set().union(*used))


def test_clips_of_one_kind_have_no_curve(summary: Summary) -> None:
    best = summary.machines[0].best
    assert best is not None
    normal = replace(best, reported=tuple(row for row in best.reported if not row[2]))
    assert roc_panel(normal, max_fpr=0.1) == ""


def test_what_is_shaded_of_a_roc_curve_is_its_partial_area() -> None:
    draw = np.random.default_rng(0)
    normal, anomalous = draw.normal(0.0, 1.0, 12), draw.normal(1.5, 1.0, 12)
    found = roc_curve([False] * 12 + [True] * 12, np.concatenate([normal, anomalous]), drop_intermediate=False)
    x, y = counted_part(found[0], found[1], max_fpr=0.1)
    # 0.1 of 12 normal clips are 1.2 of them; a height is the share of anomalies above the highest ones.
    above = [(anomalous > value).mean() for value in sorted(normal, reverse=True)]
    assert np.trapezoid(y, x) == pytest.approx(above[0] / 12 + above[1] * (0.1 - 1 / 12))
    assert above[0] < above[1]


def test_a_trial_that_failed_is_marked_and_one_without_values_is_no_figure(summary: Summary) -> None:
    failed = replace(summary.trials[0], uid="fan-99", state="failed", objective={})
    assert "failed" in progress_panel(replace(summary, trials=(*summary.trials, failed)), "fan")
    assert NORMAL in progress_panel(summary, "fan")
    assert progress_panel(replace(summary, trials=(failed,)), "fan") == ""
