"""Files of Zenodo's records, fetched whole even over a connection that breaks.

The part of a file that has arrived lies beside it as `.<name>.arriving`; the next attempt, or the next call, asks
for the rest. A file takes its final name once its size and MD5 are those that Zenodo gives.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from asd_ray import __version__
from asd_ray.files.writing import cannot_write

API = "https://zenodo.org/api"
ATTEMPTS = 6  # in a row that bring no further byte: a minute of silence in all
LONGEST_PAUSE = 60.0  # seconds, even if the server asks for more (Retry-After)
_TIMEOUTS = (10.0, 60.0)  # seconds to connect, and between two packets
PIECE = 2**14  # bytes: small, because requests discards the piece during which a connection ends
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

Progress = Callable[[str, int, int], None]  # name, bytes that have arrived, bytes in all


class DownloadError(Exception):
    """What could not be fetched, and why. Repeating the call resumes from what has arrived."""


class _Lenient(BaseModel):
    """Accepts fields that Zenodo adds; those that we use must have the right type."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Links(_Lenient):
    self: str = Field(pattern=r"^https?://")


class _File(_Lenient):
    key: str
    size: int = Field(ge=0)
    checksum: str = Field(pattern=r"^md5:[0-9a-f]{32}$")
    links: _Links


class _Record(_Lenient):
    files: tuple[_File, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file of a record: its size in bytes, and the MD5 that Zenodo gives for it."""

    record: int
    name: str
    size: int
    md5: str
    url: str


class Zenodo:
    """A client of Zenodo's API, or of a server that answers like it."""

    def __init__(self, api: str = API, *, pause: float = 1.0) -> None:
        """`pause` is the wait in seconds after a first failure; each further wait is twice as long."""
        self._api, self._pause = api.rstrip("/"), pause
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"asd_ray/{__version__}"
        self._session.headers["Accept-Encoding"] = "identity"  # ranges count the bytes of the file itself

    def files(self, record: int) -> dict[str, RemoteFile]:
        """The files of a record by name. Raises DownloadError."""
        url = f"{self._api}/records/{record}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._session.get(url, timeout=_TIMEOUTS) as response:
                    _refuse_for_good(response, url)
                    response.raise_for_status()
                    found = _Record.model_validate_json(response.content)
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(map(str, problem["loc"]))
                raise DownloadError(
                    f"{url}: not the answer of Zenodo's API ({where}: {problem['msg']})"
                ) from error
            except requests.RequestException as error:
                self._wait_or_give_up(url, error, attempt=attempt)
            else:
                return {
                    file.key: RemoteFile(
                        record=record,
                        name=file.key,
                        size=file.size,
                        md5=file.checksum.removeprefix("md5:"),
                        url=file.links.self,
                    )
                    for file in found.files
                }
        raise AssertionError("the last attempt returns or raises")

    def fetch(self, file: RemoteFile, folder: Path, *, on_progress: Progress) -> Path:
        """Fetch a file into a folder, unless it is there. Raises DownloadError, or InputError for a full disk.

        `file.name` comes from outside and becomes part of a path: the caller must have checked it.
        """
        path = folder / file.name
        part = path.with_name(f".{file.name}.arriving")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists() and md5_of(path) == file.md5:
                return path
            for last in (False, True):  # if the MD5 is wrong, try once more from the start
                self._fetch_rest(file, part, on_progress=on_progress)
                found = md5_of(part)
                if found == file.md5:
                    part.replace(path)
                    return path
                part.unlink()
                if last:
                    raise DownloadError(
                        f"{file.name}: its MD5 is {found}, not {file.md5} as Zenodo gives it, in two attempts"
                    )
        except requests.RequestException:
            raise
        except OSError as error:
            raise cannot_write(path, error) from error
        raise AssertionError("the last attempt returns or raises")

    def _fetch_rest(self, file: RemoteFile, part: Path, *, on_progress: Progress) -> None:
        """Add bytes to `part` until all are there; only attempts that bring no byte count as failures."""
        attempt = 1
        while (there := _size(part)) != file.size:
            if there > file.size:
                part.unlink()
                continue
            on_progress(file.name, there, file.size)
            try:
                self._append(file, part, start=there, on_progress=on_progress)
            except requests.RequestException as error:
                attempt = attempt + 1 if _size(part) <= there else 1
                self._wait_or_give_up(file.url, error, attempt=attempt)
        part.touch()  # so that an empty file exists, too
        on_progress(file.name, file.size, file.size)

    def _append(self, file: RemoteFile, part: Path, *, start: int, on_progress: Progress) -> None:
        """One request for the bytes from `start` on."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._session.get(file.url, headers=headers, timeout=_TIMEOUTS, stream=True) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()  # what has arrived belongs to another file
                return
            _refuse_for_good(response, file.url)
            response.raise_for_status()
            if start and response.status_code == HTTPStatus.PARTIAL_CONTENT:
                goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            else:
                goes_on = start == 0
            with part.open("ab" if goes_on else "wb") as out:  # a server without ranges sends the whole file
                done = start if goes_on else 0
                for piece in response.iter_content(PIECE):
                    out.write(piece)
                    done += len(piece)
                    if done > file.size:
                        raise DownloadError(f"{file.url}: sends more than the {file.size} bytes that Zenodo gives")
                    on_progress(file.name, done, file.size)
            if done < file.size:
                raise requests.ConnectionError(f"the connection ended after {done} of {file.size} bytes")

    def _wait_or_give_up(self, url: str, error: requests.RequestException, *, attempt: int) -> None:
        if attempt >= ATTEMPTS:
            raise DownloadError(f"{url}: {_reason(error)}, {ATTEMPTS} times in a row") from error
        pause = self._pause * 2 ** (attempt - 1)
        asked = "" if error.response is None else error.response.headers.get("Retry-After", "")
        time.sleep(min(float(asked) if asked.isdecimal() else pause, LONGEST_PAUSE))


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _refuse_for_good(response: requests.Response, url: str) -> None:
    """Raises DownloadError for an answer that no later attempt would change."""
    status = response.status_code
    if 400 <= status < 500 and status not in _LATER:
        raise DownloadError(f"{url}: the server answers {status} {response.reason}")


def _reason(error: Any) -> str:
    """The message of the innermost of requests' nested errors."""
    if error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__
    return str(error) or type(error).__name__
