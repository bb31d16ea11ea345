"""Files that are whole or not there: they are written beside their place, flushed to the disk, then renamed."""

import errno
import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from asd_ray.errors import EnvironmentFailure, InputError
from asd_ray.files.paths import ObjectPath, is_object

_REFUSED = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
    errno.ENOENT,  # where no folder can be made, as in /proc
)
_PART = re.compile(r"\..+\.\d+\.part")  # as `writing` names them


@contextmanager
def writing(path: Path, *, keep: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write, which is renamed to `path` if the block succeeds, and removed if it fails.

    If `keep` is given, an earlier file of that name is kept as `keep`. Raises the error of `cannot_write` when the
    disk is full or refuses.
    """
    if isinstance(path, ObjectPath):
        with _putting(path, keep=keep) as file:
            yield file
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):  # if the parent is not a folder, removing fails as writing did
            beside.unlink(missing_ok=True)
        raise cannot_write(path, error) from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def _putting(path: ObjectPath, *, keep: Path | None) -> Iterator[BinaryIO]:
    """Put an object in one piece, once all of it has been written."""
    file = io.BytesIO()
    yield file
    if keep is not None and path.exists():
        path.copy_to(keep)
    path.write_bytes(file.getbuffer())


def cannot_write(path: Path, error: OSError) -> InputError | EnvironmentFailure:
    """The one message for a path that cannot be used (InputError), or a disk that fails (EnvironmentFailure)."""
    reason = error.strerror or str(error).splitlines()[0]
    if error.errno in _REFUSED:
        return InputError(f"{path}: cannot be written ({reason}); choose another folder, or mend this one")
    return EnvironmentFailure(f"{path}: cannot be written ({reason}); free some space there")


@contextmanager
def in_checked_folder() -> Iterator[None]:
    """For a block that writes to a folder checked earlier: an OSError now means that the disk has failed."""
    try:
        yield
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            raise EnvironmentFailure(str(error)) from error
        raise


def remove_unfinished(folder: Path) -> None:
    """Remove the unfinished files of killed writers below a folder that nobody is writing to."""
    for part in () if is_object(folder) else folder.rglob(".*.part"):
        if _PART.fullmatch(part.name):
            part.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    with writing(path) as file:
        file.write(text.encode())


def to_json(value: Any) -> str:
    """Readable JSON; refuses NaN, which JSON does not know."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
