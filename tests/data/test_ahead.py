"""What a thread makes ahead arrives whole and in order, with its errors, and leaves no thread behind."""

import threading
from collections.abc import Iterator

import pytest

from asd_ray.data.ahead import ahead, fulfilled, promised
from asd_ray.errors import InputError


def test_things_made_ahead_are_handed_over_in_order_and_let_go() -> None:
    with ahead(lambda: iter("abc")) as begun, promised(begun, list) as promise:
        assert promise.result() == ["a", "b", "c"]
        assert list(begun.take()) == []


def test_an_error_is_raised_where_the_things_are_wanted() -> None:
    def damaged() -> Iterator[str]:
        yield "a"
        raise InputError("the second one is damaged")

    with ahead(damaged) as begun:
        with promised(begun, list) as promise, pytest.raises(InputError, match="the second one is damaged"):
            promise.result()
        with pytest.raises(InputError):
            list(begun.take())


def test_leaving_stops_what_is_still_being_made_and_leaves_no_thread() -> None:
    made: list[int] = []
    first = threading.Event()

    def endless() -> Iterator[int]:
        while True:
            made.append(len(made))
            first.set()
            yield made[-1]

    before = threading.active_count()
    with ahead(endless) as begun, promised(begun, list):
        first.wait()
    begun._thread.join(timeout=60)
    assert not begun._thread.is_alive()
    assert threading.active_count() == before


def test_a_promise_of_what_is_there_is_kept_at_once() -> None:
    assert fulfilled(3).result(timeout=0) == 3
