"""Locks that admit one process at a time to a folder.

The lock is the system's (flock) and ends with its process, however that ends; the name in the lock file only says
who holds it. On NFS, flock works between machines where the server and both mounts support it (Linux since NFSv3
with lockd, or NFSv4); with `nolock` or `local_lock=flock` each machine has its own locks. There, make sure that
only one machine works on a folder, or keep the studies in PostgreSQL, whose lock holds everywhere.

Object storage has no such lock. A search there keeps its studies in PostgreSQL, whose lock protects it. Nothing
protects the preparing of shards or the training of one config there: run only one (each object stays whole).
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from asd_ray.errors import InputError
from asd_ray.files.paths import is_object
from asd_ray.files.writing import cannot_write

LOCK = ".lock"


def this_process() -> str:
    """The name under which this process appears to others as a lock's holder."""
    return f"process {os.getpid()} on {os.uname().nodename}"


@contextmanager
def folder_lock(folder: Path, *, mend: str, on_event: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the folder for the duration of a block, making it if need be.

    `on_event` hears of an earlier holder that ended without releasing it: killed, or its machine switched off.
    When another process holds the folder, raises InputError with the holder's name and `mend`.
    """
    if is_object(folder):
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # O_NOFOLLOW: others who may write here could link the lock to a file of ours, which we would empty.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.fdopen(os.open(folder / LOCK, flags, 0o666), "r+")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError(f"{folder / LOCK}: is a link, which a lock must not be; remove it") from None
        raise cannot_write(folder, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{folder}: in use by {_name_in(file) or 'another process'}; {mend}") from None
        except OSError as error:
            raise InputError(f"{folder}: cannot be locked ({error.strerror}); choose another folder") from error
        dead = _name_in(file)
        if dead:
            on_event(f"{folder}: taken over from {dead}, which ended without letting go of it")
        file.truncate(0)
        with suppress(OSError):  # on a full disk, the lock holds even without the name
            os.write(file.fileno(), f"{this_process()}\n".encode())
        try:
            yield
        finally:
            file.truncate(0)


def _name_in(file: IO[str]) -> str:
    return os.pread(file.fileno(), 1000, 0).decode(errors="replace").strip()
