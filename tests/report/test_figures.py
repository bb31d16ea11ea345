"""The figure of the trials."""

from asd_ray.report.figures import trials_figure
from tests.report.test_pareto import summary_of
from tests.search.test_starts import make_run


def test_a_search_that_ended_before_its_first_trial_has_a_figure_without_marks() -> None:
    figure = trials_figure(summary_of(make_run()))  # warnings are errors: an empty legend would be one
    assert figure.startswith("<?xml")
    assert "fan" in figure
    assert "published" not in figure
