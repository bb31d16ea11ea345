"""Work that a thread begins before its result is needed, such as reading clips while Ray starts.

This module imports neither torch nor Ray.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


class Ahead(Generic[T]):
    """Makes items one after the other in a thread, which also does the imports that this needs."""

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
        except Exception as error:  # `take` raises it, where the items are needed
            self._error = error

    def take(self) -> Iterator[T]:
        """Wait until all items are made, then yield and release one after the other. Raises what `make` raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        while self._made and not self._stop.is_set():
            yield self._made.pop(0)

    def stop(self) -> None:
        """Make no more items; the one in progress is still finished."""
        self._stop.set()


@contextmanager
def ahead(make: Callable[[], Iterable[T]]) -> Iterator[Ahead[T]]:
    """Work ahead for the duration of a block."""
    begun = Ahead(make)
    try:
        yield begun
    finally:
        begun.stop()


@contextmanager
def promised(begun: Ahead[T], use: Callable[[Iterable[T]], U]) -> "Iterator[Future[U]]":
    """The future result of `use` on the items, computed in a thread that ends with the block."""
    with ThreadPoolExecutor(1, thread_name_prefix="promised") as pool:
        try:
            yield pool.submit(lambda: use(begun.take()))
        finally:
            begun.stop()


def fulfilled(value: U) -> "Future[U]":
    """A future whose result is already there."""
    future: Future[U] = Future()
    future.set_result(value)
    return future
