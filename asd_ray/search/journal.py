"""The run folder's one writer, and the journal that survives a killed one."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asd_ray.command import InputError


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold the run folder for this process; the system lets go of it however the process ends.

    Raises InputError saying who holds it.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InputError(f"{run}: in use by {holder}; wait for it, or use another --run") from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {os.uname().nodename}\n")
        file.flush()
        yield


def repair_journal(path: Path) -> int:
    """Make a journal whole after a killed writer; returns how many bytes were cut (kept beside as `.torn`).

    Optuna reads past a torn last line without a word, and the next append then glues onto it and damages the
    file. Only call while holding the run's lock.
    """
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink()  # of a dead writer: waiting for it would cost 30 s
    if not path.exists():
        return 0
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    torn = data[whole:]
    if torn:
        with path.with_name(f"{path.name}.torn").open("ab") as file:
            file.write(torn)
        with path.open("rb+") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
    if not whole:
        path.unlink()  # Optuna refuses an empty journal
    return len(torn)
