"""The figure of the trials."""

from pathlib import Path

from asd_ray.report.figures import trials_figure
from tests.report.summaries import read_summary
from tests.report.test_pareto import summary_of
from tests.search.test_warm_start import make_run


def test_a_search_that_ended_before_its_first_trial_has_a_figure_without_marks() -> None:
    figure = trials_figure(summary_of(make_run()))  # warnings are errors: an empty legend would be one
    assert figure.startswith("<?xml")
    assert "fan" in figure
    assert "published" not in figure


def test_the_circle_is_what_the_search_chose_and_not_called_the_best_observed(finished_run: Path) -> None:
    """From eight complete trials on, the smoothed value chooses, and a higher dot may stand beside the circle."""
    figure = trials_figure(read_summary(finished_run))
    assert "chosen by the search" in figure
    assert "best observed" not in figure
