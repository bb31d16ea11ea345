"""Work that a thread begins before it is wanted: reading clips while Ray starts. Imports neither torch nor Ray."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Things that a thread makes one after the other, imports that it needs included."""

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make
        self._made: list[T] = []
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="ahead")
        self._thread.start()

    def _run(self) -> None:
        try:
            for made in self._make():
                self._made.append(made)
                if self._stop.is_set():
                    return
        except Exception as error:  # raised where the things are wanted
            self._error = error

    def take(self) -> Iterator[T]:
        """All of them, once all are made; each is let go as it is handed over. Raises what making them raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        while self._made:
            yield self._made.pop(0)

    def stop(self) -> None:
        """Make no more; what is in hand is finished."""
        self._stop.set()


@contextmanager
def ahead(make: Callable[[], Iterable[T]]) -> Iterator[Ahead[T]]:
    """Work ahead for the length of a block."""
    begun = Ahead(make)
    try:
        yield begun
    finally:
        begun.stop()
