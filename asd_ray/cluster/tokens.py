"""The token that lets this user into Ray clusters: made if need be, readable by its owner alone.

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
    """Where the token is kept. Raises InputError where there is no home folder to keep it in."""
    try:
        return Path(os.environ.get(PATH) or Path.home() / ".ray" / "auth_token")
    except RuntimeError:  # neither HOME nor an entry in the system's list of users
        raise InputError(f"this user has no home folder to keep a token in; set HOME or {PATH}") from None


def protect_token() -> None:
    """Ray writes its token readable for everybody; only its owner needs it.

    Raises InputError where others can read it and that cannot be changed. (A secret of Kubernetes is mounted
    read-only, for the pod's group.)
    """
    path = token_file()
    try:
        mode = path.stat().st_mode if path.is_file() else 0
    except OSError:  # not for us to see: nobody's token is shown by us then
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
    """The token; one is made, in a file of mode 0600, where there is none. Raises InputError."""
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
    """Variables that give a local Ray its token: none where the user's file has one, which is made if need be.

    Ray would make that file itself, readable for everybody until we come. Where none can be kept, a token of this
    process will do: nobody else has to know it.
    """
    try:
        own_token()
    except InputError:
        return {TOKEN: _token_of_process()}
    return {}


@cache
def _token_of_process() -> str:
    """The same for every Ray that this process starts: Ray's client reads it once."""
    return secrets.token_hex(32)
