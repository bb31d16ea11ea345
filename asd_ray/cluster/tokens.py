"""The token that lets this user into Ray clusters; it is made if need be, and only its owner can read it.

Ray reads it from RAY_AUTH_TOKEN, from the file that RAY_AUTH_TOKEN_PATH names, or from ~/.ray/auth_token.
"""

import os
import secrets
import stat
from functools import cache
from pathlib import Path

from asd_ray.errors import InputError

MODE, TOKEN, PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def token_file() -> Path:
    """The file that holds the token. Raises InputError if there is no home folder to keep it in."""
    try:
        return Path(os.environ.get(PATH) or Path.home() / ".ray" / "auth_token")
    except RuntimeError:  # HOME is not set, and the user is not in the system's list of users
        raise InputError(f"this user has no home folder to keep a token in; set HOME or {PATH}") from None


def protect_token() -> None:
    """Make the token's file readable by its owner alone; Ray writes it readable for everybody.

    Raises InputError if others can read or write the file and its mode cannot be changed. (Kubernetes mounts a
    secret read-only, for the pod's group.)
    """
    path = token_file()
    try:
        mode = path.stat().st_mode if path.is_file() else 0
    except OSError:  # we cannot see the file, so we cannot expose its token either
        return
    if not mode & 0o077:
        return
    try:
        path.chmod(0o600)
    except OSError as error:
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            raise InputError(
                f"{path}: others can read this token, and its mode cannot be changed ({error.strerror}); have its "
                f"owner make it 0600, or name another file by {PATH}"
            ) from error


def own_token() -> str:
    """The token; if there is none, make one, in a file of mode 0600. Raises InputError."""
    given = os.environ.get(TOKEN, "").strip()
    if given:
        return given
    path = token_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        protect_token()
    except OSError as error:
        raise InputError(f"{path}: no token can be kept there ({error.strerror}); set {PATH}") from error
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(
            f"{path}: no token can be read there ({reason}); put that of the cluster there, or name another file "
            f"by {PATH}"
        ) from error
    if not token:
        raise InputError(f"{path}: is empty; remove it, or put the token of the cluster there")
    return token


def local_token() -> dict[str, str]:
    """Variables that give a local Ray its token: none if Ray finds the user's own, which is made if need be.

    Ray would make that file itself, and everybody could read it until we change its mode. If no file can be kept,
    a token of this process is enough: nobody else has to know it.
    """
    try:
        own_token()
    except InputError:
        return {TOKEN: _token_of_process()}
    return {}


@cache
def _token_of_process() -> str:
    """A token that is the same for every Ray that this process starts, because Ray's client reads it only once."""
    return secrets.token_hex(32)
