"""Work that a thread begins before it is wanted: reading clips while Ray starts. Imports neither torch nor Ray."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


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
        while self._made and not self._stop.is_set():
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


@contextmanager
def promised(begun: Ahead[T], use: Callable[[Iterable[T]], U]) -> "Iterator[Future[U]]":
    """What is made of them, in a thread that has ended when the block does."""
    with ThreadPoolExecutor(1, thread_name_prefix="promised") as pool:
        try:
            yield pool.submit(lambda: use(begun.take()))
        finally:
            begun.stop()


def fulfilled(value: U) -> "Future[U]":
    """A promise of what is there already."""
    future: Future[U] = Future()
    future.set_result(value)
    return future
