"""The token that lets this user into Ray clusters: made if need be, readable by its owner alone.

Ray reads it from RAY_AUTH_TOKEN, from the file that RAY_AUTH_TOKEN_PATH names, or from ~/.ray/auth_token.
"""

import os
import secrets
import stat
from pathlib import Path

from asd_ray.command import InputError

MODE, TOKEN, PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def token_file() -> Path:
    return Path(os.environ.get(PATH) or Path.home() / ".ray" / "auth_token")


def protect_token() -> None:
    """Ray writes its token readable for everybody; only its owner needs it."""
    path = token_file()
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)


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
    token = path.read_text(encoding="ascii").strip()
    if not token:
        raise InputError(f"{path}: is empty; remove it, or put the token of the cluster there")
    return token
