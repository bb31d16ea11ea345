"""The findings of checks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from asd_ray.errors import EnvironmentFailure, InputError

Level = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: a `note` is worth knowing; a `fault` prevents a search, and its text ends with the mend."""

    level: Level
    subject: str
    text: str


Check = Callable[[], Iterable[Finding]]


def examine(subject: str, check: Check) -> Iterator[Finding]:
    """The findings of a check; an error that it raises, whether the user's or the machine's, becomes a fault."""
    try:
        yield from check()
    except (InputError, EnvironmentFailure) as error:
        yield Finding("fault", subject, str(error))
