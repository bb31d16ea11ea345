"""One line per event: how a search shows its progress if standard output is not a terminal."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from asd_ray.interrupts import say_at_once
from asd_ray.search.events import Ended, Event


class View(Protocol):
    """Shows the events of a search; entered as a context while the search runs."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def on_event(self, event: Event) -> None: ...
    def say(self, farewell: str) -> None:
        """Show a farewell after Ctrl-C; the handler of its signal calls this."""


class Lines:
    """A view that prints lines on standard output."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing: this view holds nothing that it must release."""

    def on_event(self, event: Event) -> None:
        line = line_of(event, self._clock() - self._began)
        if line:
            print(line, flush=True)

    def say(self, farewell: str) -> None:
        say_at_once(farewell)


def line_of(event: Event, seconds: float) -> str:
    """The line for an event, `seconds` after the search began; empty for an event that is not news."""
    if isinstance(event, str):
        return f"{seconds:5.0f} s  {event}"
    if not isinstance(event, Ended):
        return ""
    values = " ".join(f"{name} {100 * value:.1f}" for name, value in event.values.items())
    what = f": {event.reason}" if event.reason else f" after {event.epochs} epochs: {values}"
    name, outcome = event.proposal.uid, str(event.outcome)
    if event.seed is not None:
        name, outcome = f"{name} seed {event.seed}", "confirmed" if outcome == "complete" else outcome
    return f"{seconds:5.0f} s  [{event.number}/{event.total}] {name} {outcome}{what}"
