"""One line per event: what is seen of a search where there is no terminal."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from asd_ray.interrupts import say_at_once
from asd_ray.search.events import Ended, Event


class View(Protocol):
    """Shows what a search tells while it runs; entered for that time."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def on_event(self, event: Event) -> None: ...
    def say(self, farewell: str) -> None:
        """What to say to Ctrl-C, from the handler of its signal."""


class Lines:
    """A view of lines on standard output."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began = clock, clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held."""

    def on_event(self, event: Event) -> None:
        line = line_of(event, self._clock() - self._began)
        if line:
            print(line, flush=True)

    def say(self, farewell: str) -> None:
        say_at_once(farewell)


def line_of(event: Event, seconds: float) -> str:
    """An event in a line, `seconds` after the search began; empty for what is no news."""
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
