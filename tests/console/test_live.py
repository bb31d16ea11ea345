"""What stands on a terminal while a search runs."""

import io
import os
import pty
import sys

import pytest
from rich.console import Console

from asd_ray.console import live
from asd_ray.console.lines import Lines
from asd_ray.console.live import LiveView, open_view
from asd_ray.console.progress import Progress
from asd_ray.deadline import Deadline
from asd_ray.search.events import Event
from tests.console.events import begun, ended, epoch_done, planned


def drawn(*events: Event, width: int = 100, height: int = 40, deadline: Deadline | None = None) -> str:
    """The view one second after all events, without its bars' colours."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, record=True)
    times = iter([0.0, *[60.0] * len(events), 61.0])
    progress = Progress(epochs=4, train_clips={"fan": 30, "[red]valve": 10})
    view = LiveView(progress, console, deadline=deadline, clock=lambda: next(times))
    for event in events:
        view.on_event(event)
    console.export_text()
    console.print(view)
    return console.export_text()


def test_it_shows_the_best_the_lanes_the_counts_and_the_speed() -> None:
    text = drawn(
        planned(total=6, earlier=2),
        begun("fan-1", lanes=3),
        epoch_done("fan-1", 1),
        ended("fan-1", 1, best_of=("[red]valve",)),
        begun("valve-2", lanes=3),
        epoch_done("valve-2", 3, seconds=0.5, lane="lane-7-0f1e2d3c"),
        begun("fan-3", lanes=3),
    )
    rows = [" ".join(line.translate(dict.fromkeys(map(ord, "━╸╺"))).split()) for line in text.splitlines()]
    assert "fan 75.0 fan-0" in rows
    assert "[red]valve 50.0 fan-1" in rows
    assert "7 valve-2 3/4 1.235 0.5" in rows
    assert "fan-3 0/4 begins, 1 s" in rows
    assert "1 of 6 trials (2 in earlier calls): 1 complete, 0 pruned, 0 failed, 5 left" in rows
    assert rows[-1] == "1 min 1 s so far; about 0 s left; 2.00 epochs/s, 80 clips/s; idle lanes: 1"


def test_before_anything_runs_it_shows_what_is_being_done() -> None:
    assert drawn("reading 576 clips").split() == ["1", "min", "1", "s", "reading", "576", "clips"]


def test_it_fits_a_small_terminal_however_many_lanes_there_are() -> None:
    many = [begun(f"fan-{number}", lanes=200) for number in range(1, 200)]
    text = drawn(planned(total=400), *many, width=80, height=24)
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    assert "more" in text
    assert "0 of 400 trials" in text


def test_the_end_of_its_hours_is_shown_where_that_comes_first() -> None:
    events = [planned(total=6), begun("fan-1"), epoch_done("fan-1", 1, seconds=3600.0)]
    assert "about 11 h" in drawn(*events)
    assert "ends in 59 min" in drawn(*events, deadline=Deadline(1.0))


def test_a_confirmation_is_called_so() -> None:
    text = drawn(planned(total=4, confirming=True), begun("fan-1-seed-7", seed=7))
    assert "0 of 4 trainings that confirm: 0 confirmed, 0 failed, 4 left" in text


def test_ctrl_c_is_answered_in_the_view_and_again_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with LiveView(Progress(epochs=4, train_clips={}), console) as view:
        view.on_event(planned())
        view.say("interrupted; go on with: x")
        view._live.refresh()
        assert "interrupted; go on with: x" in console.file.getvalue()  # type: ignore[attr-defined]
    assert capsys.readouterr().err == "interrupted; go on with: x\n"


def test_what_has_ended_stays_above_the_view_which_leaves_nothing_behind() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with LiveView(Progress(epochs=4, train_clips={}), console, clock=lambda: 0.0) as view:
        view.on_event(planned())
        view.on_event(begun("fan-1"))
        view.on_event(ended("fan-1", 1))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "    0 s  [1/6] fan-1 complete after 4 epochs: fan 87.5 [red]valve 50.0" in written
    assert written.endswith("\x1b[2K")  # the last thing that it did was to wipe a line


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_the_view_and_a_file_gets_lines(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")  # a continuous integration's: no terminal nonetheless
    ends = pty.openpty() if terminal else os.pipe()
    for end in ends[:1]:
        os.set_blocking(end, False)
    with os.fdopen(ends[1], "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        view = open_view(Progress(epochs=4, train_clips={}))
        assert isinstance(view, LiveView if terminal else Lines)
    os.close(ends[0])


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert isinstance(live.open_view(Progress(epochs=4, train_clips={})), Lines)
