"""A worker that is about to exhaust its machine's memory ends itself, heard or not."""

import os
from collections.abc import Callable

import pytest

from asd_ray.lanes import memory_guard as memory


class EndedError(Exception):
    """In the place of the end of the process."""


@pytest.mark.parametrize("heard", [True, False])
def test_it_ends_itself_even_where_its_last_words_are_not_heard(
    monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    def end(status: int) -> None:
        raise EndedError(status)

    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(memory, "memory_in_use", lambda: (950_000_000, 10**9))
    monkeypatch.setattr(memory, "_is_to_blame", lambda held, limit: True)
    said: list[str] = []
    with pytest.raises(EndedError):
        memory._watch(said.append if heard else _unheard())
    assert len(said) == heard


def _unheard() -> Callable[[str], None]:
    def last_words(words: str) -> None:
        raise TimeoutError(words)

    return last_words
