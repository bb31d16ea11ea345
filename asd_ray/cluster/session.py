"""The folder of a local Ray: sockets, logs, spilled objects. Only its user can enter it; it is removed afterwards.

Everybody can write to the temporary folder. So this module trusts nothing there for its name: it removes only a
real folder of this user that no process holds, and follows no link. Ray opens its own folder to everybody (mode
0777), and unpickles files or takes commands there: so that folder lies in one that only its user may enter.
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
# The longest path, in bytes, of a folder for sessions: paths of sockets are short, and Ray appends its own names.
LONGEST = (103 if sys.platform == "darwin" else 107) - len(
    f"/{PREFIX}12345678/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
)


@contextmanager
def session_folder() -> Iterator[Path]:
    """A folder for Ray, for the length of a block; removes the folders of killed searches first.

    Raises InputError if no folder for temporary files is suitable.
    """
    base = temporary_folder()
    _remove_stale(base)
    # Nobody takes the folder for stale under this name; it gets its final name once it is locked.
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
    """The first folder for temporary files with a path short enough for sockets.

    Raises InputError if there is none, or if it is not safe.
    """
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
        with suppress(OSError):  # another process is removing the folder, or holds it
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            # Trust the lock, not a process id: containers that share a disk number their processes separately.
            lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def compile_cache(otherwise: Path | None = None) -> dict[str, str]:
    """Where torch keeps compiled code: below the user's own cache, or in `otherwise` where there is none.

    By default torch uses a folder with a predictable name in the temporary folder. Somebody else may have put code
    to be loaded there, and its name needs an entry in the system's list of users.
    """
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "asd_ray" / "torch"
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        usable = cache.stat().st_uid == os.geteuid() and os.access(cache, os.W_OK)
    except (OSError, RuntimeError):  # there is no home folder, or it cannot be written
        usable = False
    if not usable and otherwise is None:
        return {}
    return {"TORCHINDUCTOR_CACHE_DIR": str(cache if usable else otherwise)}
