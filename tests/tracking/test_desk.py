"""A tracker gets everything once and in order, and whatever befalls it, the search goes on."""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from asd_ray.search.events import Begun, Ended, Event, Left
from asd_ray.search.runfolder import Run
from asd_ray.tracking import desk
from asd_ray.tracking.desk import tracked
from tests.tracking.conftest import begun, ended, epoch_done


class Notebook:
    """A tracker that notes its calls, and fails or waits where it is told to."""

    name = "notebook"

    def __init__(self, *, held: int = 0, fails: str = "", waits: threading.Event | None = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._held, self._fails, self._waits = held, fails, waits

    def note(self, *call: object) -> None:
        if call[0] == self._fails:
            raise OSError(f"no space\nfor postgresql://me:secret@host/db {200 * 'x'}")
        self.calls.append(call)

    def begin(self, folder: Path, run: Run) -> None:
        self.note("begin", folder.name)

    def begin_trial(self, trial: Begun) -> int:
        self.note("begin_trial", trial.name)
        return self._held

    def epoch(self, name: str, epoch: int, values: Mapping[str, float]) -> None:
        if self._waits is not None:
            self._waits.wait()
        self.note("epoch", name, epoch)

    def end_trial(self, trial: Ended) -> None:
        self.note("end_trial", trial.name)

    def end(self) -> None:
        self.note("end")


LOST_AND_GONE_ON_WITH: list[Event] = [
    "starting",
    begun(),
    epoch_done("fan-1", 1),
    epoch_done("fan-1", 2),
    Left(name="fan-1"),
    begun(),
    epoch_done("fan-1", 1),  # read back from its history
    epoch_done("fan-1", 2),
    epoch_done("fan-1", 3),
    ended(),
]


def told(notebook: Notebook, run: Run, events: list[Event]) -> list[Event]:
    """What the search's own view is told."""
    seen: list[Event] = []
    with tracked([notebook], Path("runs/first"), run, seen.append) as tell:
        for event in events:
            tell(event)
    return seen


def test_every_epoch_is_booked_once_though_a_lost_trial_tells_it_twice(run: Run) -> None:
    notebook = Notebook()
    assert told(notebook, run, LOST_AND_GONE_ON_WITH) == LOST_AND_GONE_ON_WITH
    epochs = [("epoch", "fan-1", epoch) for epoch in (1, 2, 3)]
    assert notebook.calls == [
        ("begin", "first"),
        ("begin_trial", "fan-1"),
        *epochs,
        ("end_trial", "fan-1"),
        ("end",),
    ]


def test_epochs_that_the_books_hold_from_an_earlier_call_are_not_booked_again(run: Run) -> None:
    notebook = Notebook(held=2)
    told(notebook, run, LOST_AND_GONE_ON_WITH)
    assert [call for call in notebook.calls if call[0] == "epoch"] == [("epoch", "fan-1", 3)]


@pytest.mark.parametrize("where", ["begin", "begin_trial", "epoch", "end_trial"])
def test_an_error_is_one_line_without_passwords_and_the_last_that_is_heard_of_it(run: Run, where: str) -> None:
    notebook = Notebook(fails=where)
    seen = told(notebook, run, [*LOST_AND_GONE_ON_WITH, begun("fan-2"), ended("fan-2")])
    lines = [event for event in seen if isinstance(event, str) and event != "starting"]
    assert lines == ["notebook: no space for postgresql://me:***@host/db ...; the search goes on without it"]
    assert len(seen) == len(LOST_AND_GONE_ON_WITH) + 2 + 1
    assert ("begin_trial", "fan-2") not in notebook.calls
    assert notebook.calls[-1:] == [("end",)]


def test_a_slow_tracker_does_not_hold_the_search_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "PATIENCE_S", 0.2)
    server_answers = threading.Event()
    began = time.monotonic()
    seen = told(Notebook(waits=server_answers), run, LOST_AND_GONE_ON_WITH)
    server_answers.set()
    assert seen[-1] == "notebook was still busy after 0 s: what came last is missing there"
    assert time.monotonic() - began < 5


def test_after_ctrl_c_nobody_waits_long_for_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "CTRL_C_PATIENCE_S", 0.2)
    notebook = Notebook(waits=(server_answers := threading.Event()))
    began = time.monotonic()
    with suppress(KeyboardInterrupt), tracked([notebook], Path("x"), run, lambda event: None) as tell:
        tell(begun())
        tell(epoch_done("fan-1", 1))
        raise KeyboardInterrupt
    server_answers.set()
    assert time.monotonic() - began < 5
