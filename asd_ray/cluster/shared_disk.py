"""Checks whether every machine of a search sees the same files: one writes, the others read what it wrote.

A worker elsewhere cannot tell that a run folder lies on the driver's own disk: the worker would write its trials
to a folder of that name on *its* disk, and the driver would miss them in the end.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asd_ray.errors import InputError
from asd_ray.files.paths import is_object
from asd_ray.files.writing import write_whole

MEND = "use s3://..., gs://..., or a folder of a disk that all nodes share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A probe that the driver wrote into the run folder, and a file of the data: every machine must see both."""

    probe: Path
    word: str
    data: Path  # a file that exists

    def check(self) -> None:
        """Look for both files from this machine, and write one beside the probe. Raises InputError naming what is
        not seen."""
        machine = os.uname().nodename
        try:
            found = self.probe.read_text(encoding="ascii")
        except (OSError, InputError) as error:
            found = _reason(error)
        if found != self.word:
            raise _unseen(self.probe.parent, "--run", machine, found)
        try:
            with self.data.open("rb") as file:
                file.read(1)
        except (OSError, InputError) as error:
            raise _unseen(self.data.parent, "--data", machine, _reason(error)) from error
        beside = self.probe.with_name(f"{self.probe.name}-{secrets.token_hex(4)}")
        write_whole(beside, self.word)
        beside.unlink()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _unseen(folder: Path, option: str, machine: str, why: str) -> InputError:
    mend = (
        f"give {machine} the right to it, and the keys and AWS_ENDPOINT_URL if need be"
        if is_object(folder)
        else MEND
    )
    return InputError(f"{option} {folder}: not seen from {machine} ({why}); {mend}")


@contextmanager
def shown(folder: Path, data: Path) -> Iterator[Sight]:
    """A probe in a run folder for the length of a block. Raises InputError if it cannot be written."""
    sight = Sight(probe=folder / f".seen-{secrets.token_hex(4)}", word=secrets.token_hex(16), data=data)
    write_whole(sight.probe, sight.word)
    try:
        yield sight
    finally:
        sight.probe.unlink(missing_ok=True)
