"""The folder of a local Ray: sockets, logs, spilled objects. It is its user's alone, and gone afterwards.

The temporary folder belongs to everybody. So nothing there is trusted for its name: only a real folder of this
user that no process holds is removed, and no link is followed. Ray opens its own folder to everybody (mode 0777),
and what lies there is unpickled, or takes commands: so that folder lies in one that only its user may enter.
"""

import fcntl
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asd_ray.errors import InputError
from asd_ray.files.locks import LOCK, folder_lock

PREFIX = "asd_ray-"
# Of a folder for sessions, in bytes: sockets have short paths, in which Ray's folders and names come last.
LONGEST = (103 if sys.platform == "darwin" else 107) - len(
    f"/{PREFIX}12345678/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
)


@contextmanager
def session_folder() -> Iterator[Path]:
    """A folder for Ray, for the length of a block; those of killed searches are removed first.

    Raises InputError where no folder for temporary files will do.
    """
    base = temporary_folder()
    _remove_stale(base)
    # Under this name nobody takes it for stale; it gets its own once it is locked.
    fresh = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=base))
    with folder_lock(fresh, mend="start the search again"):
        session = fresh.rename(base / fresh.name.removeprefix("."))
        inner = session / "r"
        inner.mkdir(mode=0o700)
        try:
            yield inner
        finally:
            shutil.rmtree(session, ignore_errors=True)


def temporary_folder() -> Path:
    """The first folder for temporary files whose path is short enough for sockets, and that is safe."""
    candidates = dict.fromkeys([Path(tempfile.gettempdir()), Path("/tmp")])
    short = [folder for folder in candidates if len(os.fsencode(folder)) <= LONGEST and os.access(folder, os.W_OK)]
    if not short:
        names = ", ".join(map(str, candidates))
        raise InputError(
            f"{names}: Ray's sockets need a folder that can be written and whose path has at most {LONGEST} "
            "characters; set TMPDIR to one"
        )
    folder = short[0]
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise InputError(
            f"{folder}: everybody may replace what others keep there; have it made sticky (chmod +t), or set "
            "TMPDIR to a folder of your own"
        )
    return folder


def _remove_stale(base: Path) -> None:
    for path in base.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody else removes it at this moment, or holds it
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            # The lock, not a process's number, says who lives: containers that share a disk count processes apart.
            lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def compile_cache(otherwise: Path | None = None) -> dict[str, str]:
    """Where torch keeps compiled code: below the user's own cache, or below `otherwise` where there is none.

    torch would take a folder of a predictable name in the temporary folder, where somebody else may have laid out
    code to be loaded, and whose name needs an entry in the system's list of users.
    """
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asd_ray" / "torch"
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        usable = cache.stat().st_uid == os.geteuid() and os.access(cache, os.W_OK)
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        usable = False
    if not usable and otherwise is None:
        return {}
    return {"TORCHINDUCTOR_CACHE_DIR": str(cache if usable else otherwise)}
