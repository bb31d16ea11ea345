"""One line per event, as files and continuous integration see a search."""

import pytest

from asd_ray.console.lines import Lines
from tests.console.events import begun, ended, epoch_done, planned


def test_trials_that_end_and_plain_lines_are_printed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(clock=iter([0.0, *map(float, range(3, 12))]).__next__) as view:
        for event in (
            "starting 2 lanes",
            planned(),
            begun("fan-1"),
            epoch_done("fan-1", 1),
            ended("fan-1", 1),
            ended("fan-2", 2, outcome="failed"),
            ended("fan-1-seed-7", 3, seed=7),
        ):
            view.on_event(event)
    assert capsys.readouterr().out.splitlines() == [
        "    3 s  starting 2 lanes",
        "    7 s  [1/6] fan-1 complete after 4 epochs: fan 87.5 [red]valve 50.0",
        "    8 s  [2/6] fan-1 failed: it diverged",
        "    9 s  [3/6] fan-1 seed 7 confirmed after 4 epochs: fan 87.5 [red]valve 50.0",
    ]
