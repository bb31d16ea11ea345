"""One process at a time in a folder.

The lock is the system's (flock) and goes with its process, however that ends; the name in the lock file only says
who holds it. On NFS, flock holds between machines where the server and both mounts support it (Linux since NFSv3
with lockd, or NFSv4); with `nolock` or `local_lock=flock` each machine has locks of its own. There, see to it that
only one machine works on a folder, or keep the studies in PostgreSQL, whose lock holds everywhere.

Object storage has no such lock. A search there has its studies in PostgreSQL, and is held by their lock; whoever
prepares shards or trains one config there has to see to it alone (each object is whole all the same).
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
    """How a holder is named to others."""
    return f"process {os.getpid()} on {os.uname().nodename}"


@contextmanager
def folder_lock(folder: Path, *, mend: str, on_event: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the folder, made if need be, for the length of a block.

    `on_event` hears of a holder that ended without letting go: killed, or its machine switched off. Raises
    InputError naming the holder, and `mend`, when it is held.
    """
    if is_object(folder):
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Whoever may write in the folder could have made the lock a link to a file of ours, to be emptied.
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
        with suppress(OSError):  # a full disk: the lock holds without the name, too
            os.write(file.fileno(), f"{this_process()}\n".encode())
        try:
            yield
        finally:
            file.truncate(0)


def _name_in(file: IO[str]) -> str:
    return os.pread(file.fileno(), 1000, 0).decode(errors="replace").strip()
