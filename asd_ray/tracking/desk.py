"""A desk runs a tracker in a thread of its own, so that the tracker can neither stop nor slow the search."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from textwrap import shorten

from asd_ray.errors import hide_passwords
from asd_ray.search.events import Begun, Ended, EpochDone, Event, OnEvent
from asd_ray.search.runfolder import Run
from asd_ray.tracking.tracker import Tracker, values_of

PATIENCE_S = 30.0  # the search waits so long at its end for a tracker that is behind
CTRL_C_PATIENCE_S = 3.0
LONGEST = 160  # characters of an error that are shown


@contextmanager
def tracked(trackers: Sequence[Tracker], folder: Path, run: Run, on_event: OnEvent) -> Iterator[OnEvent]:
    """A function to call instead of `on_event` during a search: it tells `on_event` and all trackers."""
    desks = [Desk(tracker, folder, run, warn=on_event) for tracker in trackers]

    def on_event_of_all(event: Event) -> None:
        on_event(event)
        for desk in desks:
            desk.put(event)

    patience = CTRL_C_PATIENCE_S
    try:
        yield on_event_of_all
        patience = PATIENCE_S
    finally:
        for desk in desks:
            desk.put(None)
        for desk in desks:
            desk.join(patience)


class Desk:
    """Hands events to a tracker, in order. After an error the tracker gets no more, and one line says why."""

    def __init__(self, tracker: Tracker, folder: Path, run: Run, *, warn: Callable[[str], None]) -> None:
        self._tracker, self._warn = tracker, warn
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._held: dict[str, int] = {}  # trial -> last epoch that the tracker has
        self._thread = threading.Thread(target=self._run, args=(folder, run), daemon=True, name=tracker.name)
        self._thread.start()

    def put(self, event: Event | None) -> None:
        """Queue an event; None says that the call ends."""
        self._queue.put(event)

    def join(self, patience: float) -> None:
        self._thread.join(patience)
        if self._thread.is_alive():
            self._warn(
                f"{self._tracker.name} was still busy after {patience:.0f} s: what came last is missing there"
            )

    def _run(self, folder: Path, run: Run) -> None:
        try:
            self._tracker.begin(folder, run)
            while (event := self._queue.get()) is not None:
                self._pass_on(event)
        except Exception as error:  # whatever it is: no error of a tracker may end a search
            said = shorten(hide_passwords(str(error).strip() or type(error).__name__), LONGEST, placeholder=" ...")
            self._warn(f"{self._tracker.name}: {said}; the search goes on without it")
            with suppress(Exception):
                self._tracker.end()
            return
        self._end()

    def _end(self) -> None:
        try:
            self._tracker.end()
        except Exception as error:
            self._warn(f"{self._tracker.name}: {type(error).__name__} at its end; the search is not touched")

    def _pass_on(self, event: Event) -> None:
        match event:
            case Begun() if event.name not in self._held:
                self._held[event.name] = self._tracker.begin_trial(event)
            case EpochDone() if event.report.epoch > self._held[event.name]:
                self._held[event.name] = event.report.epoch
                self._tracker.epoch(event.name, event.report.epoch, values_of(event.report))
            case Ended():
                self._tracker.end_trial(event)
                del self._held[event.name]
